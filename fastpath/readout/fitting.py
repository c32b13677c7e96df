"""Training of a linear head on features, by Adam."""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.ambient import adam, isolated
from fastpath.compute import enough_threads
from fastpath.losses import LOSSES
from fastpath.readout.changing import Changing
from fastpath.readout.dropout import Dropout
from fastpath.readout.head import LinearHead
from fastpath.readout.scalings import SCALINGS
from fastpath.readout.schedules import share
from fastpath.readout.settings import Readout
from fastpath.readout.sources import Features, as_features
from fastpath.training.history import ReadoutLog
from neurodyn.progress import progress_bar

# Called after each epoch, from 1, with the head as it is then.
type OnEpochEnd = Callable[[int, LinearHead], None]


@isolated(grad=True)
def fit(
    x: Float[Tensor, "image unit"] | Features,
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
        If x are no features, or y not one class of `num_classes` for each image, or the
        readout flips images and x has no features of mirror images.
    """
    num_classes = checks.count("num_classes", num_classes)
    readout = checks.instance("readout", readout, Readout)
    generator = checks.generator(generator)
    x = as_features(x)
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
        optimizer, lambda step: share(readout.schedule, step, num_steps)
    )
    loss_of = LOSSES[readout.loss].of
    flop = max(2 * readout.batch_size * weights.numel(), x.flop(readout.batch_size))
    dropout = _dropout(readout, generator, first.device)
    shown = _shown(x, readout, generator)
    plain = not offset.any() and bool((scale == 1).all())
    scaled = (lambda rows: rows) if plain else head.scaled
    with enough_threads(flop):
        epochs = _epochs(len(x), readout, generator, progress)
        for epoch, (order, batches) in enumerate(epochs, start=1):
            rows_of = next(shown)
            for batch in batches:
                rows = dropout(scaled(rows_of(batch)))
                output = functional.linear(rows, head.weights, head.bias)
                loss = loss_of(output, y[batch.to(y.device)], readout)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                log.step(loss, output)
            log.end_epoch(y[order.to(y.device)])
            if on_epoch_end is not None:
                on_epoch_end(epoch, head)
    return LinearHead(weights.detach(), bias.detach(), offset, scale)


def _dropout(
    readout: Readout, generator: torch.Generator, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return the dropout of a step's features, or a function that changes nothing."""
    if not readout.dropout:
        return lambda rows: rows
    return Dropout(readout.dropout, _another(generator, device))


def _shown(
    x: Features, readout: Readout, generator: torch.Generator
) -> Iterator[Callable[[Int[Tensor, " batch"]], Float[Tensor, "batch unit"]]]:
    """Yield for each epoch the function from a mini-batch of images to their features.

    With `Readout.flips` some are those of the mirror images, drawn anew for each epoch. If
    the features are `Changing`, all are those of changed images.
    """
    if isinstance(x, Changing):
        draws = _another(generator, torch.device("cpu"))
        while True:
            yield x.epoch(draws)
    if not readout.flips:
        while True:
            yield x.__getitem__
    mirrors = _another(generator, torch.device("cpu"))
    while True:
        mirrored = torch.randint(2, (len(x),), generator=mirrors)
        yield lambda batch, mirrored=mirrored: x.either(batch, mirrored[batch])


def _another(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on a device, with a seed from `generator`."""
    seed = torch.randint(2**63 - 1, (), generator=generator)
    return torch.Generator(device).manual_seed(int(seed))


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
