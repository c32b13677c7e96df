"""The settings that are searched: their names, and the range or list of each."""

import difflib
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fastpath.commands.flags import Saving, Train
from fastpath.compute import Compute
from fastpath.runs.changes import ROOTS, value_of

# The flags of `fastpath train` that do not say what is trained, but where or how.
OF_PLACE = {"data", "out", "set", "overwrite", "seed", "validation", "snapshots"} | {
    *("tensorboard", *(f.name for f in fields(Compute)), *(f.name for f in fields(Saving)))
}
HINTS = get_type_hints(Train)
NAMES = tuple(f.name for f in fields(Train) if f.name not in OF_PLACE)
SHAPES = "NAME=VALUE, NAME=A,B,C, NAME=LOW:HIGH or NAME=LOW:HIGH:log"

type Value = str | int | float | bool | None


@dataclass(frozen=True)
class Space:
    """Settings of `fastpath train`: those that are fixed, and those that are searched."""

    fixed: Mapping[str, Value]
    searched: Mapping[str, BaseDistribution]

    @classmethod
    def parsed(cls, texts: Sequence[str], *, fixed_only: bool = False) -> "Space":
        """Return the settings that texts such as "lr=0.01:1:log" describe.

        Names are those of the flags of `fastpath train`, or, with dots, those of its flag
        --set. Unless `fixed_only` is set, one at least is a range or a list.

        Raises
        ------
        ValueError
            If there is no such setting (the message has the most similar name), one is
            named twice, or a range is empty or inverted.
        """
        fixed: dict[str, Value] = {}
        searched: dict[str, BaseDistribution] = {}
        for text in texts:
            name, found, values = text.partition("=")
            name = _checked(name.strip().lstrip("-"))
            if not found or not values.strip():
                raise ValueError(f"'{text}' gives no value: {SHAPES} is needed")
            if name in fixed or name in searched:
                raise ValueError(f"{name} is given twice: give one range or list")
            found_here = _distribution(name, values)
            if isinstance(found_here, BaseDistribution):
                searched[name] = found_here
            else:
                fixed[name] = found_here
        if not searched and not fixed_only:
            raise ValueError(
                f"there is nothing to search: give a range or a list, as {SHAPES}"
            )
        return cls(fixed, searched)

    @property
    def size(self) -> int | None:
        """Number of different settings, or None if a range is continuous."""
        sizes = [_size(each) for each in self.searched.values()]
        return None if None in sizes else math.prod(size for size in sizes if size)

    def each(self) -> Iterator[dict[str, Value]]:
        """Yield all settings of a finite space."""
        values = [_values(each) for each in self.searched.values()]
        for chosen in itertools.product(*values):
            yield dict(zip(self.searched, chosen, strict=True))

    def ends(self) -> Iterator[dict[str, Value]]:
        """Yield each end of a range and each entry of a list, the others at their default.

        Also all lower ends and all upper ends together.
        """
        ends = {name: _ends(each) for name, each in self.searched.items()}
        for name, values in ends.items():
            for value in values:
                yield {name: value}
        for which in (0, -1):
            yield {name: values[which] for name, values in ends.items()}

    def drawn(self, number: int) -> Iterator[dict[str, Value]]:
        """Yield random settings, the same in each call."""
        numbers = random.Random(0)
        for _ in range(number):
            yield {name: _draw(each, numbers) for name, each in self.searched.items()}

    def suggested(self, trial: optuna.Trial) -> dict[str, Value]:
        """Return the settings that a trial proposes, and note them in its storage."""
        return {name: _suggested(trial, name, each) for name, each in self.searched.items()}

    def command(self, params: Mapping[str, Value], **place: Any) -> Train:
        """Return the command that trains with these settings and the fixed ones."""
        given = {**self.fixed, **params}
        changes = [f"{name}={_text(value)}" for name, value in given.items() if "." in name]
        flags: dict[str, Any] = {n: v for n, v in given.items() if "." not in n}
        return Train(out=Path("."), set=tuple(changes), **flags, **place)


