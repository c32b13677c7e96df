"""Networks whose error is recorded after each epoch of supervised training.

Their first layer may come from the local rule, without labels. It is a separate trial,
because several networks use the same layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fastpath import baselines, experiment
from fastpath.baselines import Backprop
from fastpath.competition import Ranking
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import BLOCK, Readout, Streamed
from fastpath.training.loop import Training
from scenarios.support.trials import Network, scored


@dataclass(frozen=True, kw_only=True)
class Layer(Network):
    """A layer trained by the local rule, without labels."""

    p: float
    competition: Ranking
    training: Training

    def compute(self) -> xr.Dataset:
        """Return the weights of the layer, and the seconds of their training."""
        _, split, generator = self.begin()
        (layer, _, _), seconds = experiment.timed(
            lambda: experiment.learn_features(
                split,
                layer=DenseSettings(num_units=self.num_units, p=self.p),
                competition=self.competition,
                training=self.training,
                preprocess=self.preprocess,
                generator=generator,
                progress=False,
            )
        )
        weights = (("unit", "pixel"), layer.weights.cpu().numpy())
        return xr.Dataset({"weights": weights, "layer_seconds": seconds})


@dataclass
class Curve:
    """Counts of correctly classified images of each class, after each epoch."""

    blocks: Sequence[Float[Tensor, "image input"]]
    """Inputs of the network for the images to score on."""
    y: Int[Tensor, " image"]
    classes: Sequence[str]
    right: list[np.ndarray] = field(default_factory=list)

    @torch.no_grad()
    def add(self, epoch: int, network: Callable[[Tensor], Tensor]) -> None:
        """Count the images that a network classifies correctly."""
        answers = torch.cat([network(block).argmax(dim=1) for block in self.blocks])
        self.right.append(self._count(self.y[answers == self.y]))

    def _count(self, labels: Int[Tensor, " image"]) -> np.ndarray:
        return torch.bincount(labels, minlength=len(self.classes)).cpu().numpy()

    def dataset(self) -> xr.Dataset:
        """Return the error and the accuracy of each class after each epoch, in percent."""
        right, total = np.stack(self.right), self._count(self.y)
        accuracy = 100 * right / np.where(total, total, np.nan)  # a class may have no image
        wrong = len(self.y) - right.sum(axis=1)
        return xr.Dataset(
            {
                "error": ("epoch", 100 * wrong / len(self.y)),
                "accuracy": (("epoch", "label"), accuracy.astype(np.float32)),
            },
            coords={
                "epoch": np.arange(1, len(right) + 1),
                "label": list(self.classes),
            },
        )


@dataclass(frozen=True, kw_only=True)
class Perceptron(Network):
    """Pixels, ReLU units and classes, trained by back-propagation."""

    backprop: Backprop
    layer: Layer | None = None
    """Initial weights of the units, at unit norm and without biases; None: random."""
    frozen: bool = False
    """Whether the weights of the units are kept fixed."""

    @property
    def needs(self) -> tuple[Layer, ...]:
        """The trials whose results it uses."""
        return () if self.layer is None else (self.layer,)

    def compute(self, *given: xr.Dataset) -> xr.Dataset:
        """Return the errors after each epoch."""
        images, split, generator = self.begin()
        fitted = self.preprocess.fit(split.x_train)
        seen = [fitted(block) for block in split.x_eval.split(BLOCK)]
        curve = Curve(seen, split.y_eval, images.classes)
        rows = [functional.normalize(weights_of(one, fitted.mean), dim=1) for one in given]
        trained, seconds = experiment.timed(
            lambda: baselines.backprop(
                split,
                num_units=self.num_units,
                num_classes=len(images.classes),
                backprop=self.backprop,
                preprocess=self.preprocess,
                generator=generator,
                progress=False,
                first=rows[0] if rows else None,
                frozen=self.frozen,
                on_epoch_end=curve.add,
            )
        )
        done = scored(trained.errors, split, learn_seconds=seconds, **layer_seconds(given))
        return done.assign(curve.dataset())


@dataclass(frozen=True, kw_only=True)
class OwnReadout(Network):
    """A layer trained by the local rule, with the readout of the local rule."""

    readout: Readout
    layer: Layer

    @property
    def needs(self) -> tuple[Layer, ...]:
        """The trials whose results it uses."""
        return (self.layer,)

    def compute(self, *given: xr.Dataset) -> xr.Dataset:
        """Return the errors after each epoch of the readout."""
        [layer] = given
        images, split, generator = self.begin()
        fitted = self.preprocess.fit(split.x_train)
        learned = Dense(weights_of(layer, fitted.mean))
        seen = Streamed(learned, split.x_eval, fitted, self.readout)
        curve = Curve(list(seen.blocks()), split.y_eval, images.classes)
        (_, errors), seconds = experiment.timed(
            lambda: experiment.read_out(
                learned,
                fitted,
                split,
                num_classes=len(images.classes),
                readout=self.readout,
                generator=generator,
                progress=False,
                on_epoch_end=curve.add,
            )
        )
        done = scored(errors, split, learn_seconds=seconds, **layer_seconds(given))
        return done.assign(curve.dataset())


def weights_of(layer: xr.Dataset, like: Tensor) -> Float[Tensor, "unit pixel"]:
    """Return the weights of a layer, with device and dtype of `like`."""
    return torch.from_numpy(layer["weights"].values).to(like)


def layer_seconds(given: Sequence[xr.Dataset]) -> dict[str, float]:
    """Return the training time of the first layer in seconds, 0 if it is random."""
    return {"layer_seconds": sum(float(layer["layer_seconds"]) for layer in given)}
