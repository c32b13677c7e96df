"""Networks at three stages of training by ranking, and their split of the images.

The training images are split once per seed: networks learn from five sixths. The last sixth
is the validation split: it serves all choices of settings, and the comparison of steps of
learning. Test images are used for readout errors only.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fastpath import experiment
from fastpath.competition import Competition
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.training.loop import Training, train
from scenarios.support.circuit import RANKING

STAGES = ("initial", "early", "late")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set with the split and the preprocessing of one seed."""

    data: str
    unit_norm: bool
    seed: int
    root: Path | None = field(default=None, repr=False, compare=False)

    @property
    def preprocess(self) -> Preprocess:
        """Pixels in [0, 1], and unit norm if asked for."""
        return Preprocess(unit_norm=self.unit_norm)

    @property
    def images(self) -> str:
        """Name of the preprocessing, a coordinate of the results."""
        return "unit norm" if self.unit_norm else "raw"

    def load(self) -> datasets.Images:
        """Return the data set."""
        return _loaded(self.data, self.root)

    def validation(self) -> experiment.Split:
        """Return the training images, with the validation images to score on."""
        return _split(self.data, self.root, self.seed)

    def test(self) -> experiment.Split:
        """Return the same training images, with the test images to score on."""
        images, known = self.load(), self.validation()
        return experiment.Split(
            known.x_train,
            known.y_train,
            torch.from_numpy(images.x_test),
            torch.from_numpy(images.y_test),
            "test",
        )

    def seen(self, x: Tensor) -> Float[Tensor, "image pixel"]:
        """Return preprocessed images, float64."""
        return self.preprocess(x, torch.zeros(x[0].numel(), dtype=torch.float64))

    def start(self, num_units: int, num_pixels: int) -> Dense:
        """Return the initial layer of all trainings with this seed, float64."""
        generator = torch.Generator().manual_seed(self.seed)
        return Dense.random(num_units, num_pixels, generator=generator, dtype=torch.float64)


@lru_cache(maxsize=1)
def _loaded(data: str, root: Path | None) -> datasets.Images:
    return datasets.load(data, root)


@lru_cache(maxsize=1)
def _split(data: str, root: Path | None, seed: int) -> experiment.Split:
    images = _loaded(data, root)
    return experiment.split(
        images,
        validation=len(images.x_train) // 6,
        generator=torch.Generator().manual_seed(seed),
    )


@dataclass(frozen=True, kw_only=True)
class Network:
    """Training by ranking: weights before it, after one epoch and after all epochs."""

    source: Source
    num_units: int
    epochs: int

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "num_units": self.num_units,
            "images": self.source.images,
            "seed": self.source.seed,
        }

    def compute(self) -> xr.Dataset:
        """Return weights (stage, unit, pixel) in float32, the precision of training."""
        x = self.source.validation().x_train
        by_stage = [
            mini_batch(self.source, x, self.num_units, RANKING, epochs=epochs)
            for epochs in (0, 1, self.epochs)
        ]
        return xr.Dataset(
            {"weights": (("stage", "unit", "pixel"), np.stack(by_stage))},
            coords={"stage": list(STAGES)},
        )


def mini_batch(
    source: Source, x: Tensor, num_units: int, competition: Competition, *, epochs: int
) -> NDArray[np.float32]:
    """Return weights learned in mini-batches of 100, as published."""
    start = source.start(num_units, x[0].numel())
    layer = Dense(start.weights.float())
    train(
        layer,
        x,
        competition=competition,
        training=Training(epochs=epochs),
        preprocess=source.preprocess.fit(x),
        generator=torch.Generator().manual_seed(source.seed + 1),
        progress=False,
    )
    return layer.weights.numpy()
