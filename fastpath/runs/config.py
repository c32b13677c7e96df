"""The configuration of a run, which its result depends on; written and read as JSON."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from fastpath import __version__, checks, competition, layers, plasticity
from fastpath.baselines.end_to_end import Backprop
from fastpath.competition import Competition, Ranking
from fastpath.data.augment import Augment
from fastpath.data.preprocess import Preprocess
from fastpath.layers import LayerSettings, stages
from fastpath.presets import Preset
from fastpath.readout import Readout
from fastpath.training.loop import Training
from fastpath.training.snapshots import check_number

# Settings that may be of several classes, with the lists of these classes. They are written
# with the name of their class. `plasticity` is a setting of a layer, `stages` are those of
# a stack, which may have a plasticity and a competition each.
LISTS: dict[str, dict[str, Any]] = {
    "layer": layers.KINDS,
    "competition": competition.KINDS,
    "plasticity": plasticity.KINDS,
    "stages": stages.KINDS,
}
NO_AUGMENT = Augment()
OF_RUN = ("layer", "competition")
SETTINGS: dict[str, Any] = {
    "training": Training,
    "preprocess": Preprocess,
    "readout": Readout,
    "augment": Augment,
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings that change the result of a run by more than rounding."""

    data: str
    layer: LayerSettings
    seed: int
    validation: int
    competition: Competition
    training: Training
    preprocess: Preprocess
    readout: Readout
    augment: Augment = NO_AUGMENT
    """Random changes of training images; by default none."""
    snapshots: int = 25
    """Number of snapshots of the receptive fields: see `snapshot_moments`."""
    tensorboard: bool = False
    """Whether to write events for TensorBoard."""
    backprop: Backprop | None = None
    """Train the layers of a stack end to end, with labels: a control."""

    def __post_init__(self) -> None:
        count = functools.partial(checks.count, least=0)
        checks.fields(self, seed=count, validation=count, snapshots=checks.whole)
        checks.fields(self, tensorboard=checks.flag)
        checks.instance("data", self.data, str)
        check_number(self.snapshots)
        checks.instance("training", self.training, Training)
        checks.instance("readout", self.readout, Readout)
        checks.instance("augment", self.augment, Augment)
        if self.augment.of("readout") and self.readout.flips:
            raise ValueError(
                "the readout is trained on mirror images, and on images that augmentation "
                "changes: leave out flips, and set the flip of the augmentation"
            )
        if self.backprop is not None and self.augment.of("features"):
            raise ValueError(
                "augmentation of the features has no effect with back-propagation: leave "
                "it out, or use it for the readout only"
            )
        checks.optional("backprop", self.backprop, Backprop)
        # A file holds only their class names and fields, which must suffice to read them.
        for name in OF_RUN:
            if reason := _why_not_written(name, getattr(self, name)):
                raise ValueError(f"a run that is saved cannot have this {name}: {reason}")
        if type(self.preprocess) is not Preprocess:
            raise ValueError(
                f"preprocess is {checks.quoted(self.preprocess)}: a run that is saved has "
                "a Preprocess(). `experiment.learn` takes others, and saves no files"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        described = {name: _described(getattr(self, name)) for name in OF_RUN}
        return {**asdict(self), **described}

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path) -> "RunConfig":
        """Return the configuration from the values of `as_json`, read from `path`.

        Raises
        ------
        ValueError
            If the settings are those of another version, or have values not allowed.
        """
        if values.get("augment") is None:  # written by an older version
            values = {**values, "augment": asdict(NO_AUGMENT)}
        entries: dict[str, Any] = {n: v for n, v in values.items() if n != "fastpath"}
        check_names(entries, {"": cls}, path, values.get("fastpath"))
        listed = {name: class_of(name, entries[name], path) for name in OF_RUN}
        supervised = {} if values.get("backprop") is None else {"backprop": Backprop}
        settings = read_settings(values, SETTINGS | listed | supervised, path)
        with named(path):
            return cls(**entries | settings)


def of_preset(preset: Preset, **settings: Any) -> RunConfig:
    """Return the configuration of a preset, with these other settings of a run."""
    values = preset.settings
    listed = {
        name: class_of(name, values[name], preset.path) for name in OF_RUN & values.keys()
    }
    classes = {name: cls for name, cls in SETTINGS.items() if name in values} | listed
    check_names(values, {"": RunConfig}, preset.path, None, whole=False)
    read = read_settings(values, classes, preset.path, whole=False)
    defaults: dict[str, Any] = {
        "competition": Ranking(),
        **{name: cls() for name, cls in SETTINGS.items()},
    }
    return RunConfig(**defaults | read | settings)


