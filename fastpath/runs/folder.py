"""A finished run, read back from its folder: used only if its files fit together."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import __version__, checks
from fastpath.data.images import check_names
from fastpath.data.preprocess import Preprocess
from fastpath.readout import Head, Readout
from fastpath.runs import storage
from fastpath.training.loop import Training

SETTINGS: dict[str, Any] = {
    "training": Training,
    "preprocess": Preprocess,
    "readout": Readout,
}
HEAD = ("weights", "bias", "offset", "scale")
METRICS_SUM = "metrics_sha256"  # in the configuration: metrics are numbers alone


@dataclass(frozen=True)
class Saved:
    """A run read back from its folder."""

    weights: Float[Tensor, "unit pixel"]
    mean: Float[Tensor, " pixel"]
    head: Head
    preprocess: Preprocess
    readout: Readout
    data: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    test_images: str | None
    """See `Images.digests`; runs of older versions lack it."""
    title: str
    """What learned from what, for how long."""
    metrics: dict[str, float]
    has_sums: bool
    """False for a run of an older version: whether its files are intact is not known."""


def check_finished(folder: Path) -> None:
    """Raise ValueError where a run is not finished."""
    if (folder / storage.CHECKPOINT).exists():
        raise ValueError(
            f"{folder} holds a run that is not finished: go on with it by `fastpath resume "
            f"{folder}`"
        )


def open_run(folder: Path) -> Saved:
    """Read the folder of a finished run.

    Raises
    ------
    ValueError
        If a file is missing, damaged or of another version, or they do not fit together.
    """
    check_finished(folder)
    metrics = storage.load_json(folder / storage.METRICS)  # the last that is written
    path = folder / storage.CONFIG
    config = storage.load_json(path)
    tensors = storage.load_tensors(folder / storage.WEIGHTS)
    wanted = ("units", "preprocess", "readout", "data", "classes", "image_shape")
    if missing := [name for name in wanted if name not in config]:
        raise ValueError(
            f"{folder} is not a complete run: {', '.join(map(repr, missing))} missing in "
            f"{storage.CONFIG}"
        )
    kinds = {name: SETTINGS[name] for name in ("preprocess", "readout")}
    check_known(config, kinds, path, config.get("fastpath"))
    with named(path):
        preprocess, readout = (kind(**config[name]) for name, kind in kinds.items())
        units = checks.count("units", config["units"])
        classes = _names("classes", config["classes"])
        shape = _image_shape(config["image_shape"])
        data = checks.instance("data", config["data"], str)
    _check_tensors(folder, tensors, units, shape, len(classes))
    head = Head(*(tensors[f"head.{name}"] for name in HEAD))
    with named(folder / storage.METRICS):
        metrics = {name: checks.number(name, value) for name, value in metrics.items()}
    storage.check_json(path, config, config.get(storage.SHA256))
    sum_of_metrics = config.get(METRICS_SUM)
    storage.check_json(folder / storage.METRICS, metrics, sum_of_metrics)
    return Saved(
        tensors["weights"],
        tensors["mean"],
        head,
        preprocess,
        readout,
        data,
        classes,
        shape,
        config.get("test_images"),
        _title(config),
        metrics,
        sum_of_metrics is not None,
    )


def _check_tensors(
    folder: Path,
    tensors: dict[str, Tensor],
    units: int,
    shape: tuple[int, ...],
    num_classes: int,
) -> None:
    """Raise ValueError unless weights and head are those that a configuration describes."""
    pixels, path = math.prod(shape), folder / storage.WEIGHTS
    shapes = {
        "weights": (units, pixels),
        "mean": (pixels,),
        "head.weights": (num_classes, units),
        "head.bias": (num_classes,),
        "head.offset": (units,),
        "head.scale": (units,),
    }
    if missing := [name for name in shapes if name not in tensors]:
        raise ValueError(
            f"{folder} is not a complete run: {', '.join(map(repr, missing))} missing in "
            f"{storage.WEIGHTS}"
        )
    weights = tensors["weights"]
    if weights.ndim == 2 and weights.shape[1] != pixels:
        raise ValueError(
            f"{path}: the weights have {weights.shape[1]} pixels per unit, but images of "
            f"{shape} (height, width, channels; {storage.CONFIG}) have {pixels}"
        )
    needed = {
        name: torch.empty(size, dtype=torch.float32, device="meta")
        for name, size in shapes.items()
    }
    reason = f": {units} units, {num_classes} classes, images of {shape}"
    storage.check_tensors(path, tensors, needed, reason)


def _title(config: dict[str, Any]) -> str:
    training = config.get("training")
    epochs = training.get("epochs") if isinstance(training, dict) else None
    return f"{Path(config['data']).name}, {config['units']} units, {epochs} epochs"


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
                f"{path}: '{name}' is {checks.shown(held)}: the settings of a "
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


def _names(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        check_names(tuple(values))
        if values:
            return tuple(values)
    raise ValueError(f"{name} is {checks.shown(values)}: a list of names is needed")


def _image_shape(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(
            f"image_shape is {checks.shown(values)}: [height, width, channels] is needed"
        )
    return tuple(checks.count("image_shape", value) for value in values)
