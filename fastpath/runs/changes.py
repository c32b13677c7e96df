"""Changes of single settings of a run, by their names in its `config.json`."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastpath.runs.config import OF_RUN, SETTINGS, RunConfig

ROOTS = (*OF_RUN, *SETTINGS)  # the groups of settings that can be changed


def with_set(config: RunConfig, changes: Sequence[str]) -> RunConfig:
    """Return a configuration with changes such as "layer.stages.2.num_units=48".

    Raises
    ------
    ValueError
        If there is no such setting (the message has the most similar name), or the value
        is not allowed.
    """
    if not changes:
        return config
    values = json.loads(json.dumps(config.as_json()))
    names = [change.partition("=")[0] for change in changes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is set twice: give one value")
    for change in changes:
        name, found, text = change.partition("=")
        if not found:
            raise ValueError(f"'{change}' changes nothing: NAME=VALUE is needed")
        parts = name.split(".")
        if parts[0] not in ROOTS:
            raise unknown(name, 0, ROOTS)
        inner: Any = values
        for i in range(len(parts) - 1):
            inner = inner[_key(inner, parts, i)]
        inner[_key(inner, parts, len(parts) - 1)] = value_of(text)
    return RunConfig.from_json(values, Path(" ".join(changes)))


def _key(inner: Any, parts: Sequence[str], i: int) -> Any:
    """Return the key, or index, of part i of a name; raise ValueError if there is none."""
    name = ".".join(parts)
    if isinstance(inner, list):
        numbers = [str(number) for number in range(1, len(inner) + 1)]
        if parts[i] not in numbers:
            raise unknown(name, i, numbers)
        return int(parts[i]) - 1
    if not isinstance(inner, dict):
        above = ".".join(parts[:i])
        raise ValueError(
            f"there is no setting '{name}': {above} is {inner!r}, which has no settings of "
            "its own"
        )
    # The name of a class decides which settings there are.
    settings = [key for key in inner if key != "name"]
    if parts[i] not in settings:
        raise unknown(name, i, settings)
    return parts[i]


def unknown(name: str, i: int, allowed: Sequence[str]) -> ValueError:
    """Return the error for part i of a name that is none of those allowed."""
    parts = name.split(".")
    hint = ""
    for near in difflib.get_close_matches(parts[i], allowed, n=1):
        hint = f" Did you mean '{'.'.join([*parts[:i], near, *parts[i + 1 :]])}'?"
    listed = ", ".join(allowed) or "its settings, for it has none"
    return ValueError(
        f"there is no setting '{name}': '{parts[i]}' is none of {listed}.{hint}"
    )


def value_of(text: str) -> Any:
    """Return the value of a setting: a JSON value such as 3 or true, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
