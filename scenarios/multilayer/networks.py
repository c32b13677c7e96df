"""Networks of several layers, and the treatment of the rates between them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fastpath import experiment
from fastpath.competition import Ranking
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.experiment import Split
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import Readout, Streamed
from fastpath.training.loop import Training
from scenarios.support.trials import Network, scored


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Settings of one layer, from the treatment of its inputs to its output rates."""

    num_units: int
    preprocess: Preprocess
    decorrelate: float | None = None
    """ε of the decorrelation of its inputs, before `preprocess`; None: no decorrelation."""
    p: float
    competition: Ranking
    training: Training
    power: float
    """n of the output rates max(cos, 0)^n."""


@dataclass(frozen=True, kw_only=True)
class Tower(Network):
    """Layers trained one after another; the result holds the weights of the last one."""

    layers: tuple[Layer, ...]

    @property
    def needs(self) -> "tuple[Tower, ...]":
        """The towers of its lower layers."""
        return tuple(
            replace(self, layers=self.layers[:height])
            for height in range(1, len(self.layers))
        )

    def compute(self, *below: xr.Dataset) -> xr.Dataset:
        """Return the weights of the last layer, from the towers of the lower layers."""
        _, split, _ = self.begin()
        split = climbed(split, self.layers, below)
        last = self.layers[-1]
        mixing = {}
        if last.decorrelate is not None:
            mixed = decorrelation(split.x_train, last.decorrelate)
            mixing = {"mixing": (("pixel", "rate"), mixed.cpu().numpy())}
        split = seen(split, xr.Dataset(mixing))
        layer, fitted, history = experiment.learn_features(
            split,
            layer=DenseSettings(num_units=last.num_units, p=last.p),
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
                "mean": ("pixel", fitted.mean.cpu().numpy()),
                **mixing,
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
        split = seen(climbed(split, self.layers, towers[:-1]), towers[-1])
        layer, preprocess = learned(towers[-1], self.layers[-1], device=self.device)
        _, errors = experiment.read_out(
            layer,
            preprocess,
            split,
            num_classes=len(images.classes),
            readout=self.readout,
            generator=generator,
            progress=False,
        )
        seconds = sum(float(tower["train_seconds"]) for tower in towers)
        dead = float(towers[-1]["dead"])
        return scored(errors, split, learn_seconds=seconds, dead=dead)


def climbed(
    split: Split, layers: tuple[Layer, ...], towers: tuple[xr.Dataset, ...]
) -> Split:
    """Return the images replaced by the output rates of the trained layers `towers`."""
    for layer, tower in zip(layers, towers, strict=False):
        units, preprocess = learned(tower, layer, device=str(split.x_train.device))
        split = seen(split, tower)
        split = replace(
            split,
            x_train=rates(split.x_train, units, preprocess, power=layer.power),
            x_eval=rates(split.x_eval, units, preprocess, power=layer.power),
        )
    return split


def seen(split: Split, tower: xr.Dataset) -> Split:
    """Return the inputs of a tower's last layer: rates, decorrelated if it asks for it."""
    if "mixing" not in tower:
        return split
    [mixing] = tensors(tower, "mixing", device=str(split.x_train.device))
    return replace(split, x_train=split.x_train @ mixing, x_eval=split.x_eval @ mixing)


def decorrelation(
    x: Float[Tensor, "image rate"], ridge: float
) -> Float[Tensor, "rate rate"]:
    """Return S = (C/c + ε)^(−1/2), C the covariance of rates and c their mean variance.

    S is symmetric: of all decorrelations it changes the rates least (Kessy, Lewin &
    Strimmer 2018). ε keeps the weakest directions, which are mostly noise, weak.
    """
    deviations = x - x.mean(dim=0, dtype=torch.float64).to(x.dtype)
    covariance = (deviations.T @ deviations).double() / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    values = (values / values.mean()).clamp(min=0) + ridge
    return ((vectors * values.rsqrt()) @ vectors.T).to(x.dtype)


def tensors(tower: xr.Dataset, *names: str, device: str) -> list[Tensor]:
    """Return arrays of a tower as tensors, such as the weights of its last layer."""
    return [torch.from_numpy(tower[name].values).to(device) for name in names]


def learned(
    tower: xr.Dataset, layer: Layer, *, device: str
) -> tuple[Dense, FittedPreprocess]:
    """Return the last layer of a tower, and the preprocessing of what it sees."""
    weights, mean = tensors(tower, "weights", "mean", device=device)
    return Dense(weights), FittedPreprocess(layer.preprocess, mean)


def rates(
    x: Tensor, layer: Dense, preprocess: FittedPreprocess, *, power: float
) -> Float[Tensor, "image unit"]:
    """Return the output rates max(cos, 0)^n of each unit (eq. 1)."""
    readout = Readout(power=power, scaling="set")
    return torch.cat(list(Streamed(layer, x, preprocess, readout).blocks()))
