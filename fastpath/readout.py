"""The supervised readout: one linear layer that learns classes from the hidden units.

Features (K&H 2019, eq. 1): max(Σ_i W_ui v_i, 0)^n, with images v and rows of W of unit
norm, so that the product is a cosine and its n-th power neither overflows nor vanishes
(`layers.Dense.features`).
The losses are in `fastpath.losses`.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019); that n acts on cosines is the
author's advice for reproducing the published error.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.ambient import adam, isolated
from fastpath.compute import enough_threads
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers import Encoder
from fastpath.losses import LOSSES
from fastpath.training.history import ReadoutLog
from neurodyn.progress import progress_bar

BLOCK = 4096  # images at a time, where all at once would take too much memory
WARM_UP = 0.05  # of the steps of the readout's training
# Sum of an image's features, or its mean over the training images. A step of Adam moves
# each weight by about lr, so an output by up to lr times this sum for any number of units.
FEATURE_SUM = 200.0


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Settings of the head and its training."""

    epochs: int = 20
    power: float = 4.5
    """n of eq. 1."""
    scaling: str = "image"
    """"image": each image's features are brought to one sum; "set": one factor for all
    images, so that those of the training set have this sum on average; "unit": each unit's
    feature is standardised over the training images."""
    loss: str = "tanh"
    """"tanh" (eq. 12) or "cross-entropy": see `losses`."""
    m: float | int = 6.0
    """Exponent of the tanh loss, eq. 12."""
    beta: float = 1.0
    """Steepness of the tanh."""
    smoothing: float = 0.0
    """Cross-entropy: share of each target that is spread over all classes."""
    lr: float = 5e-3
    schedule: str = "cosine"
    """"cosine": from lr to 0; "step": lr halved every fifth of the epochs."""
    batch_size: int = 100

    def __post_init__(self) -> None:
        wanted: dict[str, Callable[[str, Any], Any]] = {
            "epochs": checks.count,
            "power": checks.positive,
            "scaling": checks.one_of(*SCALINGS),
            "loss": checks.one_of(*LOSSES),
            "m": checks.positive,
            "beta": checks.positive,
            "smoothing": _smoothing,
            "lr": checks.positive,
            "schedule": checks.one_of(*SCHEDULES),
            "batch_size": checks.count,
        }
        checks.fields(self, **{name: _of_readout(check) for name, check in wanted.items()})


def _of_readout(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return a check that says whose setting it is: the layer has some of these names."""
    more = {"m": "exponent m"}
    return lambda name, value: check(f"the readout's {more.get(name, name)}", value)


def _smoothing(name: str, value: Any) -> float | int:
    found = checks.number(name, value)
    if not 0 <= found < 1:
        raise ValueError(f"{name} is {found}: from 0 to below 1 is needed")
    return found


@dataclass(frozen=True)
class LinearHead:
    """A trained linear read-out of features, with the scaling its features need."""

    weights: Float[Tensor, "class unit"]
    bias: Float[Tensor, " class"]
    offset: Float[Tensor, " unit"]
    scale: Float[Tensor, " unit"]

    @isolated()
    def __call__(
        self, features: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image class"]:
        """Return one output per class; the largest is the answer.

        Raises
        ------
        ValueError
            If these are not the features of as many units as the head reads.
        """
        features = checks.floats("features", features, "(image, unit)")
        if features.shape[1] != len(self.offset):
            raise ValueError(
                f"the features are of {features.shape[1]} units, but the head reads "
                f"{len(self.offset)}: give those of the layer that it was trained on"
            )
        scaled = (features - self.offset) * self.scale
        return functional.linear(scaled, self.weights, self.bias)

    def to(self, device: torch.device) -> "LinearHead":
        """Return the same head on another device."""
        moved = {name: tensor.to(device) for name, tensor in vars(self).items()}
        return replace(self, **moved)


# Called after each epoch, from 1, with the head as it is then.
type OnEpochEnd = Callable[[int, LinearHead], None]


@isolated()
def features(
    layer: Encoder, v: Float[Tensor, "image pixel"], readout: Readout
) -> Float[Tensor, "image feature"]:
    """Return the features of images v as the readout sees them: its power and scaling.

    Raises
    ------
    ValueError
        If the layer cannot see images of this size.
    """
    layer = checks.instance("layer", layer, Encoder)
    readout = checks.instance("readout", readout, Readout)
    x = layer.features(v, power=readout.power)
    if readout.scaling == "image":
        x *= FEATURE_SUM / x.sum(dim=1, keepdim=True).clamp_(min=1e-30)
    return x


class Streamed:
    """Features of images that are computed each time they are used.

    Stands for the tensor (image, feature) of `features` where that would not fit.
    """

    def __init__(
        self,
        layer: Encoder,
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
        readout: Readout,
    ) -> None:
        self._layer = checks.instance("layer", layer, Encoder)
        self._x = checks.images("x", x)
        self._preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
        self._readout = checks.instance("readout", readout, Readout)
        checks.mean_image(preprocess.mean, self._x.flatten(1))

    def __len__(self) -> int:
        return len(self._x)

    @isolated(grad=False)
    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen unit"]:
        """Return the features of some images."""
        return features(self._layer, self._preprocess(self._x[images]), self._readout)

    def flop(self, num_images: int) -> int:
        """Return the number of operations for the features of so many images."""
        return 2 * num_images * self._layer.weights.numel()

    def blocks(self) -> Iterator[Float[Tensor, "block unit"]]:
        """Yield the features of all images, BLOCK of them at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]


