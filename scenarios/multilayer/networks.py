"""Networks of several layers, and the treatment of the rates between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Num
from torch import Tensor

from fastpath import experiment
from fastpath.competition import Ranking
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Stack, StackSettings
from fastpath.layers.stages import (
    BatchNorm,
    Decorrelate,
    FullyConnected,
    Part,
    Rectifier,
    RecurrentInhibition,
    Stage,
    SubtractMean,
    UnitNorm,
)
from fastpath.readout import Readout, Streamed
from fastpath.training.loop import Training
from neurodyn import analysis
from scenarios.support.trials import Network, scored

# Dims of what a layer has learned: the tensors of its stages, by their names.
DIMS = {
    "mixing": ("rate", "pixel"),
    "gain": ("pixel",),
    "w_ei": ("inh", "pixel"),
    "w_ie": ("pixel", "inh"),
    "w_ii": ("inh", "inh_sender"),
    "mean": ("pixel",),
    "variance": ("pixel",),
    "weights": ("unit", "pixel"),
}
BLOCK = 1000  # images that pass a stage together


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Settings of one layer, from the treatment of its inputs to its output rates."""

    num_units: int
    preprocess: Preprocess
    """Of the images, or of the rates of the layer below."""
    decorrelate: float | None = None
    """ε of the decorrelation of these rates, before `preprocess`; None: there is none."""
    inhibition: RecurrentInhibition | None = field(default=None, metadata={"neutral": None})
    """Inhibition between these rates, before `preprocess`; None: there is none."""
    equal_variance: bool = field(default=False, metadata={"neutral": False})
    """Whether rates are divided by their standard deviations, before they get unit norm."""
    p: float
    competition: Ranking
    training: Training
    power: float
    """n of the output rates max(cos, 0)^n."""

    @property
    def between(self) -> tuple[Stage, ...]:
        """The stages between the layer below and the units of this one.

        Raises
        ------
        ValueError
            If rates are to be centred by their own mean, for which there is no stage.
        """
        if self.preprocess.center_images:
            raise ValueError(
                "center_images is True: only images are centred by their own mean, not the "
                "rates of a layer; set subtract_mean"
            )
        ridge, inhibition = self.decorrelate, self.inhibition
        centred = self.preprocess.subtract_mean
        return (
            *([] if ridge is None else [Decorrelate(ridge=ridge)]),
            *([] if inhibition is None else [inhibition]),
            *([BatchNorm(center=centred)] if self.equal_variance else []),
            *([SubtractMean()] if centred and not self.equal_variance else []),
            *[UnitNorm()] * self.preprocess.unit_norm,
        )

    @property
    def units(self) -> tuple[Stage, ...]:
        """The stages from the units to their output rates."""
        units = FullyConnected(
            num_units=self.num_units,
            p=self.p,
            competition=self.competition,
            response="cosine",
        )
        return units, Rectifier(power=self.power)


@dataclass(frozen=True, kw_only=True)
class Tower(Network):
    """Layers trained one after another; the result holds what the last one has learned."""

    layers: tuple[Layer, ...]

    @property
    def needs(self) -> "tuple[Tower, ...]":
        """The towers of its lower layers."""
        return tuple(
            replace(self, layers=self.layers[:height])
            for height in range(1, len(self.layers))
        )

    def compute(self, *below: xr.Dataset) -> xr.Dataset:
        """Return the tensors of the last layer, from the towers of the lower layers."""
        _, split, _ = self.begin()
        last, preprocess = self.layers[-1], self.layers[0].preprocess
        generator = torch.Generator().manual_seed(1000 * len(self.layers) + self.seed)
        tensors: dict[str, Tensor] = {}
        if below:  # what the units see is computed once, not in each epoch
            lower = loaded(self.layers[:-1], below, split.x_train)
            fitted, preprocess = preprocess.fit(split.x_train), Preprocess()
            x = outputs(lower, split.x_train, fitted)
            x_eval = outputs(lower, split.x_eval, fitted)
            for stage in last.between:
                part = stage.start(x.shape[1:], generator=generator, kernels=None)
                x, x_eval = passed(part.to(x.device), x, x_eval)
                tensors |= part.state_dict()
            split = replace(split, x_train=x, x_eval=x_eval)
        settings = StackSettings(stages=last.units, greedy=True)
        layer, _, history = experiment.learn_features(
            split,
            layer=settings,
            competition=last.competition,
            training=last.training,
            preprocess=preprocess,
            generator=generator,
            progress=False,
        )
        for name in settings.shapes(split.x_train.shape[1:]):
            tensors[name.partition(".")[2]] = layer.state[name]
        learning = history["learning"]
        seen = xr.DataArray(split.x_eval.flatten(1).cpu().numpy(), dims=("image", "unit"))
        return xr.Dataset(
            {
                "dimension": analysis.participation_ratio(seen / 1.0, dim="image"),
                **{name: (DIMS[name], one.cpu().numpy()) for name, one in tensors.items()},
                "dead": 100 * (1 - float(learning[-1])) if learning.size else np.nan,
                "train_seconds": experiment.speed(history, len(split.x_train))[
                    "train_seconds"
                ],
            }
        )


