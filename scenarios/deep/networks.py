"""Networks of the study: what a stack learns, and how well a linear readout does with it.

The filters of a stack are a trial of their own, because several readouts use them.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fastpath import experiment
from fastpath.baselines import Backprop
from fastpath.baselines.stacks import backprop_stack
from fastpath.competition import Soft
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.experiment import Split
from fastpath.layers import Stack, StackSettings
from fastpath.layers.stages import Read
from fastpath.readout import (
    Features,
    LinearHead,
    Mirrored,
    Readout,
    Streamed,
    confusion,
    error,
    error_of,
    fit,
    held,
    hold,
)
from fastpath.readout.sources import as_features
from fastpath.training.loop import Training
from scenarios.support.trials import Network, Source

type Mirrors = Literal["no", "drawn", "mean"]
PLAIN = Preprocess()


@dataclass(frozen=True, kw_only=True)
class Filters(Network):
    """A stack that learns without labels, or a control; the result holds its tensors."""

    stack: StackSettings
    training: Training
    flips: bool = field(default=False, metadata={"neutral": False})
    """Whether each image is learned as it is or mirrored, each with probability 1/2."""
    backprop: Backprop | None = field(default=None, metadata={"neutral": None})
    """Train the filters by back-propagation, with labels."""

    def compute(self) -> xr.Dataset:
        """Return the tensors of the stack, and the seconds of learning."""
        images, split, generator = self.begin_learning()

        def learned() -> Stack:
            layer, fitted, _ = experiment.learn_features(
                split,
                layer=self.stack,
                competition=Soft(),
                training=self.training,
                preprocess=self.preprocess,
                generator=generator,
                progress=False,
            )
            if self.backprop is not None:
                backprop_stack(
                    layer,
                    split,
                    num_classes=len(images.classes),
                    backprop=self.backprop,
                    preprocess=fitted,
                    generator=generator,
                    progress=False,
                )
            assert isinstance(layer, Stack)
            return layer

        layer, seconds = experiment.timed(learned)
        tensors = {
            name: ([f"{name} {i}" for i in range(tensor.ndim)], tensor.cpu().numpy())
            for name, tensor in layer.state.items()
        }
        return xr.Dataset({**tensors, "learn_seconds": seconds})

    def begin_learning(self) -> tuple[datasets.Images, Split, torch.Generator]:
        """Return the images, the split to learn from, and the random generator."""
        images, split, generator = self.begin()
        if not self.flips:
            return images, split, generator
        x = split.x_train
        mirrored = torch.randint(2, (len(x),), generator=generator).bool()
        x = torch.where(mirrored.to(x.device).view(-1, 1, 1, 1), x.flip(2), x)
        return images, replace(split, x_train=x), generator

    def load(self, learned: xr.Dataset, split: Split) -> tuple[Stack, FittedPreprocess]:
        """Return the stack of a result, and its preprocessing."""
        shape = split.x_train.shape[1:]
        tensors = {
            name: torch.from_numpy(learned[name].values).to(split.x_train.device)
            for name in self.stack.shapes(shape)
        }
        stack = self.stack.load(tensors, input_shape=shape)
        return stack, self.preprocess.fit(split.x_train)


@dataclass(frozen=True, kw_only=True)
class View:
    """What a readout sees of a stack, and the settings of the readout."""

    name: str
    layers: tuple[int, ...]
    """The layers it sees, from 1, one after another."""
    mirrored: Mirrors = "no"
    """"drawn": each epoch of the readout's training shows each image or its mirror image,
    each with probability 1/2. "mean": features are the mean over an image and its mirror
    image, in training and in the test."""
    readout: Readout


class Seen(Features):
    """Some columns of features, or their mean over images and mirror images.

    `both` has the features of all images, then, if they are needed, those of as many mirror
    images. `rows` is the number of rows to show: all images, or mirror images too.
    """

    def __init__(self, both: Features, columns: slice, *, rows: int, mean: bool) -> None:
        self._both, self._columns, self._rows, self._mean = both, columns, rows, mean

    def __len__(self) -> int:
        return self._rows

    @property
    def block(self) -> int:
        """Number of images in a block: few where an image has many features."""
        return self._both.block

    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images."""
        if isinstance(images, slice):
            images = torch.tensor(range(*images.indices(self._rows)), dtype=torch.int64)
        found = self._both[images][:, self._columns]
        if self._mean:
            found = (found + self._both[images + self._rows][:, self._columns]) / 2
        return found


