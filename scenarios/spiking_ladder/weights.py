"""Weights that `fastpath` trains under Dale's law, for the spiking and the rate circuit."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath import experiment
from fastpath.data.defaults import defaults_for
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.layers import DenseSettings
from fastpath.layers.constraints import same_sign
from scenarios.support.spikes import rates
from scenarios.support.trials import Source

type Matrix = NDArray[np.float64]

LEARNED, RANDOM = "fastpath", "random weights"
THETA_MV = 40.0  # θ of all cells, as that of a trained spiking network
# Mean over images of the largest drive Σ W v in the spiking circuit: on MNIST, the weights
# then have the published sum of 78 on average.
DRIVE = 47.0
SAMPLE = 2000  # training images on which the drive is measured


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Non-negative weights trained by ranking from raw pixels; random ones as a control."""

    network: str
    source: Source
    num_units: int
    seed: int
    p: float
    epochs: int
    head_epochs: int
    validation: int = 0
    """Number of training images to score on instead of the test set; 0: the test set."""
    device: str = field(default="cpu", repr=False, compare=False)

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "network": self.network,
            "data": self.source.label,
            "num_units": self.num_units,
            "seed": self.seed,
        }

    def split(self) -> tuple[Split, int]:
        """Return the images to learn from and to score on, and the number of classes."""
        images = self.source.load()
        generator = torch.Generator().manual_seed(self.seed)
        split = experiment.split(
            images, validation=self.validation, generator=generator, device=self.device
        )
        return split, len(images.classes)

    def compute(self) -> xr.Dataset:
        """Return weights of unit norm, and their accuracy before that in `fastpath`."""
        split, num_classes = self.split()
        generator = torch.Generator().manual_seed(self.seed + 1)
        defaults = defaults_for(self.source.origin, self.num_units)
        random = self.network == RANDOM
        layer, fitted, _ = experiment.learn_features(
            split,
            layer=DenseSettings(
                num_units=self.num_units, p=self.p, constraint=same_sign(1)
            ),
            competition=defaults.competition,
            training=replace(defaults.training, epochs=0 if random else self.epochs),
            preprocess=Preprocess(),
            generator=generator,
            progress=False,
        )
        readout = defaults.random if random else replace(defaults.readout, power=6.0)
        _, errors = experiment.read_out(
            layer,
            fitted,
            split,
            num_classes=num_classes,
            readout=replace(readout, epochs=self.head_epochs),
            generator=generator,
            progress=False,
        )
        matrix = of_unit_norm(layer.weights.cpu().numpy())
        drive = rates(split.x_train[:SAMPLE]) @ matrix.T
        return xr.Dataset(
            {
                "weights": (("unit", "pixel"), matrix),
                "largest_drive": float(drive.max(axis=1).mean()),
                "fastpath_accuracy": 100 - errors[f"{split.scored_on}_error"],
            }
        )


def of_unit_norm(weights: NDArray[np.floating]) -> Matrix:
    """Return weights (unit, pixel) with rows of Euclidean norm 1."""
    matrix = np.maximum(weights.astype(np.float64), 0)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def spiking(
    learned: xr.Dataset,
    *,
    circuit: neurodyn.SpikingInhibition,
    stimulus: neurodyn.PoissonPresentation,
    rule: neurodyn.DiehlCook | None = None,
    backend: str,
    seed: int,
    theta_mv: float = THETA_MV,
) -> neurodyn.SpikingNetwork:
    """Return the spiking network with these weights, scaled to a largest drive of DRIVE."""
    scaled = learned["weights"].values * DRIVE / float(learned["largest_drive"])
    if rule is not None:
        rule = replace(rule, w_max=float(scaled.max()))
    return neurodyn.SpikingNetwork(
        circuit,
        scaled,
        plasticity=rule,
        stimulus=stimulus,
        theta_mv=theta_mv,
        backend=backend,
        seed=seed,
    )