def read_settings(
    values: dict[str, Any], classes: dict[str, Any], path: Path, *, whole: bool = True
) -> dict[str, Any]:
    """Return settings by name, from JSON values read from `path`.

    Parameters
    ----------
    values
        JSON values, among them the fields of each settings object under its name.
    classes
        The class of the settings under each name.
    whole
        Whether all fields must be there; otherwise those missing have their defaults.

    Raises
    ------
    ValueError
        If the settings are those of another version, or have values not allowed.
    """
    version = values.get("fastpath")
    values_of = dict(values)
    for name in LISTS.keys() & classes.keys():
        values_of[name] = _with_listed(values_of[name], path, version, whole=whole)
    check_names(values_of, classes, path, version, whole=whole)
    with named(path):
        return {name: cls(**values_of[name]) for name, cls in classes.items()}


def _with_listed(
    described: dict[str, Any], path: Path, version: Any, *, whole: bool
) -> dict[str, Any]:
    """Return the fields of settings, those of several classes read as objects."""
    return {
        name: _listed(name, value, path, version, whole=whole) if name in LISTS else value
        for name, value in described.items()
        if name != "name"
    }


def _listed(name: str, described: Any, path: Path, version: Any, *, whole: bool) -> Any:
    """Return the settings object that a configuration describes, or a tuple of several."""
    if described is None:
        return None
    if isinstance(described, list):
        return tuple(
            _numbered(i, name, each, path, version, whole=whole)
            for i, each in enumerate(described, start=1)
        )
    cls = class_of(name, described, path)
    inner = _with_listed(described, path, version, whole=whole)
    check_names({name: inner}, {name: cls}, path, version, whole=whole)
    with named(path):
        return cls(**inner)


def _numbered(
    i: int, name: str, described: Any, path: Path, version: Any, *, whole: bool
) -> Any:
    """Return an object of a list; the message of a ValueError says which."""
    try:
        return _listed(name, described, path, version, whole=whole)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: {name}, number {i}: {reason}") from error


def class_of(name: str, described: Any, path: Path) -> Any:
    """Return the class of settings that a configuration describes by its name.

    Raises
    ------
    ValueError
        If this version has no such class.
    """
    class_name = described.get("name") if isinstance(described, dict) else described
    classes = _classes(name)
    if not isinstance(described, dict) or str(class_name) not in classes:
        raise ValueError(
            f"{path}: the {name} is {checks.quoted(class_name)}: this version has "
            f"{', '.join(classes)}"
        )
    return classes[str(class_name)]


def _classes(name: str) -> dict[str, Any]:
    return {kind.__name__: kind for kind in LISTS[name].values()}


def _why_not_written(name: str, settings: Any) -> str | None:
    """Return why no file can hold these settings, or None if it can."""
    if isinstance(settings, tuple):
        return next(filter(None, (_why_not_written(name, each) for each in settings)), None)
    if type(settings) not in LISTS[name].values():
        return (
            f"{name} is {checks.quoted(settings)}, and a file can name only "
            f"{', '.join(_classes(name))}. Add the class, a frozen dataclass, to the list "
            f"KINDS of its package, or use `experiment.learn`, which saves no files"
        )
    for key, value in vars(settings).items():
        if key in LISTS:  # None: the stage of a stack has none of its own
            if value is not None and (reason := _why_not_written(key, value)):
                return reason
        elif not isinstance(value, str | float | int | None):
            return (
                f"its {key} is {checks.quoted(value)}, which no file can hold. "
                "`experiment.learn` takes it, and saves no files"
            )
    return None


def _described(settings: Any) -> dict[str, Any]:
    """Return settings as JSON values, with the name of their class."""
    return {"name": type(settings).__name__} | {
        key: _value(value) for key, value in vars(settings).items()
    }


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    return _described(value) if is_dataclass(value) else value


def check_names(
    values: dict[str, Any],
    classes: dict[str, type],
    path: Path,
    version: Any,
    *,
    whole: bool = True,
) -> None:
    """Raise ValueError unless the names of all settings are those of this version.

    Parameters
    ----------
    values
        Settings as JSON values.
    classes
        The class of the settings under each name; "" stands for `values` themselves.
    path
        The file that they were read from.
    version
        Version of fastpath that wrote the file; None if the file does not say.
    whole
        Whether names may not be missing.
    """
    unknown, missing = [], []
    for name, cls in classes.items():
        settings = values.get(name) if name else values
        if not isinstance(settings, dict):
            raise ValueError(
                f"{path}: '{name}' is {checks.quoted(settings)}: the settings of a "
                f"{cls.__name__} are needed"
            )
        prefix, names = f"{name}." if name else "", [field.name for field in fields(cls)]
        unknown += [prefix + key for key in settings if key not in names]
        missing += [prefix + key for key in names if key not in settings] * whole
    if unknown or missing:
        wrote = f"fastpath {version}" if version else "a version without a number"
        if version == __version__:  # of the days between two releases
            wrote = f"an earlier state of {wrote}"
        raise ValueError(
            f"{path} has the settings of another version: unknown here: "
            f"{', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}. It "
            f"was written by {wrote}, this is fastpath {__version__}: use that "
            "version, or train anew"
        )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the name of the file in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