@dataclass(frozen=True, kw_only=True)
class Deep(Network):
    """A network of several layers with a readout of the last one."""

    layers: tuple[Layer, ...]
    readout: Readout

    @property
    def needs(self) -> tuple[Tower, ...]:
        """The towers of 1, 2, ... layers."""
        common = {name: getattr(self, name) for name in Network.__dataclass_fields__}
        whole = Tower(**common | {"network": "tower"}, layers=self.layers)
        return (*whole.needs, whole)

    def compute(self, *towers: xr.Dataset) -> xr.Dataset:
        """Return the errors, from the towers of 1, 2, ... layers."""
        images, split, generator = self.begin()
        # The readout has an n of its own for the rates that it sees.
        layers = (*self.layers[:-1], replace(self.layers[-1], power=1.0))
        _, errors = experiment.read_out(
            loaded(layers, towers, split.x_train),
            self.layers[0].preprocess.fit(split.x_train),
            split,
            num_classes=len(images.classes),
            readout=self.readout,
            generator=generator,
            progress=False,
        )
        seconds = sum(float(tower["train_seconds"]) for tower in towers)
        dead = float(towers[-1]["dead"])
        return scored(
            errors,
            split,
            learn_seconds=seconds,
            dead=dead,
            dimension=float(towers[-1]["dimension"]),
        )


def stages(layers: Sequence[Layer]) -> list[tuple[Stage, ...]]:
    """Return the stages that each layer adds. The first sees preprocessed images."""
    return [
        (*(layer.between if height else ()), *layer.units)
        for height, layer in enumerate(layers)
    ]


def loaded(
    layers: Sequence[Layer],
    towers: Sequence[xr.Dataset],
    x: Num[Tensor, "image *shape"],
) -> Stack:
    """Return the stack of these layers as their towers have learned it, for images x."""
    pairs = [
        (stage, tower)
        for added, tower in zip(stages(layers), towers, strict=True)
        for stage in added
    ]
    settings = StackSettings(stages=tuple(stage for stage, _ in pairs), greedy=True)
    tensors = {}
    for name in settings.shapes(x.shape[1:]):
        index, _, own = name.partition(".")
        _, tower = pairs[int(index)]
        tensors[name] = torch.from_numpy(tower[own].values).to(x.device)
    return settings.load(tensors, input_shape=tuple(x.shape[1:]))


def passed(
    part: Part, x: Float[Tensor, "image rate"], x_eval: Float[Tensor, "image_eval rate"]
) -> tuple[Float[Tensor, "image rate"], Float[Tensor, "image_eval rate"]]:
    """Fit a part to rates x; return its outputs for x and for those to score on."""
    with torch.no_grad():
        part.fit(lambda: iter(x.split(BLOCK)))
        seen = (torch.cat([part(rows) for rows in v.split(BLOCK)]) for v in (x, x_eval))
        return next(seen), next(seen)


def outputs(
    stack: Stack, x: Num[Tensor, "image *shape"], preprocess: FittedPreprocess
) -> Float[Tensor, "image unit"]:
    """Return the output rates of a stack for all images."""
    readout = Readout(power=1.0, scaling="set")
    return torch.cat(list(Streamed(stack, x, preprocess, readout).blocks()))