@isolated(grad=True)
def fit(
    x: Float[Tensor, "image unit"] | Streamed,
    y: Int[Tensor, " image"],
    *,
    num_classes: int,
    readout: Readout,
    generator: torch.Generator,
    progress: bool = True,
    log: ReadoutLog | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> LinearHead:
    """Train a linear head on features x with labels y by Adam; the weights start at 0.

    `log` gets each step and epoch; `on_epoch_end` is called with the number of epochs done,
    from 1, and the head.

    Raises
    ------
    ValueError
        If x are no features, or y not one class of `num_classes` for each image.
    """
    num_classes = checks.count("num_classes", num_classes)
    readout = checks.instance("readout", readout, Readout)
    generator = checks.generator(generator)
    if not isinstance(x, Streamed):
        x = checks.floats("features", x, "(image, unit)").detach()
    y = checks.labels("labels", y, num_images=len(x), num_classes=num_classes)
    log = ReadoutLog() if log is None else log
    first = x[:1][0]
    y = y.to(first.device)
    offset, scale = SCALINGS[readout.scaling](x)
    weights = first.new_zeros(num_classes, len(first))
    bias = first.new_zeros(num_classes)
    head = LinearHead(weights.requires_grad_(), bias.requires_grad_(), offset, scale)
    optimizer = adam([head.weights, head.bias], readout.lr)
    num_steps = readout.epochs * math.ceil(len(x) / readout.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _share(step, num_steps, readout)
    )
    loss_of = LOSSES[readout.loss].of
    flop = 2 * readout.batch_size * weights.numel()
    if isinstance(x, Streamed):
        flop = max(flop, x.flop(readout.batch_size))
    with enough_threads(flop):
        epochs = _epochs(len(x), readout, generator, progress)
        for epoch, (order, batches) in enumerate(epochs, start=1):
            for batch in batches:
                batch = batch.to(first.device)
                output = head(x[batch])
                loss = loss_of(output, y[batch], readout)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                log.step(loss, output)
            log.end_epoch(y[order.to(y.device)])
            if on_epoch_end is not None:
                on_epoch_end(epoch, head)
    return LinearHead(weights.detach(), bias.detach(), offset, scale)


@isolated(grad=False)
def error(
    head: LinearHead, x: Float[Tensor, "image unit"] | Streamed, y: Int[Tensor, " image"]
) -> float:
    """Return the percentage of images whose largest output is not their label's."""
    return error_of(confusion(head, x, y))


@isolated(grad=False)
def confusion(
    head: LinearHead, x: Float[Tensor, "image unit"] | Streamed, y: Int[Tensor, " image"]
) -> Int[Tensor, "label answer"]:
    """Return how many images of each label get each answer, the largest output.

    Raises
    ------
    ValueError
        If x are not the features that the head reads, or y not one of its classes each.
    """
    head = checks.instance("head", head, LinearHead)
    if not isinstance(x, Streamed):
        x = checks.floats("features", x, "(image, unit)")
    num = len(head.bias)
    y = checks.labels("labels", y, num_images=len(x), num_classes=num).to(head.bias.device)
    counts = torch.zeros(num, num, dtype=torch.int64, device=y.device)
    for features, labels in zip(_blocks(x), y.split(BLOCK), strict=True):
        counts += count(head(features).argmax(dim=1), labels, num_classes=num)
    return counts


def count(
    answers: Int[Tensor, " image"], labels: Int[Tensor, " image"], *, num_classes: int
) -> Int[Tensor, "label answer"]:
    """Return how many images of each label got each answer."""
    pair = num_classes * labels + answers
    counts = torch.bincount(pair, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def error_of(confusion: Int[Tensor, "label answer"]) -> float:
    """Return the percentage of images whose answer is not their label."""
    total = confusion.sum().item()
    return 100 * (total - confusion.trace().item()) / total


def _blocks(
    x: Float[Tensor, "image unit"] | Streamed,
) -> Iterable[Float[Tensor, "block unit"]]:
    return x.blocks() if isinstance(x, Streamed) else x.split(BLOCK)


def _spread(
    x: Float[Tensor, "image unit"] | Streamed,
) -> tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]:
    """Return the standard deviation and mean of each unit's feature."""
    if not isinstance(x, Streamed):
        sd, mean = torch.std_mean(x, dim=0, correction=0)
        return sd, mean
    first = x[:1][0]
    mean, variance = torch.zeros_like(first).double(), torch.zeros_like(first).double()
    for block in x.blocks():
        mean += block.double().sum(dim=0) / len(x)
    for block in x.blocks():
        variance += (block.double() - mean).square().sum(dim=0) / len(x)
    return variance.sqrt().to(first.dtype), mean.to(first.dtype)


type Features = Float[Tensor, "image unit"] | Streamed
type OffsetScale = tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]


