"""Does a second layer that learns by the same rule help, and a third?

Layers learn one after another, each from the rates of the one below; the readout sees the
last alone. Between layers the rates are passed on as they are, with unit norm, or as
deviations from their means with unit norm.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fastpath import experiment
from fastpath.competition import Ranking
from fastpath.experiment import Split
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.train import Training
from scenarios.cells import Network, scored

BETWEEN = {
    "as they are": Preprocess(),
    "unit norm": Preprocess(unit_norm=True),
    "centred, unit norm": Preprocess(subtract_mean=True, unit_norm=True),
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How one layer learns, from what it sees to the rates that it passes on."""

    num_units: int
    preprocess: Preprocess
    p: float
    competition: Ranking
    training: Training
    power: float
    """n of the rates max(cos, 0)^n that the next layer sees."""


@dataclass(frozen=True, kw_only=True)
class Tower(Network):
    """Layers that learned one after another; its result holds the weights of the last."""

    layers: tuple[Layer, ...]

    @property
    def needs(self) -> "tuple[Tower, ...]":
        """The towers of fewer layers on which this one stands."""
        return tuple(
            replace(self, layers=self.layers[:height])
            for height in range(1, len(self.layers))
        )

    def compute(self, *below: xr.Dataset) -> xr.Dataset:
        """Return the weights of the last layer, given the towers of fewer layers."""
        _, parts, _ = self.begin()
        parts = climbed(parts, self.layers, below)
        last = self.layers[-1]
        layer, mean, history = experiment.learn_features(
            parts,
            num_units=last.num_units,
            p=last.p,
            competition=last.competition,
            training=last.training,
            preprocess=last.preprocess,
            generator=torch.Generator().manual_seed(1000 * len(self.layers) + self.seed),
            progress=False,
        )
        learning = history["learning"]
        return xr.Dataset(
            {
                "weights": (("unit", "pixel"), layer.weights.cpu().numpy()),
                "mean": ("pixel", mean.cpu().numpy()),
                "dead": 100 * (1 - float(learning[-1])) if learning.size else np.nan,
                "train_seconds": experiment.speed(history, len(parts.x_learn))[
                    "train_seconds"
                ],
            }
        )


@dataclass(frozen=True, kw_only=True)
class Deep(Network):
    """What can be read out of the last of several layers."""

    layers: tuple[Layer, ...]
    readout: Readout

    @property
    def needs(self) -> tuple[Tower, ...]:
        """The layers."""
        whole = Tower(
            **{name: getattr(self, name) for name in Network.__dataclass_fields__},
            layers=self.layers,
        )
        return (*whole.needs, whole)

    def compute(self, *towers: xr.Dataset) -> xr.Dataset:
        """Return the error, given the towers of 1, 2, ... layers."""
        images, parts, generator = self.begin()
        parts = climbed(parts, self.layers, towers[:-1])
        weights, mean = tensors(towers[-1], self.device)
        _, errors = experiment.read_out(
            weights,
            parts,
            num_classes=len(images.classes),
            preprocess=self.layers[-1].preprocess,
            mean=mean,
            head=self.readout,
            generator=generator,
            progress=False,
        )
        seconds = sum(float(tower["train_seconds"]) for tower in towers)
        dead = float(towers[-1]["dead"])
        return scored(errors, parts, learn_seconds=seconds, dead=dead)


def climbed(
    parts: Split, layers: tuple[Layer, ...], towers: tuple[xr.Dataset, ...]
) -> Split:
    """Return the rates that the layer on top of some trained layers sees, for images."""
    for layer, tower in zip(layers, towers, strict=False):
        weights, mean = tensors(tower, str(parts.x_learn.device))
        parts = replace(
            parts,
            x_learn=rates(parts.x_learn, layer, weights, mean),
            x_score=rates(parts.x_score, layer, weights, mean),
        )
    return parts


def tensors(tower: xr.Dataset, device: str) -> tuple[Tensor, Tensor]:
    """Return the weights of the last layer of a tower, and the mean of what it sees."""
    return tuple(
        torch.from_numpy(tower[name].values).to(device) for name in ("weights", "mean")
    )


def rates(
    x: Tensor, layer: Layer, weights: Tensor, mean: Tensor
) -> Float[Tensor, "image unit"]:
    """Return max(cos, 0)^n of each unit (eq. 1)."""
    head = Readout(power=layer.power, scaling="set")
    return torch.cat(
        list(experiment.Streamed(weights, x, layer.preprocess, mean, head).blocks())
    )
