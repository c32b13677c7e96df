"""One whole experiment: a data set, a layer trained without labels, its readout.

The test set is looked at once, when everything is decided. Choices are made on a
validation split of the training set, and then the test set is not looked at at all.
"""

import functools
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath import checks, readout
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.compute import check_memory, free_memory
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Name
from fastpath.layers import Dense
from fastpath.layers.constraints import Constraint
from fastpath.readout import Head, Readout, Streamed, Watch
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.distributed import Team
from fastpath.training.history import ReadoutLog
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots
from fastpath.training.tensorboard import Board


@dataclass(frozen=True)
class Split:
    """The images a result is learned from, and those it is scored on."""

    x_learn: Num[Tensor, "learn *shape"]
    y_learn: Int[Tensor, " learn"]
    x_score: Num[Tensor, "score *shape"]
    y_score: Int[Tensor, " score"]
    scored_on: str
    """"test" or "validation"."""

    def __post_init__(self) -> None:
        checks.fields(self, x_learn=_images, x_score=_images)
        for part in ("learn", "score"):
            number = len(getattr(self, f"x_{part}"))
            labels = functools.partial(checks.labels, num_images=number)
            checks.fields(self, **{f"y_{part}": labels})
        if self.x_learn[0].numel() != self.x_score[0].numel():
            raise ValueError(
                f"images to learn from are {tuple(self.x_learn.shape[1:])}, those to score "
                f"on {tuple(self.x_score.shape[1:])}: they must have one size"
            )

    def check_classes(self, num_classes: int) -> None:
        """Raise ValueError unless all labels name one of so many classes, and these fit."""
        num_classes = checks.count("num_classes", num_classes)
        for name, y in (("y_learn", self.y_learn), ("y_score", self.y_score)):
            checks.labels(name, y, num_images=len(y), num_classes=num_classes)
        check_memory(
            {f"confusion of {num_classes} classes": 8 * num_classes**2},
            "leave out the classes without images",
            self.y_score.device,
        )


def _images(name: str, x: Tensor) -> Num[Tensor, "image *shape"]:
    return checks.images(name, x).detach()


