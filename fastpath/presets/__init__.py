"""Settings that reproduce published results, a file each: see `fastpath presets`.

A file names the result it reproduces (`reproduces`, `published`, `time`, `data`), and holds
the settings of `RunConfig` that are not at their defaults. A new preset is a new file.
"""

import difflib
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

DESCRIBED = ("reproduces", "published", "time", "data")
SUFFIX = ".toml"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset: what it reproduces, and its settings as they are in the file."""

    name: str
    path: Path
    reproduces: str
    published: str
    """The published number."""
    time: str
    """How long the run takes, and on what."""
    data: str
    settings: dict[str, Any]


def names() -> list[str]:
    """Return the names of all presets."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX))


def load(name: str) -> Preset:
    """Return a preset.

    Raises
    ------
    ValueError
        If there is none of this name; the message has the most similar name.
    """
    known = names()
    if name not in known:
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0)
        raise ValueError(
            f"there is no preset '{name}': did you mean {similar[0]}? There are "
            f"{', '.join(known)}"
        )
    path = Path(str(resources.files(__name__) / f"{name}{SUFFIX}"))
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    described = {key: values.pop(key) for key in DESCRIBED}
    return Preset(name=name, path=path, settings=values, **described)
