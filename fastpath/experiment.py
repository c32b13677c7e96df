"""One experiment: a data set, a layer trained without labels, its readout.

The test set is scored once, when all settings are decided. Settings are compared on a
validation split of the training set, without the test set.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.compute import check_memory
from fastpath.data.augment import Augment
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.data.splits import Split as Split
from fastpath.data.splits import split as split
from fastpath.kernels import Name
from fastpath.layers import Encoder, Layer, LayerSettings
from fastpath.readout import (
    Changing,
    Features,
    LinearHead,
    OnEpochEnd,
    Readout,
    Streamed,
    block_of,
    check_room,
    confusion,
    error,
    error_of,
    fit,
    hold,
)
from fastpath.training.callbacks import Callback
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.distributed import Team
from fastpath.training.history import ReadoutLog
from fastpath.training.loop import Training, train


@dataclass(frozen=True)
class Trained:
    """A trained layer with its preprocessing and readout, and the history of training."""

    layer: Layer
    preprocess: FittedPreprocess
    readout: Readout
    head: LinearHead
    history: xr.Dataset
    metrics: dict[str, Any]
    snapshots: xr.Dataset | None = None
    """Receptive fields at some moments, if they were kept: see `Snapshots.as_dataset`."""

    @property
    def weights(self) -> Float[Tensor, "unit pixel"]:
        """The receptive field of each unit."""
        return self.layer.weights


@isolated(grad=False, numpy=True)
def learn(
    split: Split,
    *,
    layer: LayerSettings,
    num_classes: int,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    readout: Readout,
    augment: Augment | None = None,
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    kernels: Name | None = None,
) -> Trained:
    """Train a layer without labels, then its readout; score it once.

    All random numbers (initial weights, order and augmentation of the images in training
    and in the readout) come from `generator`. The same seed gives the same result on the
    same machine with the same number of threads. With `checkpoints`, repeating an
    interrupted call continues from its last checkpoint, to the same result.

    Raises
    ------
    ValueError
        If a label is not below `num_classes`, or as `learn_features`.
    """
    _check_settings(split, training=training, preprocess=preprocess, readout=readout)
    split.check_classes(num_classes)
    trained, fitted, history = learn_features(
        split,
        layer=layer,
        competition=competition,
        training=training,
        preprocess=preprocess,
        readout=readout,
        augment=augment,
        generator=generator,
        progress=progress,
        checkpoints=checkpoints,
        kernels=kernels,
    )
    return finish(
        trained,
        fitted,
        history,
        split,
        num_classes=num_classes,
        readout=readout,
        augment=augment,
        generator=generator,
        progress=progress,
    )


@isolated(grad=False, numpy=True)
def learn_features(
    split: Split,
    *,
    layer: LayerSettings,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    readout: Readout | None = None,
    augment: Augment | None = None,
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    callbacks: Sequence[Callback] = (),
    team: Team | None = None,
    kernels: Name | None = None,
) -> tuple[Layer, FittedPreprocess, xr.Dataset]:
    """Train a layer without labels; return it with its preprocessing and its history.

    `kernels` are those of `Dense`. `readout` is that of the layer, if it gets one: what it
    cannot do is refused before the training. The other arguments are those of `train`.

    Raises
    ------
    ValueError
        If all images are alike, or do not fit into memory, or there is no room for the
        features of the readout, or as `train`.
    """
    _check_settings(split, layer=layer, training=training, preprocess=preprocess)
    x = split.x_train
    preprocess.check(x)
    needed = needed_memory(layer, x.shape[1:], batch_size=training.batch_size)
    augment = checks.optional("augment", augment, Augment)
    if augment is not None and augment.changes:
        augment.check(x)
        needed["changed images"] = x.nbytes
    check_memory(
        needed,
        "lower the number of units or the batch size",
        x.device,
    )
    fitted = preprocess.fit(x)
    learner = layer.start(
        x.shape[1:], generator=generator, device=x.device, kernels=kernels
    )
    if readout is not None and (augment is None or not augment.of("readout")):
        readout = checks.instance("readout", readout, Readout)
        check_room(learner, x, readout, num_features=layer.num_features(x.shape[1:]))
    history = train(
        learner,
        x,
        competition=competition,
        training=training,
        preprocess=fitted,
        generator=generator,
        augment=augment,
        progress=progress,
        checkpoints=checkpoints,
        callbacks=callbacks,
        team=team,
    )
    return learner, fitted, history


@isolated(grad=False, numpy=True)
def finish(
    layer: Layer,
    preprocess: FittedPreprocess,
    history: xr.Dataset,
    split: Split,
    *,
    num_classes: int,
    readout: Readout,
    augment: Augment | None = None,
    generator: torch.Generator,
    progress: bool = True,
    on_epoch_end: OnEpochEnd | None = None,
) -> Trained:
    """Train and score the readout of a trained layer; add its epochs to the history.

    `on_epoch_end` is that of `readout.fit`.
    """
    split.check_classes(num_classes)
    log = ReadoutLog()
    (head, errors), seconds = timed(
        lambda: read_out(
            layer,
            preprocess,
            split,
            num_classes=num_classes,
            readout=readout,
            augment=augment,
            generator=generator,
            progress=progress,
            log=log,
            on_epoch_end=on_epoch_end,
        )
    )
    metrics = {
        **errors,
        **speed(history, len(split.x_train)),
        "head_seconds": seconds,
        **peak_memory(layer.weights.device),
    }
    history = history.assign(log.as_dataset())
    return Trained(layer, preprocess, readout, head, history, metrics)


def _check_settings(split: Split, **settings: Any) -> None:
    """Raise ValueError unless each setting is of the class that its name stands for."""
    classes: dict[str, Any] = {
        "layer": LayerSettings,
        "training": Training,
        "preprocess": Preprocess,
        "readout": Readout,
    }
    checks.instance("split", split, Split)
    for name, value in settings.items():
        checks.instance(name, value, classes[name])


def needed_memory(
    layer: LayerSettings, input_shape: tuple[int, ...], *, batch_size: int
) -> dict[str, int]:
    """Return the bytes that learning needs besides the images, by their use."""
    return {
        **layer.memory(input_shape, batch_size=batch_size),
        "a block of features": 8 * block_of(layer) * layer.num_features(input_shape),
    }


def speed(history: xr.Dataset, num_images: int) -> dict[str, float]:
    """Return the seconds of training, summed over interruptions, and images per second."""
    seconds = float((num_images / history["images_per_second"]).sum())
    if not history.sizes["epoch"]:
        return {"train_seconds": 0.0}
    rate = history.sizes["epoch"] * num_images / seconds
    return {"train_seconds": seconds, "images_per_second": rate}


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory on CUDA, or of this process; empty if it is unknown."""
    if device.type == "cuda":
        return {"peak_megabytes": torch.cuda.max_memory_allocated(device) / 1e6}
    if find_spec("resource") is None:  # on Windows
        return {}
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_megabytes": (1 if sys.platform == "darwin" else 1024) * peak / 1e6}