def _checked(name: str) -> str:
    """Return the name of a setting; raise ValueError if there is none of this name."""
    root = name.partition(".")[0]
    if root != name and root in ROOTS:
        return name  # what follows is checked with the values
    flag = name.replace("-", "_")
    if flag in NAMES:
        return flag
    if flag in OF_PLACE:
        raise ValueError(
            f"{name} is no setting to search: it does not say what is trained. Give it as "
            f"a flag, if the search has one (fastpath search --help)"
        )
    near = difflib.get_close_matches(flag, NAMES, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(
        f"there is no setting '{name}': {hint}There are {', '.join(NAMES)}; and those of "
        "config.json without a flag, such as layer.stages.2.num_units"
    )


def _distribution(name: str, text: str) -> BaseDistribution | Value:
    """Return the values of a setting that a text describes, or its only value."""
    if ":" not in text:
        values = [_value(name, each.strip()) for each in text.split(",")]
        if len({repr(each) for each in values}) < len(values):
            raise ValueError(f"{name}={text} has a value twice: give each once")
        return values[0] if len(values) == 1 else CategoricalDistribution(values)
    low_text, high_text, *more = text.split(":")
    low, high = (_value(name, each.strip()) for each in (low_text, high_text))
    if more not in ([], ["log"]) or not (_is_number(low) and _is_number(high)):
        raise ValueError(
            f"{name}={text} is no range of numbers: LOW:HIGH or LOW:HIGH:log is needed, or "
            "a list A,B,C"
        )
    if not low < high:
        kind = "empty" if low == high else "inverted"
        raise ValueError(f"{name}={text} is {kind}: LOW must be below HIGH")
    if more and low <= 0:
        raise ValueError(f"{name}={text} begins at {low}: a log range must be above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=bool(more))
    return FloatDistribution(low, high, log=bool(more))


def _value(name: str, text: str) -> Any:
    """Return a value of a setting from its text, in the type of its flag."""
    if "." in name:
        value = value_of(text)
        if isinstance(value, list | dict) or (_is_number(value) and _is_too_large(value)):
            raise ValueError(f"{name} is {text}: one finite number, or a word, is needed")
        return value
    kinds = [each for each in get_args(HINTS[name]) if each is not type(None)]
    kind = kinds[0]
    if get_origin(kind) is Literal:
        allowed: Sequence[Any] = get_args(kind)
    elif kind is bool:
        allowed, text = ("true", "false"), text.lower()
    else:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if kind is not str and _is_too_large(value):
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} is {text!r}: {what} is needed")
        return value
    if text not in allowed:
        raise ValueError(f"{name} is {text!r}: give one of {', '.join(allowed)}")
    return text == "true" if kind is bool else text


def _suggested(trial: optuna.Trial, name: str, each: BaseDistribution) -> Any:
    match each:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, each.choices)
        case IntDistribution():
            return trial.suggest_int(name, each.low, each.high, log=each.log)
        case FloatDistribution():
            return trial.suggest_float(name, each.low, each.high, log=each.log)
    raise TypeError(each)


def _is_too_large(value: float | int) -> bool:
    """Return whether a number is not finite, or a whole number of more than 63 bits."""
    return abs(value) >= 2**63 if isinstance(value, int) else not math.isfinite(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _size(each: BaseDistribution) -> int | None:
    if isinstance(each, FloatDistribution):
        return None
    if isinstance(each, IntDistribution):
        return each.high - each.low + 1
    return len(_values(each))


def _values(each: BaseDistribution) -> Sequence[Any]:
    if isinstance(each, CategoricalDistribution):
        return each.choices
    assert isinstance(each, IntDistribution)
    return range(each.low, each.high + 1)


def _ends(each: BaseDistribution) -> Sequence[Any]:
    if isinstance(each, CategoricalDistribution):
        return each.choices
    assert isinstance(each, IntDistribution | FloatDistribution)
    return each.low, each.high


def _draw(each: BaseDistribution, numbers: random.Random) -> Any:
    if isinstance(each, IntDistribution):
        return numbers.randint(each.low, each.high)
    if not isinstance(each, FloatDistribution):
        return numbers.choice(_values(each))
    if each.log:
        return math.exp(numbers.uniform(math.log(each.low), math.log(each.high)))
    return numbers.uniform(each.low, each.high)
