"""Faces with mirror images, and the networks of this study only."""

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
    """Images whose mirror images belong to the same class, such as faces."""

    @property
    def origin(self) -> str:
        """Name in `KNOWN` of a set with this content, or an empty string."""
        return KNOWN.get(self.digest, "")

    def load(self) -> datasets.Images:
        """Return the images, with names of the classes if the file has none."""
        images = super().load()
        if images.classes != ("0", "1"):  # the file has names of its own
            return images
        name = self.origin or images.name
        return replace(images, classes=CLASSES.get(name, images.classes))

    def to_learn(self, split: Split) -> Split:
        """Add mirror images to the training images, not to the images to score on."""
        x, y = split.x_train, split.y_train
        return replace(split, x_train=torch.cat([x, x.flip(2)]), y_train=torch.cat([y, y]))


@dataclass(frozen=True, kw_only=True)
class Shown(Local):
    """A network of the local rule that keeps some receptive fields."""

    fields: int
    """Number of units whose receptive fields are kept, the first ones."""

    def score(self, trained: Trained, split: Split) -> xr.Dataset:
        """Return the errors, and the receptive fields rounded to few levels.

        Receptive fields may show the faces of people who did not consent to it. So those of
        the sets in `CLASSES` are not kept.
        """
        if {self.source.origin, self.source.name} & CLASSES.keys():
            return super().score(trained, split)
        fields = trained.weights[: self.fields].cpu()
        fields = fields / fields.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
        kept = np.rint(fields.numpy() * FIELD_LEVELS) / FIELD_LEVELS
        return super().score(trained, split).assign(fields=(("unit", "pixel"), kept))


@dataclass(frozen=True, kw_only=True)
class LargestClass(Network):
    """The control that assigns every image to the largest class of the training set."""

    def compute(self) -> xr.Dataset:
        """Return the errors of this control."""
        _, split, _ = self.begin()
        said = split.y_train.mode().values
        errors = {
            f"{split.scored_on}_error": 100 * float((split.y_eval != said).float().mean()),
            "train_error": 100 * float((split.y_train != said).float().mean()),
        }
        return scored(errors, split, learn_seconds=0.0)
