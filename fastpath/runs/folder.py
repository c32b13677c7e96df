"""Write the folder of a finished run; read it back only if its files are consistent."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from fastpath import __version__, checks, module
from fastpath.data.images import check_names
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Layer, LayerSettings, field_shape
from fastpath.readout import LinearHead, Readout
from fastpath.runs import storage
from fastpath.runs.config import class_of, named, read_settings

# The rule that trained the hidden units. Old configurations name none: local learning.
LOCAL, BACKPROP = "local learning", "back-propagation"
HEAD = ("weights", "bias", "offset", "scale")
# Settings of the readout that earlier versions did not have, at which it is as it was.
ADDED = {
    field.name: field.metadata["neutral"]
    for field in fields(Readout)
    if "neutral" in field.metadata
}
METRICS_SUM = "metrics_sha256"  # in config.json, since metrics.json holds only numbers


@dataclass(frozen=True)
class Saved:
    """A run read back from its folder."""

    weights: Float[Tensor, "unit pixel"]
    layer: Layer | None
    """The layer that learned by the local rule; None for back-propagation."""
    bias: Float[Tensor, " unit"] | None
    """Biases b of units max(W v + b, 0), for back-propagation; None for local learning."""
    preprocess: FittedPreprocess
    head: LinearHead
    readout: Readout | None
    """Features and training of the readout; None for back-propagation."""
    data: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    field_shape: tuple[int, ...]
    """(height, width, channel) of the weights of a unit: see `layers.field_shape`."""
    test_images: str | None
    """Digest of the test set (`Images.digests`); None in runs of older versions."""
    title: str
    """Data set, number of units of each layer and number of epochs, for figures."""
    metrics: dict[str, float]
    has_sums: bool
    """Whether its files have checksums; runs of older versions have none."""
    config: dict[str, Any]
    """The configuration in the form that this version writes."""

    def to_module(self) -> nn.Sequential:
        """Return the model as an `nn.Module`, from images to outputs."""
        if self.bias is not None:
            features: nn.Module = module.rectified(self.weights, self.bias)
        else:
            assert self.layer is not None
            assert self.readout is not None
            features = module.features_of(self.layer, self.readout)
        return module.assembled(self.preprocess, features, self.head)


def check_finished(folder: Path) -> None:
    """Raise ValueError if the run in a folder is not finished."""
    if (folder / storage.CHECKPOINT).exists():
        raise ValueError(
            f"{folder} holds a run that is not finished: go on with it by `fastpath resume "
            f"{folder}`"
        )


def open_run(folder: Path, device: torch.device | str = "cpu") -> Saved:
    """Read the folder of a finished run, with its tensors on `device`.

    Raises
    ------
    ValueError
        If a file is missing, damaged or of another version, or files are inconsistent.
    """
    check_finished(folder)
    metrics = storage.load_json(folder / storage.METRICS)  # written last
    path = folder / storage.CONFIG
    written = storage.load_json(path)
    tensors = storage.load_tensors(folder / storage.WEIGHTS)
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    config = _upgraded(written)
    if config["kind"] not in (LOCAL, BACKPROP):
        raise ValueError(
            f"{path}: kind is {checks.quoted(config['kind'])}: this version has {LOCAL}, "
            f"{BACKPROP}"
        )
    settings = _settings(config, folder)
    with named(path):
        classes = _names("classes", config["classes"])
        shape = _image_shape(config["image_shape"])
        data = checks.instance("data", config["data"], str)
        layer = settings.get("layer")
        if layer is None:
            num_units = features = checks.count("units", config["units"])
            shapes = of_units(num_units, math.prod(shape))
        else:
            num_units, features = layer.num_units, layer.num_features(shape)
            shapes = of_layer(layer, shape)
    _check_tensors(folder, tensors, shapes | of_head(features, len(classes)), shape)
    with named(folder / storage.METRICS):
        metrics = {name: checks.number(name, value) for name, value in metrics.items()}
    storage.check_json(path, written, written.get(storage.SHA256))
    sum_of_metrics = written.get(METRICS_SUM)
    storage.check_json(folder / storage.METRICS, metrics, sum_of_metrics)
    with named(path):
        learned = None if layer is None else layer.load(tensors, input_shape=shape)
        fields = field_shape(layer, shape)
    return Saved(
        weights=tensors["weights"] if learned is None else learned.weights,
        layer=learned,
        bias=tensors["bias"] if learned is None else None,
        preprocess=FittedPreprocess(settings["preprocess"], tensors["mean"]),
        head=head_of(tensors),
        readout=settings.get("readout"),
        data=data,
        classes=classes,
        image_shape=shape,
        field_shape=fields,
        test_images=config.get("test_images"),
        title=_title(config, getattr(layer, "sizes", (num_units,))),
        metrics=metrics,
        has_sums=sum_of_metrics is not None,
        config=config,
    )


def _settings(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings that a finished run is used with, by name."""
    path, local = folder / storage.CONFIG, config["kind"] == LOCAL
    needed = ("layer", "readout") if local else ("units",)
    wanted = (*needed, "preprocess", "data", "classes", "image_shape")
    if missing := [name for name in wanted if name not in config]:
        raise ValueError(
            f"{folder} is not a complete run: {', '.join(map(repr, missing))} missing in "
            f"{storage.CONFIG}"
        )
    kinds: dict[str, Any] = {"preprocess": Preprocess}
    if local:
        kinds |= {"layer": class_of("layer", config["layer"], path), "readout": Readout}
    return read_settings(config, kinds, path)


