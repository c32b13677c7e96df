"""The unsupervised loop: epochs of shuffled mini-batches through one layer."""

import math
import time
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from fastpath.competition import Competition
from fastpath.layers import Dense
from fastpath.plasticity import Normalize, annealed
from fastpath.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of `train`: the published ones, but for the number of epochs.

    0 epochs leave the random start as it is: the control of every learning result.
    """

    epochs: int = 100
    batch_size: int = 100
    lr: float = 0.04
    """ε of the first epoch, annealed linearly towards 0."""
    normalize: Normalize = "max"
    """"max": the largest change of one mini-batch is ε; None: plain ε (strictly local)."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 1)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}: at least {least} is needed")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"lr is {self.lr}: the step size must be positive and finite")


def train(
    layer: Dense,
    x: UInt8[Tensor, "image *shape"],
    *,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    generator: torch.Generator,
    progress: bool = True,
) -> xr.Dataset:
    """Train `layer` in place on images x, reshuffled every epoch; return its history.

    The images stay uint8 on the layer's device; each mini-batch is preprocessed as it is
    used. The order of the images comes from `generator` (on the CPU) alone: the same seed
    gives the same weights on the same machine with the same number of threads.

    Returns
    -------
    xr.Dataset
        Per epoch (dim `epoch`): lr, norm_mean, norm_max (p-norm of the rows), learning
        (share of units whose weights changed), images_per_second.

    Raises
    ------
    ValueError
        If the weights diverge, or the batch is larger than the set.
    """
    if training.batch_size > len(x):
        raise ValueError(
            f"batch_size is {training.batch_size}, but there are only {len(x)} images: "
            f"give at most {len(x)}"
        )
    limit = 2 * max(1.0, layer.weights.abs().amax().item())
    history = []
    with tqdm(
        total=training.epochs * len(x),
        unit="img",
        unit_scale=True,
        desc="training",
        disable=None if progress else True,  # None: only on a terminal
    ) as bar:
        for epoch in range(training.epochs):
            before, start = layer.weights.clone(), time.perf_counter()
            lr = annealed(training.lr, epoch=epoch, num_epochs=training.epochs)
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for batch in order.split(training.batch_size):
                layer.learn(
                    preprocess(x[batch], mean),
                    competition,
                    lr=lr,
                    normalize=training.normalize,
                )
                bar.update(len(batch))
            _check_convergence(layer, epoch, limit)
            seconds = time.perf_counter() - start
            history.append({"lr": lr, **_summary(layer, before, len(x) / seconds)})
    return _as_dataset(history)


def _check_convergence(layer: Dense, epoch: int, limit: float) -> None:
    """Stop when a weight is not finite or twice as large as any was at the start.

    Weights shrink from their start towards rows of p-norm 1; anti-Hebbian units are
    pushed away from it, faster and faster, when Δ wins over the +1.
    """
    largest = layer.weights.abs().amax().item()
    if not largest <= limit:  # also for NaN
        raise ValueError(
            f"training diverged in epoch {epoch + 1}: the largest weight is {largest:.3g} "
            f"(limit {limit:.3g}). Lower delta (the anti-Hebbian push away from norm 1) "
            "or lr (the step size), or use normalize='max'"
        )


def _summary(
    layer: Dense, before: Float[Tensor, "unit pixel"], rate: float
) -> dict[str, float]:
    norms = layer.weights.norm(p=layer.p, dim=1)
    learning = (layer.weights != before).any(dim=1).float().mean()
    return {
        "norm_mean": norms.mean().item(),
        "norm_max": norms.max().item(),
        "learning": learning.item(),
        "images_per_second": rate,
    }


def _as_dataset(history: list[dict[str, float]]) -> xr.Dataset:
    described = {
        "lr": ("1", "step size"),
        "norm_mean": ("1", "mean p-norm of the weight rows"),
        "norm_max": ("1", "largest p-norm of a weight row"),
        "learning": ("1", "share of units whose weights changed in the epoch"),
        "images_per_second": ("1/s", "training speed"),
    }
    return xr.Dataset(
        {
            name: (
                "epoch",
                [entry[name] for entry in history],
                {"units": units, "long_name": long_name},
            )
            for name, (units, long_name) in described.items()
        },
        coords={
            "epoch": (
                "epoch",
                range(1, len(history) + 1),
                {"units": "1", "long_name": "epoch of training"},
            )
        },
        attrs={"title": "History of unsupervised training"},
    )
