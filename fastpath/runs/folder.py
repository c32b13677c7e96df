"""A finished run: its folder written, and read back only if its files fit together."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from fastpath import __version__, checks, module
from fastpath.data.images import check_names
from fastpath.data.preprocess import Preprocess
from fastpath.readout import Head, Readout
from fastpath.runs import storage
from fastpath.training.loop import Training

# How the hidden units came to be; a configuration that does not say is of the first.
LOCAL, BACKPROP = "local learning", "back-propagation"
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
    bias: Float[Tensor, " unit"] | None
    """Of units max(W v + b, 0) trained by back-propagation; None for local learning."""
    mean: Float[Tensor, " pixel"]
    head: Head
    preprocess: Preprocess
    readout: Readout | None
    """How features are made of the weights; None for back-propagation."""
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
    config: dict[str, Any]
    """The configuration as it was written."""

    def to_module(self) -> nn.Sequential:
        """Return the model as an `nn.Module`, from images to outputs."""
        if self.bias is not None:
            features: nn.Module = module.rectified(self.weights, self.bias)
        else:
            assert self.readout is not None
            features = module.CosineFeatures(self.weights, self.readout)
        return module.assembled(self.preprocess, self.mean, features, self.head)


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
    kind = config.get("kind", LOCAL)
    if kind not in (LOCAL, BACKPROP):
        raise ValueError(
            f"{path}: kind is {checks.shown(kind)}: this version has {LOCAL}, {BACKPROP}"
        )
    of_kind: dict[str, Any] = {"preprocess": Preprocess}
    if kind == LOCAL:
        of_kind["readout"] = Readout
    wanted = ("units", *of_kind, "data", "classes", "image_shape")
    if missing := [name for name in wanted if name not in config]:
        raise ValueError(
            f"{folder} is not a complete run: {', '.join(map(repr, missing))} missing in "
            f"{storage.CONFIG}"
        )
    check_known(config, of_kind, path, config.get("fastpath"))
    with named(path):
        settings = {name: made(**config[name]) for name, made in of_kind.items()}
        units = checks.count("units", config["units"])
        classes = _names("classes", config["classes"])
        shape = _image_shape(config["image_shape"])
        data = checks.instance("data", config["data"], str)
    _check_tensors(folder, tensors, units, shape, len(classes), has_bias=kind == BACKPROP)
    head = head_of(tensors)
    with named(folder / storage.METRICS):
        metrics = {name: checks.number(name, value) for name, value in metrics.items()}
    storage.check_json(path, config, config.get(storage.SHA256))
    sum_of_metrics = config.get(METRICS_SUM)
    storage.check_json(folder / storage.METRICS, metrics, sum_of_metrics)
    return Saved(
        weights=tensors["weights"],
        bias=tensors.get("bias"),
        mean=tensors["mean"],
        head=head,
        preprocess=settings["preprocess"],
        readout=settings.get("readout"),
        data=data,
        classes=classes,
        image_shape=shape,
        test_images=config.get("test_images"),
        title=_title(config),
        metrics=metrics,
        has_sums=sum_of_metrics is not None,
        config=config,
    )


def write(
    folder: Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    metrics: dict[str, Any],
    *,
    history: xr.Dataset,
    snapshots: xr.Dataset | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a finished run: metrics last, so that a folder with metrics is complete.

    Pictures that the folder holds are of another run, and are removed.
    """
    (folder / storage.METRICS).unlink(missing_ok=True)
    for name in (storage.SNAPSHOTS, *storage.PICTURES):
        (folder / name).unlink(missing_ok=True)
    storage.save_tensors(folder / storage.WEIGHTS, tensors, metadata)
    classes = config["classes"]
    storage.save_dataset(
        folder / storage.HISTORY, history.assign_coords(label=classes, answer=classes)
    )
    if snapshots is not None:
        storage.save_dataset(folder / storage.SNAPSHOTS, snapshots)
    described = {
        "fastpath": __version__,
        "torch": torch.__version__,
        **config,
        METRICS_SUM: storage.json_sum(metrics),
        storage.SHA256: "",
    }
    storage.save_json(folder / storage.CONFIG, described)
    storage.save_json(folder / storage.METRICS, metrics)
    (folder / storage.CHECKPOINT).unlink(missing_ok=True)


def head_of(tensors: dict[str, Tensor]) -> Head:
    """Return the head among the tensors of a run."""
    return Head(*(tensors[f"head.{name}"] for name in HEAD))


def head_tensors(head: Head) -> dict[str, Tensor]:
    """Return the tensors of a head by the names that `write` gives them."""
    return {f"head.{name}": getattr(head, name) for name in HEAD}


def _check_tensors(
    folder: Path,
    tensors: dict[str, Tensor],
    units: int,
    shape: tuple[int, ...],
    num_classes: int,
    *,
    has_bias: bool,
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
        **({"bias": (units,)} if has_bias else {}),
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
    training = config.get("training") or config.get("backprop")
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
