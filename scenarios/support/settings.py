"""The settings of a trial as canonical JSON, and the key by which its result is found.

The key depends on the values of the settings, not on the code that holds them. Classes may
move to other modules, fields may change their order, and 6 is 6.0. Three rules keep the key
of a committed result while the code changes:

- A new field names in its metadata the neutral value, at which results stay the same:
  `field(default=0.0, metadata={"neutral": 0.0})`. At that value the key leaves the field
  out. The default plays no part, because it may change later.
- A renamed class or field keeps its first name here, in `FORMER_NAMES`.
- A field that affects no number, such as the device, is declared with `compare=False`.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

import numpy as np

# From the present name of a class ("Class") or field ("Class.field") to its first name.
FORMER_NAMES: dict[str, str] = {}
NUM_DIGITS = 10  # of the key
_NEVER = object()


def key(trial: Any) -> str:
    """Return the key of a trial: a digest of its settings."""
    return sha256(canonical(trial).encode()).hexdigest()[:NUM_DIGITS]


def canonical(value: Any) -> str:
    """Return settings as canonical JSON: sorted names, no spaces, one form per number."""
    return dumped(plain(value))


def dumped(value: Any) -> str:
    """Return plain settings, as `plain` returns them, as JSON text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def plain(value: Any) -> Any:
    """Return settings as JSON values: a dataclass as a dict of its name and fields.

    Raises
    ------
    TypeError
        If a value is not a dataclass, number, text, None, sequence or mapping.
    """
    match value:
        case None | bool() | str():
            return value
        case np.generic():
            return plain(value.item())
        case int() | float():
            return int(value) if float(value).is_integer() else value
        case list() | tuple():
            return [plain(part) for part in value]
        case Mapping():
            return {str(name): plain(part) for name, part in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} cannot be part of the settings of a trial")
    name = type(value).__name__
    # No field can be called "class".
    return {"class": FORMER_NAMES.get(name, name)} | {
        FORMER_NAMES.get(f"{name}.{field.name}", field.name): plain(part)
        for field in fields(value)
        if field.compare
        and (part := getattr(value, field.name)) != field.metadata.get("neutral", _NEVER)
    }
