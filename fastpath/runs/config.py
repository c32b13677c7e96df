"""The configuration of a run: all that its result depends on, written and read as JSON."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from fastpath import __version__, checks, competition, layers, plasticity
from fastpath.competition import Competition
from fastpath.data.preprocess import Preprocess
from fastpath.layers import LayerSettings
from fastpath.readout import Readout
from fastpath.training.loop import Training
from fastpath.training.snapshots import check_number

# Settings that may be of several classes, and the lists of these. Each is written with the
# name of its class. `plasticity` is a setting of a layer.
LISTS: dict[str, dict[str, Any]] = {
    "layer": layers.KINDS,
    "competition": competition.KINDS,
    "plasticity": plasticity.KINDS,
}
OF_RUN = ("layer", "competition")


SETTINGS: dict[str, Any] = {
    "training": Training,
    "preprocess": Preprocess,
    "readout": Readout,
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that the result of a run depends on, except for the rounding of the machine."""

    data: str
    layer: LayerSettings
    seed: int
    validation: int
    competition: Competition
    training: Training
    preprocess: Preprocess
    readout: Readout
    snapshots: int = 25
    """Number of epochs at which receptive fields are kept: see `snapshot_epochs`."""
    tensorboard: bool = False
    """Write events for TensorBoard, too."""

    def __post_init__(self) -> None:
        count = functools.partial(checks.count, least=0)
        checks.fields(self, seed=count, validation=count, snapshots=checks.whole)
        checks.fields(self, tensorboard=checks.flag)
        checks.instance("data", self.data, str)
        check_number(self.snapshots)
        checks.instance("training", self.training, Training)
        checks.instance("readout", self.readout, Readout)
        # They are written, and read again, by their names and fields alone.
        for name in OF_RUN:
            value = getattr(self, name)
            if not _can_be_written(name, value):
                raise ValueError(
                    f"{name} is {checks.quoted(value)}: a run that is saved has one of "
                    f"{', '.join(_classes(name))}, with plain values. Use "
                    "`experiment.learn` for others, or add the class, a frozen dataclass, "
                    f"to the list KINDS of its package"
                )
        if type(self.preprocess) is not Preprocess:
            raise ValueError(
                f"preprocess is {checks.quoted(self.preprocess)}: a run that is saved has "
                "a Preprocess(). Use `experiment.learn` for others"
            )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        described = {name: _described(getattr(self, name)) for name in OF_RUN}
        return {**asdict(self), **described}

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path) -> "RunConfig":
        """Return the configuration that `as_json` described, read from this file.

        Raises
        ------
        ValueError
            If the settings are those of another version, or have other values.
        """
        held: dict[str, Any] = {n: v for n, v in values.items() if n != "fastpath"}
        listed = {name: class_of(name, held.get(name), path) for name in OF_RUN}
        check_known(held, {"": cls}, path, values.get("fastpath"))
        made = read_settings(values, SETTINGS | listed, path)
        with named(path):
            return cls(**held | made)


def read_settings(
    values: dict[str, Any], kinds: dict[str, Any], path: Path
) -> dict[str, Any]:
    """Return settings of these classes by name, from JSON values read from this file.

    Raises
    ------
    ValueError
        If they are those of another version, or have other values.
    """
    held = dict(values)
    for name in LISTS.keys() & kinds.keys():
        inner = {key: value for key, value in held[name].items() if key != "name"}
        listed = {key: class_of(key, inner[key], path) for key in inner.keys() & LISTS}
        held[name] = inner | read_settings(inner, listed, path)
    check_known(held, kinds, path, values.get("fastpath"))
    with named(path):
        return {name: kind(**held[name]) for name, kind in kinds.items()}


def class_of(name: str, described: Any, path: Path) -> Any:
    """Return the class of settings that a configuration describes by its name.

    Raises
    ------
    ValueError
        If this version has no such class.
    """
    given = described.get("name") if isinstance(described, dict) else described
    classes = _classes(name)
    if not isinstance(described, dict) or str(given) not in classes:
        raise ValueError(
            f"{path}: the {name} is {checks.quoted(given)}: this version has "
            f"{', '.join(classes)}"
        )
    return classes[str(given)]


def _classes(name: str) -> dict[str, Any]:
    return {kind.__name__: kind for kind in LISTS[name].values()}


def _can_be_written(name: str, settings: Any) -> bool:
    """Return whether the class of settings is listed and JSON can hold their values."""
    if type(settings) not in LISTS.get(name, {}).values():
        return False
    return all(
        isinstance(value, str | float | int | None) or _can_be_written(key, value)
        for key, value in vars(settings).items()
    )


def _described(settings: Any) -> dict[str, Any]:
    """Return settings as JSON values, with the name of their class."""
    return {"name": type(settings).__name__} | {
        key: _described(value) if is_dataclass(value) else value
        for key, value in vars(settings).items()
    }


def check_known(
    values: dict[str, Any], kinds: dict[str, type], path: Path, version: Any
) -> None:
    """Raise ValueError unless this version has just these settings.

    Parameters
    ----------
    values
        Settings as JSON values.
    kinds
        The class of the settings under each name; "" stands for `values` themselves.
    path
        Where they were read from.
    version
        What wrote them; None if that was not noted.
    """
    unknown, missing = [], []
    for name, kind in kinds.items():
        held = values.get(name) if name else values
        if not isinstance(held, dict):
            raise ValueError(
                f"{path}: '{name}' is {checks.quoted(held)}: the settings of a "
                f"{kind.__name__} are needed"
            )
        prefix, known = f"{name}." if name else "", [field.name for field in fields(kind)]
        unknown += [prefix + given for given in held if given not in known]
        missing += [prefix + wanted for wanted in known if wanted not in held]
    if unknown or missing:
        wrote = f"fastpath {version}" if version else "a version that noted no number"
        raise ValueError(
            f"{path} has the settings of another version: unknown here: "
            f"{', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}. It "
            f"was written by {wrote}, this is fastpath {__version__}: use that "
            "one, or train anew"
        )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in what is said about a wrong value in it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