@isolated(grad=False)
def read_out(
    layer: Encoder,
    preprocess: FittedPreprocess,
    split: Split,
    *,
    num_classes: int,
    readout: Readout,
    augment: Augment | None = None,
    generator: torch.Generator,
    progress: bool = True,
    log: ReadoutLog | None = None,
    on_epoch_end: OnEpochEnd | None = None,
) -> tuple[LinearHead, dict[str, float]]:
    """Train a readout of a layer; return it with its errors in percent.

    `log` gets the loss and error of each epoch and the confusion matrix of the evaluation
    images. `on_epoch_end` is called after each epoch: see `readout.fit`.
    """
    _check_settings(split, readout=readout)
    log = ReadoutLog() if log is None else log
    x = features(layer, split.x_train, preprocess, readout, augment)
    head = fit(
        x,
        split.y_train,
        num_classes=num_classes,
        readout=readout,
        generator=generator,
        progress=progress,
        log=log,
        on_epoch_end=on_epoch_end,
    )
    train_error = error(head, x, split.y_train)
    scored = Streamed(layer, split.x_eval, preprocess, readout)
    log.confusion = confusion(head, scored, split.y_eval)
    return head, {
        f"{split.scored_on}_error": error_of(log.confusion),
        "train_error": train_error,
    }


@isolated(grad=False)
def features(
    layer: Encoder,
    x: Num[Tensor, "image *shape"],
    preprocess: FittedPreprocess,
    readout: Readout,
    augment: Augment | None = None,
) -> Float[Tensor, "image feature"] | Features:
    """Return the features of images, for repeated use by a readout.

    They are held in memory or in a file, or computed each time they are used: see
    `readout.storage`. With `Readout.flips`, those of the mirror images come with them. With
    an `augment` of use for the readout, each epoch computes those of changed images.
    """
    augment = checks.optional("augment", augment, Augment)
    if augment is not None and augment.of("readout"):
        return Changing(layer, x, preprocess, readout, augment)
    return hold(Streamed(layer, x, preprocess, readout, mirrored=readout.flips))


def timed[Result](work: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of `work` and its seconds, until CUDA has finished too."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start