@dataclass(frozen=True, kw_only=True)
class OfFilters(Network):
    """Results of a stack that was trained before."""

    question: str
    filters: Filters

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked: few, as most networks differ."""
        return {
            "network": label(self.source, self.question, self.network),
            "seed": self.seed,
        }

    @property
    def needs(self) -> tuple[Filters, ...]:
        """The filters."""
        return (self.filters,)


@dataclass(frozen=True, kw_only=True)
class Accuracy(OfFilters):
    """Errors of readouts of a stack, each trained from the same filters."""

    views: tuple[View, ...]

    def compute(self, *needed: xr.Dataset) -> xr.Dataset:
        """Return the errors of each view in percent, from the result of the filters."""
        [learned] = needed
        images, split, generator = self.begin()
        num_classes = len(images.classes)
        stack, preprocess = self.filters.load(learned, split)
        (heads, found), seconds = experiment.timed(
            lambda: self.read(stack, preprocess, split, num_classes, generator)
        )
        names = [view.name for view in self.views]
        return xr.Dataset(
            {
                **{name: ("view", values) for name, values in found.items()},
                "learn_seconds": learned["learn_seconds"],
                "read_seconds": seconds,
                "largest_class": largest_class(split),
                **self.more(stack, split, heads, generator),
            },
            coords={"view": names},
        )

    def more(
        self,
        stack: Stack,
        split: Split,
        heads: dict[str, LinearHead],
        generator: torch.Generator,
    ) -> dict[str, Any]:
        """Return further results, of the stack with the head of each view."""
        return {}

    def read(
        self,
        stack: Stack,
        preprocess: FittedPreprocess,
        split: Split,
        num_classes: int,
        generator: torch.Generator,
    ) -> tuple[dict[str, LinearHead], dict[str, list[float]]]:
        """Return the trained head of each view, and its errors in percent."""
        mirrored = any(view.mirrored != "no" for view in self.views)
        readout = replace(self.views[0].readout, flips=mirrored)
        of_train, of_scored = (
            as_features(hold(Streamed(stack, x, preprocess, readout, mirrored=mirrored)))
            for x in (split.x_train, split.x_eval)
        )
        heads: dict[str, LinearHead] = {}
        errors: dict[str, list[float]] = {
            name: [] for name in ("error", "train_error", "balanced_error")
        }
        for view in self.views:
            head, found = self.read_view(
                view, of_train, of_scored, split, num_classes, generator
            )
            heads[view.name] = head
            for name, value in found.items():
                errors[name].append(value)
        return heads, errors

    def read_view(
        self,
        view: View,
        of_train: Features,
        of_scored: Features,
        split: Split,
        num_classes: int,
        generator: torch.Generator,
    ) -> tuple[LinearHead, dict[str, float]]:
        """Return the trained head of a view, and its errors in percent."""
        drawn, mean = view.mirrored == "drawn", view.mirrored == "mean"
        columns = columns_of(self.filters.stack, split.x_train.shape[1:], view.layers)
        rows = (2 if drawn else 1) * len(split.x_train)
        seen = Seen(of_train, columns, rows=rows, mean=mean)
        # Held once more, as the head reads it: many epochs need less memory traffic.
        x = held(seen, flop=math.inf)
        shown = Mirrored(x) if drawn else x
        head = fit(
            shown,
            split.y_train,
            num_classes=num_classes,
            readout=replace(view.readout, flips=drawn),
            generator=generator,
            progress=False,
        )
        scored = Seen(of_scored, columns, rows=len(split.x_eval), mean=mean)
        answers = confusion(head, scored, split.y_eval)
        return head, {
            "error": error_of(answers),
            "train_error": error(head, shown, split.y_train),
            "balanced_error": balanced_error(answers),
        }


def largest_class(split: Split) -> float:
    """Return the percentage of scored images that are of the largest training class."""
    return 100 * float((split.y_eval == split.y_train.mode().values).double().mean())


def label(source: Source, question: str, network: str) -> str:
    """Return the name of a network in the record."""
    return f"{source.label}, {question}, {network}"


def columns_of(
    stack: StackSettings, input_shape: tuple[int, ...], layers: tuple[int, ...]
) -> slice:
    """Return the columns of the features that neighbouring layers have.

    Raises
    ------
    ValueError
        If a layer is not there, or they are no neighbours.
    """
    shapes = stack.input_shapes(input_shape)
    sizes = [
        stage.num_features(shape)
        for stage, shape in zip(stack.stages, shapes, strict=False)
        if isinstance(stage, Read)
    ]
    first, last = layers[0], layers[-1]
    if layers != tuple(range(first, last + 1)) or not 1 <= first <= last <= len(sizes):
        raise ValueError(
            f"layers are {layers}: neighbours among 1 to {len(sizes)} are needed, such as "
            "(1, 2)"
        )
    return slice(sum(sizes[: first - 1]), sum(sizes[:last]))


def balanced_error(confusion: Int[Tensor, "label answer"]) -> float:
    """Return the mean over the labels that occur of their errors in percent."""
    number = confusion.sum(dim=1)
    right = confusion.diagonal()[number > 0] / number[number > 0]
    return 100 * float(1 - right.double().mean())