def _as_they_are(x: Features) -> OffsetScale:
    first = x[:1][0]
    return torch.zeros_like(first), torch.ones_like(first)


def _one_factor(x: Features) -> OffsetScale:
    offset, scale = _as_they_are(x)
    total = sum(block.sum().item() for block in _blocks(x))
    scale *= FEATURE_SUM * len(x) / max(total, 1e-30)  # 0: no unit answers at all
    return offset, scale


def _standardised(x: Features) -> OffsetScale:
    sd, mean = _spread(x)
    return mean, 1 / sd.clamp(min=1e-8)  # a unit that is silent for all stays silent


# The offset and scale of each feature, from those of the training images: of "image",
# `features` has scaled each image already.
SCALINGS: dict[str, Callable[[Features], OffsetScale]] = {
    "image": _as_they_are,
    "set": _one_factor,
    "unit": _standardised,
}

# The share of lr that is left after so many steps of all.
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "cosine": lambda step, num_steps: (1 + math.cos(math.pi * step / num_steps)) / 2,
    "step": lambda step, num_steps: 0.5 ** (5 * step // num_steps),
}


def _share(step: int, num_steps: int, readout: Readout) -> float:
    """Return the share of lr at a step.

    A linear rise over the first WARM_UP of them (a full first step can saturate the tanh
    of one class for good), then the annealing.
    """
    rise = min(1.0, (step + 1) / math.ceil(WARM_UP * num_steps))
    return rise * SCHEDULES[readout.schedule](step, num_steps)


def _epochs(
    num_images: int, readout: Readout, generator: torch.Generator, progress: bool
) -> Iterator[tuple[Int[Tensor, " image"], Iterator[Int[Tensor, " batch"]]]]:
    """Yield the order of the images in each epoch, whole and in mini-batches."""
    total = readout.epochs * num_images
    with progress_bar(total, what="readout", unit="img", show=progress) as advance:
        for _ in range(readout.epochs):
            order = torch.randperm(num_images, generator=generator)
            yield order, _counted(order.split(readout.batch_size), advance)


def _counted(
    batches: Iterable[Int[Tensor, " _"]], advance: Callable[[float], object]
) -> Iterator[Int[Tensor, " _"]]:
    for batch in batches:
        yield batch
        advance(len(batch))
