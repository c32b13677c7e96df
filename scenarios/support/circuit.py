"""Shared by scenarios that put a trained layer into the lateral-inhibition circuit."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers import Dense
from fastpath.runs import storage
from fastpath.training.loop import Training, train
from neurodyn import equilibrium, traces
from scenarios.support.checks import check_counts

TAU_MS = 10.0
RANKING = Ranking(k=2, delta=0.4)
HEBB_ONLY = Ranking(k=2, delta=0.0)
CANDIDATES = 201  # thresholds h* tried


@dataclass(frozen=True, kw_only=True)
class CircuitConfig:
    """Settings of the trained layer, the images and the files of results."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    data_root: Path | None = None
    """Folder of the data sets [$NEURODYN_DATA, else the user's cache]."""
    units: int = 100
    """Number of hidden units."""
    epochs: int | None = None
    """Epochs of training by ranking [50 on the digits, else 5]."""
    num_images: int = 50
    """Held-out images shown to the circuit."""
    backend: str = "cython"
    """Backend of Brian2: numpy, cython, cpp (compiles for each simulation) or auto."""
    out: Path | None = None
    """Folder of results [runs/<scenario>]."""
    figure: Path | None = None
    """File of the figure [figures/<scenario>.png]."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        check_counts(self, "units", "epochs", "num_images")

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return the folder of results and the file of the figure, both checked.

        Raises
        ------
        ValueError
            If the folder holds results and `overwrite` is False, or if a path cannot be
            written to.
        """
        datasets.check_root(self, self.data)
        stem = Path(self.data).stem
        name = name if stem == "digits" else f"{name}_{stem}"
        out = self.out or Path("runs") / name
        figure = self.figure or Path("figures") / f"{name}.png"
        storage.prepare(out, overwrite=self.overwrite)
        traces.check_writable(figure)
        return out, figure

    def epochs_on(self, images: datasets.Images) -> int:
        """Return the number of training epochs for a data set."""
        if self.epochs is None:
            return 50 if images.origin == "digits" else 5
        return self.epochs

    def check_held_out(self, images: datasets.Images) -> None:
        """Raise ValueError if fewer than `num_images` are held out."""
        if self.num_images > len(images.x_test):
            raise ValueError(
                f"num_images is {self.num_images}: {len(images.x_test)} images are held out"
            )

    def learn(
        self, images: datasets.Images, *, seed: int, random: bool = False
    ) -> "Learned":
        """Return a layer trained by ranking, or with its random initial weights."""
        self.check_held_out(images)
        x = torch.from_numpy(images.x_train)
        preprocess = defaults_for(images.origin).preprocess.fit(x)
        generator = torch.Generator().manual_seed(seed)
        layer = Dense.random(self.units, preprocess.num_pixels, generator=generator)
        train(
            layer,
            x,
            competition=RANKING,
            training=Training(epochs=0 if random else self.epochs_on(images)),
            preprocess=preprocess,
            generator=generator,
            progress=False,
        )
        return Learned.of(layer.weights, images, preprocess, self.num_images)


@dataclass(frozen=True)
class Learned:
    """Weights of a trained layer, and preprocessed images."""

    weights: torch.Tensor
    """(unit, pixel), float64."""
    held_out: torch.Tensor
    """Preprocessed test images, (image, pixel), float64."""
    seen: torch.Tensor
    """1000 preprocessed training images, on which h* is chosen."""

    @classmethod
    def of(
        cls,
        weights: torch.Tensor,
        images: datasets.Images,
        preprocess: FittedPreprocess,
        num_images: int,
    ) -> "Learned":
        """Return weights and images drawn at random (a set may be sorted by class)."""
        generator = torch.Generator().manual_seed(0)
        held_out, seen = (
            preprocess(
                torch.from_numpy(x)[torch.randperm(len(x), generator=generator)[:count]]
            ).double()
            for x, count in ((images.x_test, num_images), (images.x_train, 1000))
        )
        return cls(weights.double(), held_out, seen)

    def threshold(self, *, w_inh: float) -> float:
        """Return the h* that exactly one unit reaches on most training images."""
        drive = self.seen @ self.weights.T
        return single_winner_threshold(equilibrium.settle(drive, w_inh=w_inh))


def single_winner_threshold(h: NDArray[np.floating]) -> float:
    """Return the h* that exactly one unit reaches on most images; h is (image, unit)."""
    candidates = np.quantile(h.max(axis=1), np.linspace(0, 1, CANDIDATES))
    top = np.sort(h, axis=1)[:, -2:]
    share = [((top >= h_star).sum(axis=1) == 1).mean() for h_star in candidates]
    return float(candidates[np.argmax(share)])


def step_ms(run: xr.Dataset) -> float:
    """Return the time step of a simulation [ms]."""
    return float(json.loads(run.attrs["config"])["dt_ms"])
