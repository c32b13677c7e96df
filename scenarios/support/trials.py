"""Networks that are trained and scored, each a trial of a study: see `grid`.

The settings of a trial are all that its result depends on. The device and the path of the
images differ between machines and are not among them.
"""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import xarray as xr

from fastpath import baselines, experiment
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.defaults import Defaults
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split, Trained
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import Readout
from fastpath.training.loop import Training

type Method = Literal[
    "local rule", "back-propagation", "random weights", "k-means", "pixels"
]
METHODS: tuple[Method, ...] = Method.__value__.__args__
GRAY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in PNG readers


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set, in colour or gray."""

    name: str
    gray: bool = False
    digest: str = ""
    """Digest of the images and labels of a file or folder; empty for a built-in set."""
    path: str = field(repr=False, compare=False)
    root: Path | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, path: str, root: Path | None, *, gray: bool = False) -> Self:
        """Return the data set of a name or path.

        Raises
        ------
        ValueError
            If there is no such data set: see `datasets.load`.
        """
        images = _loaded(path, root)
        digest = ""
        if path not in datasets.NAMES:
            digest = _digest(images)
        return cls(name=images.name, gray=gray, digest=digest, path=path, root=root)

    @property
    def origin(self) -> str:
        """Name of a built-in set, which selects its settings; empty for a file."""
        return "" if self.digest else self.name

    @property
    def label(self) -> str:
        """Name in tables and figures; a file named like a built-in set adds its digest."""
        alike = self.digest and self.name in datasets.NAMES
        name = f"{self.name} {self.digest}" if alike else self.name
        return f"{name} gray" if self.gray else name

    def load(self) -> datasets.Images:
        """Return the images."""
        images = _loaded(self.path, self.root)
        if not self.gray or images.shape[2] == 1:
            return images
        gray = {
            name: np.rint(getattr(images, name) @ GRAY)[..., None].astype(np.uint8)
            for name in ("x_train", "x_test")
        }
        return replace(images, **gray)

    def to_learn(self, split: Split) -> Split:
        """Return the split to train on; subclasses may add training images."""
        return split


def _digest(images: datasets.Images) -> str:
    """Return a digest of images and labels."""
    digest = hashlib.sha256()
    for name in datasets.ARRAYS:
        digest.update(np.ascontiguousarray(getattr(images, name)).data)
    # The number of bytes determines the shape of square images with 1 or 3 channels.
    height, width, channels = images.shape
    numbers = tuple(map(str, range(len(images.classes))))
    if height != width or channels not in (1, 3) or images.classes != numbers:
        digest.update(repr((images.shape, images.classes)).encode())
    return digest.hexdigest()[:10]


@functools.lru_cache(maxsize=1)
def _loaded(path: str, root: Path | None) -> datasets.Images:
    return datasets.load(path, root)


@dataclass(frozen=True, kw_only=True)
class Network(ABC):
    """Settings that all networks have: method, images, number of units, seed."""

    network: str
    """Name of the method that sets the weights of the units."""
    source: Source
    num_units: int
    seed: int
    preprocess: Preprocess
    validation: int = 0
    """Number of training images to score on instead of the test set; 0: the test set."""
    device: str = field(default="cpu", repr=False, compare=False)

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "data": self.source.label,
            "network": self.network,
            "num_units": self.num_units,
            "seed": self.seed,
        }

    @abstractmethod
    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""

    def begin(self) -> tuple[datasets.Images, Split, torch.Generator]:
        """Return the images, their split, and the random generator of the seed."""
        images, generator = self.source.load(), torch.Generator().manual_seed(self.seed)
        split = experiment.split(
            images, validation=self.validation, generator=generator, device=self.device
        )
        return images, self.source.to_learn(split), generator


@dataclass(frozen=True, kw_only=True)
class Local(Network):
    """Units trained by the local rule; with 0 epochs the control, random weights."""

    p: float
    competition: Ranking
    training: Training
    readout: Readout

    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""
        images, split, generator = self.begin()
        trained = experiment.learn(
            split,
            layer=DenseSettings(num_units=self.num_units, p=self.p),
            num_classes=len(images.classes),
            competition=self.competition,
            training=self.training,
            preprocess=self.preprocess,
            readout=self.readout,
            generator=generator,
            progress=False,
        )
        return self.score(trained, split)

    def score(self, trained: Trained, split: Split) -> xr.Dataset:
        """Return what is kept of a trained network."""
        learning = trained.history["learning"]
        return scored(
            trained.metrics,
            split,
            learn_seconds=trained.metrics["train_seconds"],
            dead=100 * (1 - float(learning[-1])) if learning.size else np.nan,
        )


@dataclass(frozen=True, kw_only=True)
class Clusters(Network):
    """Units whose weights are the centres of k-means clusters."""

    kmeans: KMeans
    readout: Readout

    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""
        images, split, generator = self.begin()
        fitted = self.preprocess.fit(split.x_train)
        weights, seconds = experiment.timed(
            lambda: baselines.kmeans(
                split.x_train,
                num_units=self.num_units,
                kmeans=self.kmeans,
                preprocess=fitted,
                seed=self.seed,
            )
        )
        _, errors = experiment.read_out(
            Dense(weights),
            fitted,
            split,
            num_classes=len(images.classes),
            readout=self.readout,
            generator=generator,
            progress=False,
        )
        return scored(errors, split, learn_seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class EndToEnd(Network):
    """The same network trained by back-propagation."""

    backprop: Backprop

    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""
        images, split, generator = self.begin()
        trained, seconds = experiment.timed(
            lambda: baselines.backprop(
                split,
                num_units=self.num_units,
                num_classes=len(images.classes),
                backprop=self.backprop,
                preprocess=self.preprocess,
                generator=generator,
                progress=False,
            )
        )
        return scored(trained.errors, split, learn_seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class Pixels(Network):
    """A linear classifier of the pixels, without hidden units."""

    readout: Readout

    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""
        images, split, generator = self.begin()
        errors, seconds = experiment.timed(
            lambda: baselines.linear(
                split,
                num_classes=len(images.classes),
                preprocess=self.preprocess,
                readout=self.readout,
                generator=generator,
                progress=False,
            )
        )
        return scored(errors, split, learn_seconds=seconds)


def network(
    method: Method,
    defaults: Defaults,
    *,
    linear: Readout,
    kmeans: KMeans,
    local: Callable[..., Local] = Local,
    **common: Any,
) -> Network:
    """Return a network or control with the default settings of its data set.

    Parameters
    ----------
    linear, kmeans
        Settings of the classifier of pixels and of k-means.
    local
        Class of the networks trained by the local rule.
    common
        Source, number of units, seed and device.
    """
    common |= {"network": method, "preprocess": defaults.preprocess}
    match method:
        case "local rule" | "random weights":
            random = method == "random weights"
            epochs = 0 if random else defaults.training.epochs
            return local(
                **common,
                p=defaults.p,
                competition=defaults.competition,
                training=replace(defaults.training, epochs=epochs),
                readout=defaults.random if random else defaults.readout,
            )
        case "k-means":
            return Clusters(**common, kmeans=kmeans, readout=defaults.kmeans)
        case "back-propagation":
            common["preprocess"] = defaults.backprop_preprocess
            return EndToEnd(**common, backprop=defaults.backprop)
        case "pixels":
            return Pixels(**common, readout=linear)


def scored(
    errors: dict[str, float], split: Split, *, learn_seconds: float, **more: Any
) -> xr.Dataset:
    """Return the errors on scored images and on training images, in percent."""
    return xr.Dataset(
        {
            "error": errors[f"{split.scored_on}_error"],
            "train_error": errors["train_error"],
            "learn_seconds": learn_seconds,
            **more,
        }
    )
