"""One whole experiment: a data set, a layer trained without labels, its readout, a folder.

The test set is looked at once, when everything is decided. Choices are made on a
validation split of the training set, and then the test set is not looked at at all.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fastpath import checkpoint, datasets, readout
from fastpath.competition import Competition
from fastpath.layers import Dense
from fastpath.preprocess import Preprocess
from fastpath.readout import Head, Readout
from fastpath.train import Training, train


@dataclass(frozen=True)
class Split:
    """The images a result is learned from, and those it is scored on."""

    x_learn: UInt8[Tensor, "learn height width channel"]
    y_learn: Int[Tensor, " learn"]
    x_score: UInt8[Tensor, "score height width channel"]
    y_score: Int[Tensor, " score"]
    scored_on: str
    """"test" or "validation"."""


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
    if not 0 <= validation < len(images.x_train):
        raise ValueError(
            f"validation is {validation}: 0 (score on the test set) or fewer than the "
            f"{len(images.x_train)} training images is needed"
        )
    x, y = torch.from_numpy(images.x_train), torch.from_numpy(images.y_train)
    x_score, y_score = torch.from_numpy(images.x_test), torch.from_numpy(images.y_test)
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
) -> Trained:
    """Train a layer and its readout, and score it once.

    All random numbers (start, order of images, order of the readout) come from
    `generator`: the same seed gives the same result on the same machine with the same
    number of threads.
    """
    x, device = parts.x_learn, parts.x_learn.device
    mean = preprocess.fit(x)
    layer = Dense.random(num_units, mean.numel(), p=p, generator=generator, device=device)
    history, train_seconds = timed(
        lambda: train(
            layer,
            x,
            competition=competition,
            training=training,
            preprocess=preprocess,
            mean=mean,
            generator=generator,
            progress=progress,
        )
    )
    score, head_seconds = timed(
        lambda: read_out(
            layer.weights,
            parts,
            num_classes=num_classes,
            preprocess=preprocess,
            mean=mean,
            head=head,
            generator=generator,
            progress=progress,
        )
    )
    trained_head, errors = score
    metrics = {
        **errors,
        "train_seconds": train_seconds,
        "head_seconds": head_seconds,
    }
    if training.epochs:
        metrics["images_per_second"] = training.epochs * len(x) / train_seconds
    return Trained(layer.weights, mean, trained_head, history, metrics)


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
) -> tuple[Head, dict[str, float]]:
    """Fit a head on the images learned from; return it with its errors in percent."""
    learned = features(weights, parts.x_learn, preprocess, mean, head)
    trained = readout.fit(
        learned,
        parts.y_learn,
        num_classes=num_classes,
        readout=head,
        generator=generator,
        progress=progress,
    )
    scored = features(weights, parts.x_score, preprocess, mean, head)
    return trained, {
        f"{parts.scored_on}_error": readout.error(trained, scored, parts.y_score),
        "train_error": readout.error(trained, learned, parts.y_learn),
    }


def features(
    weights: Float[Tensor, "unit pixel"],
    x: UInt8[Tensor, "image *shape"],
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    head: Readout,
) -> Float[Tensor, "image unit"]:
    """Return the features of uint8 images, a block of them at a time."""
    out = torch.empty(len(x), len(weights), device=x.device)
    blocks = zip(x.split(readout.BLOCK), out.split(readout.BLOCK), strict=True)
    for block, result in blocks:
        result.copy_(readout.features(weights, preprocess(block, mean), head))
    return out


def timed[Result](work: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of `work` and the seconds it took, CUDA's included."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def save(folder: Path, trained: Trained, config: dict[str, Any]) -> None:
    """Write a run: metrics last, so that a folder with metrics is a complete run."""
    (folder / checkpoint.METRICS).unlink(missing_ok=True)
    checkpoint.save_tensors(
        folder / checkpoint.WEIGHTS,
        {
            "weights": trained.weights,
            "mean": trained.mean,
            **{f"head.{name}": tensor for name, tensor in vars(trained.head).items()},
        },
        {"p": str(config["p"])},
    )
    checkpoint.save_history(folder / checkpoint.HISTORY, trained.history)
    checkpoint.save_json(folder / checkpoint.CONFIG, config)
    checkpoint.save_json(folder / checkpoint.METRICS, trained.metrics)


@dataclass(frozen=True)
class Saved:
    """A run read back from its folder."""

    weights: Float[Tensor, "unit pixel"]
    mean: Float[Tensor, " pixel"]
    head: Head
    preprocess: Preprocess
    readout: Readout
    data: str


def open_run(folder: Path) -> Saved:
    """Read the folder of a finished run.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or lacks something.
    """
    checkpoint.load_json(folder / checkpoint.METRICS)  # the last file that a run writes
    config = checkpoint.load_json(folder / checkpoint.CONFIG)
    tensors = checkpoint.load_tensors(folder / checkpoint.WEIGHTS)
    try:
        head = Head(*(tensors[f"head.{n}"] for n in ("weights", "bias", "offset", "scale")))
        return Saved(
            tensors["weights"],
            tensors["mean"],
            head,
            Preprocess(**config["preprocess"]),
            Readout(**config["readout"]),
            config["data"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder} is not a complete run: {error}") from error


def describe(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as JSON values, with the name of its kind."""
    return {"name": type(settings).__name__, **asdict(settings)}
