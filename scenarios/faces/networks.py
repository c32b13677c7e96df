"""Faces as they are learned from, and the networks of this study alone."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from fastpath.data import datasets
from fastpath.experiment import Split, Trained
from scenarios.faces.defaults import CLASSES, KNOWN
from scenarios.support.trials import Local, Network, Source, scored

FIELD_LEVELS = 64  # a weight is kept as a multiple of 1/64 of its unit's largest


@dataclass(frozen=True, kw_only=True)
class Faces(Source):
    """Images that show the same when mirrored, as faces do and digits do not."""

    @property
    def origin(self) -> str:
        """The known set of faces that it is, or empty."""
        return KNOWN.get(self.digest, "")

    def load(self) -> datasets.Images:
        """Return the images, with names of the classes that are known."""
        images = super().load()
        if images.classes != ("0", "1"):  # the file has names of its own
            return images
        name = self.origin or images.name
        return replace(images, classes=CLASSES.get(name, images.classes))

    def to_learn(self, split: Split) -> Split:
        """Add the mirror images; those scored on stay as they are, and out of it."""
        x, y = split.x_train, split.y_train
        return replace(split, x_train=torch.cat([x, x.flip(2)]), y_train=torch.cat([y, y]))


@dataclass(frozen=True, kw_only=True)
class Shown(Local):
    """A network some receptive fields of which are kept."""

    fields: int
    """Keep those of so many units, the first ones: units are in no order."""

    def score(self, trained: Trained, split: Split) -> xr.Dataset:
        """Return what is kept of the network, the receptive fields in few levels.

        Units that learned from few faces show them: those of the known sets, people who
        did not ask for it, are not kept.
        """
        if {self.source.origin, self.source.name} & CLASSES.keys():
            return super().score(trained, split)
        fields = trained.weights[: self.fields].cpu()
        fields = fields / fields.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
        kept = np.rint(fields.numpy() * FIELD_LEVELS) / FIELD_LEVELS
        return super().score(trained, split).assign(fields=(("unit", "pixel"), kept))


@dataclass(frozen=True, kw_only=True)
class LargestClass(Network):
    """No network at all: every image is said to be of the class most trained with."""

    def compute(self) -> xr.Dataset:
        """Return its errors."""
        _, split, _ = self.begin()
        said = split.y_train.mode().values
        errors = {
            f"{split.scored_on}_error": 100 * float((split.y_eval != said).float().mean()),
            "train_error": 100 * float((split.y_train != said).float().mean()),
        }
        return scored(errors, split, learn_seconds=0.0)