def _upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration in the form that this version writes.

    Earlier versions had only dense layers, described by "units" and "p"; the first had only
    local learning. Settings of the readout that were added later have their neutral value.
    """
    config = {"kind": LOCAL} | config
    if config["kind"] == LOCAL and "layer" not in config and "units" in config:
        dense = {"num_units": config.pop("units"), "p": config.pop("p", 2.0)}
        rule = {"name": "KrotovHopfield"}
        config["layer"] = {
            "name": "DenseSettings",
            **dense,
            "plasticity": rule,
            "constraint": None,
        }
    if isinstance(config.get("readout"), dict):
        config["readout"] = ADDED | config["readout"]
    return config


def of_layer(
    settings: LayerSettings, image_shape: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a layer that learned by the local rule.

    Raises
    ------
    ValueError
        If the layer calls a tensor by a name that the file has for something else.
    """
    shapes = settings.shapes(image_shape)
    for name in shapes:
        if name == "mean" or name.startswith("head."):
            raise ValueError(
                f"{type(settings).__name__} calls a tensor '{name}', the name of the mean "
                "image or of a tensor of the readout in the files of a run: choose another"
            )
    return shapes


def of_units(num_units: int, num_pixels: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of units trained by back-propagation."""
    return {"weights": (num_units, num_pixels), "bias": (num_units,)}


def of_head(num_features: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a linear head."""
    return {
        "head.weights": (num_classes, num_features),
        "head.bias": (num_classes,),
        "head.offset": (num_features,),
        "head.scale": (num_features,),
    }


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

    Figures in the folder are removed, since they show another run.
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


def head_of(tensors: dict[str, Tensor]) -> LinearHead:
    """Return the linear head from the tensors of a run."""
    return LinearHead(*(tensors[f"head.{name}"] for name in HEAD))


def head_tensors(head: LinearHead) -> dict[str, Tensor]:
    """Return the tensors of a linear head by their names in the files of a run."""
    return {f"head.{name}": getattr(head, name) for name in HEAD}


def _check_tensors(
    folder: Path,
    tensors: dict[str, Tensor],
    shapes: dict[str, tuple[int, ...]],
    image_shape: tuple[int, ...],
) -> None:
    """Raise ValueError unless the tensors fit the configuration."""
    pixels, path = math.prod(image_shape), folder / storage.WEIGHTS
    shapes = {**shapes, "mean": (pixels,)}
    if missing := [name for name in shapes if name not in tensors]:
        raise ValueError(
            f"{folder} is not a complete run: {', '.join(map(repr, missing))} missing in "
            f"{storage.WEIGHTS}"
        )
    weights = tensors.get("weights")
    see_pixels = shapes.get("weights", ())[1:] == (pixels,)
    if (
        see_pixels
        and weights is not None
        and weights.ndim == 2
        and weights.shape[1] != pixels
    ):
        raise ValueError(
            f"{path}: the weights have {weights.shape[1]} pixels per unit, but images of "
            f"{image_shape} (height, width, channels; {storage.CONFIG}) have {pixels}"
        )
    needed = {
        name: torch.empty(size, dtype=torch.float32, device="meta")
        for name, size in shapes.items()
    }
    classes, features = shapes["head.weights"]
    reason = f": {features} units, {classes} classes, images of {image_shape}"
    storage.check_tensors(path, tensors, needed, reason)


def _title(config: dict[str, Any], sizes: tuple[int, ...]) -> str:
    """Return a title; `sizes` are the numbers of units of the layers that learn."""
    training = config.get("training") or config.get("backprop")
    epochs = training.get("epochs") if isinstance(training, dict) else None
    units = " + ".join(map(str, sizes))
    trained = f"{epochs} epoch" + "s" * (epochs != 1)
    return f"{Path(config['data']).name}, {units} units, {trained}"


def _names(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        check_names(tuple(values))
        if values:
            return tuple(values)
    raise ValueError(f"{name} is {checks.quoted(values)}: a list of names is needed")


def _image_shape(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(
            f"image_shape is {checks.quoted(values)}: [height, width, channels] is needed"
        )
    return tuple(checks.count("image_shape", value) for value in values)