@isolated(grad=False)
def split(
    images: datasets.Images,
    *,
    validation: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Split:
    """Score on the test set, or on `validation` random images taken from the training set.

    Raises
    ------
    ValueError
        If the validation split leaves nothing to learn from.
    """
    images = checks.instance("images", images, datasets.Images)
    validation = checks.whole("validation", validation)
    generator = checks.generator(generator)
    if not 0 <= validation < len(images.x_train):
        raise ValueError(
            f"validation is {validation}: 0 (score on the test set) or fewer than the "
            f"{len(images.x_train)} training images is needed"
        )
    x, y, x_score, y_score = (
        checks.tensor(name, getattr(images, name)) for name in datasets.ARRAYS
    )
    if validation:
        order = torch.randperm(len(x), generator=generator)
        held_out, kept = order[:validation], order[validation:]
        x, y, x_score, y_score = x[kept], y[kept], x[held_out], y[held_out]
    tensors = (tensor.to(device) for tensor in (x, y, x_score, y_score))
    return Split(*tensors, scored_on="validation" if validation else "test")


@dataclass(frozen=True)
class Trained:
    """A trained layer with all that is needed to use it."""

    weights: Float[Tensor, "unit pixel"]
    mean: Float[Tensor, " pixel"]
    head: Head
    history: xr.Dataset
    metrics: dict[str, Any]
    snapshots: xr.Dataset | None = None
    """Receptive fields as they formed, if they were kept."""


@isolated(grad=False, numpy=True)
def learn(
    parts: Split,
    *,
    num_units: int,
    num_classes: int,
    p: float,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    head: Readout,
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    kernels: Name | None = None,
) -> Trained:
    """Train a layer and its readout, and score it once.

    All random numbers (start, order of images, order of the readout) come from
    `generator`: the same seed gives the same result on the same machine with the same
    number of threads. With `checkpoints`, a call like one that was interrupted goes on
    from where that had saved, to the same result.

    Raises
    ------
    ValueError
        If a label names none of the classes, or as `learn_features`.
    """
    _check_settings(parts, training=training, preprocess=preprocess, head=head)
    parts.check_classes(num_classes)
    layer, mean, history = learn_features(
        parts,
        num_units=num_units,
        p=p,
        competition=competition,
        training=training,
        preprocess=preprocess,
        generator=generator,
        progress=progress,
        checkpoints=checkpoints,
        kernels=kernels,
    )
    return finish(
        layer,
        mean,
        history,
        parts,
        num_classes=num_classes,
        preprocess=preprocess,
        head=head,
        generator=generator,
        progress=progress,
    )


@isolated(grad=False, numpy=True)
def learn_features(
    parts: Split,
    *,
    num_units: int,
    p: float,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    snapshots: Snapshots | None = None,
    board: Board | None = None,
    team: Team | None = None,
    constraint: Constraint | None = None,
    kernels: Name | None = None,
    watch: Callable[[int, Dense], Any] | None = None,
) -> tuple[Dense, Float[Tensor, " pixel"], xr.Dataset]:
    """Train a layer without labels; return it with the mean image and its history.

    Its weights keep to the `constraint` (`constraints.column_signs`, ...); `kernels` are
    those of `Dense`, `watch` is that of `train`.

    Raises
    ------
    ValueError
        If the images are all alike, do not fit into memory, or as `train`.
    """
    _check_settings(parts, training=training, preprocess=preprocess)
    num_units, p = checks.count("units", num_units), checks.number("p", p)
    x = parts.x_learn
    preprocess.check(x)
    check_memory(
        needed_memory(num_units, x[0].numel(), p=p, batch_size=training.batch_size),
        "lower the number of units or the batch size",
        x.device,
    )
    mean = preprocess.fit(x)
    layer = Dense.random(
        num_units,
        mean.numel(),
        p=p,
        constraint=constraint,
        kernels=kernels,
        generator=generator,
        device=x.device,
    )
    history = train(
        layer,
        x,
        competition=competition,
        training=training,
        preprocess=preprocess,
        mean=mean,
        generator=generator,
        progress=progress,
        checkpoints=checkpoints,
        snapshots=snapshots,
        board=board,
        team=team,
        watch=watch,
    )
    return layer, mean, history


@isolated(grad=False, numpy=True)
def finish(
    layer: Dense,
    mean: Float[Tensor, " pixel"],
    history: xr.Dataset,
    parts: Split,
    *,
    num_classes: int,
    preprocess: Preprocess,
    head: Readout,
    generator: torch.Generator,
    progress: bool = True,
) -> Trained:
    """Read out a trained layer, and score it once; its history gets the readout's."""
    _check_settings(parts, preprocess=preprocess, head=head)
    parts.check_classes(num_classes)
    log = ReadoutLog()
    (trained_head, errors), seconds = timed(
        lambda: read_out(
            layer.weights,
            parts,
            num_classes=num_classes,
            preprocess=preprocess,
            mean=mean,
            head=head,
            generator=generator,
            progress=progress,
            log=log,
        )
    )
    metrics = {
        **errors,
        **speed(history, len(parts.x_learn)),
        "head_seconds": seconds,
        "peak_megabytes": peak_memory(layer.weights.device) / 1e6,
    }
    history = history.assign(log.as_dataset())
    return Trained(layer.weights, mean, trained_head, history, metrics)


def _check_settings(parts: Split, **settings: Any) -> None:
    """Raise ValueError unless these are what their names say, before it costs anything."""
    kinds = {"training": Training, "preprocess": Preprocess, "head": Readout}
    checks.instance("parts", parts, Split)
    for name, value in settings.items():
        checks.instance(name, value, kinds[name])


def needed_memory(
    num_units: int, num_pixels: int, *, p: float, batch_size: int
) -> dict[str, int]:
    """Return the bytes that learning holds beside the images, by what holds them."""
    row, rows = 4 * num_pixels, min(num_units, 2 * batch_size)
    copies = 2 if p == 2 else 3  # those before the epoch; sign(W)|W|^(p-1)
    return {
        "weights": copies * num_units * row,
        "mini-batch": batch_size * (row + 4 * num_units) + rows * row,
        "a block of features": 2 * readout.BLOCK * 4 * num_units,
    }


def speed(history: xr.Dataset, num_images: int) -> dict[str, float]:
    """Return how long training took, all parts of an interrupted one added up."""
    seconds = float((num_images / history["images_per_second"]).sum())
    if not history.sizes["epoch"]:
        return {"train_seconds": 0.0}
    rate = history.sizes["epoch"] * num_images / seconds
    return {"train_seconds": seconds, "images_per_second": rate}


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were held at once: on CUDA, or by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@isolated(grad=False)
def read_out(
    weights: Float[Tensor, "unit pixel"],
    parts: Split,
    *,
    num_classes: int,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    head: Readout,
    generator: torch.Generator,
    progress: bool = True,
    log: ReadoutLog | None = None,
    watch: Watch | None = None,
) -> tuple[Head, dict[str, float]]:
    """Fit a head on the images learned from; return it with its errors in percent.

    `log` gets the course of its training, and the confusion of the scored images; `watch`
    is called after each epoch: see `readout.fit`.
    """
    _check_settings(parts, preprocess=preprocess, head=head)
    log = ReadoutLog() if log is None else log
    learned = features(weights, parts.x_learn, preprocess, mean, head)
    trained = readout.fit(
        learned,
        parts.y_learn,
        num_classes=num_classes,
        readout=head,
        generator=generator,
        progress=progress,
        log=log,
        watch=watch,
    )
    train_error = readout.error(trained, learned, parts.y_learn)
    scored = Streamed(weights, parts.x_score, preprocess, mean, head)
    log.confusion = readout.confusion(trained, scored, parts.y_score)
    return trained, {
        f"{parts.scored_on}_error": readout.error_of(log.confusion),
        "train_error": train_error,
    }


@isolated(grad=False)
def features(
    weights: Float[Tensor, "unit pixel"],
    x: Num[Tensor, "image *shape"],
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    head: Readout,
) -> Float[Tensor, "image unit"] | Streamed:
    """Return the features of uint8 images, to be used many times.

    They are computed once, a block at a time, where they fit into half of the memory that
    is free; elsewhere each time they are used.
    """
    streamed = Streamed(weights, x, preprocess, mean, head)
    first = streamed[:1]
    free = free_memory(first.device)
    if free is not None and 2 * len(streamed) * first.nbytes > free:
        return streamed
    out = first.new_empty(len(streamed), first.shape[1])
    for block, result in zip(streamed.blocks(), out.split(readout.BLOCK), strict=True):
        result.copy_(block)
    return out


def timed[Result](work: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of `work` and the seconds it took, CUDA's included."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start
