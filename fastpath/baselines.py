"""Controls beside the local rule: the same network trained end to end.

The other control, random weights with the same readout, is a run of 0 epochs. It deserves
its own power n of the features: on a validation split n = 1 serves it best (500 units, one
seed, n = 1, 2, 3, 4.5: 5.8, 6.1, 6.9, 9.2 % error on MNIST, 14.4, 14.8, 16.1, 17.7 % on
Fashion-MNIST), while learned weights want the n of `defaults`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from fastpath.experiment import Split
from fastpath.machine import check_memory, enough_threads
from fastpath.preprocess import Preprocess

RANDOM_POWER = 1.0


@dataclass(frozen=True, kw_only=True)
class Backprop:
    """Settings of back-propagation: Adam, cosine annealing, cross-entropy."""

    epochs: int = 20
    batch_size: int = 100
    lr: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}: at least 1 is needed")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"lr is {self.lr}: the step size must be positive and finite")


def backprop(
    parts: Split,
    *,
    num_units: int,
    num_classes: int,
    backprop: Backprop,
    preprocess: Preprocess,
    generator: torch.Generator,
    progress: bool = True,
) -> dict[str, float]:
    """Train pixels → ReLU units → classes end to end; return its errors in percent.

    The weights start uniform in ±1/√(number of inputs), drawn from `generator`.
    """
    x, y, device = parts.x_learn, parts.y_learn, parts.x_learn.device
    if num_units < 1:
        raise ValueError(f"units is {num_units}: at least 1 is needed")
    if backprop.batch_size > len(x):
        raise ValueError(
            f"batch_size is {backprop.batch_size}, but there are only {len(x)} images: "
            f"give at most {len(x)}"
        )
    # Weights, their gradients and the two moments of Adam.
    check_memory(
        {"weights": 16 * num_units * (x[0].numel() + num_classes)},
        "lower the number of units",
        device,
    )
    mean = preprocess.fit(x)
    network = nn.Sequential(
        nn.Linear(mean.numel(), num_units), nn.ReLU(), nn.Linear(num_units, num_classes)
    )
    with torch.no_grad():
        for parameter, num_inputs in zip(
            network.parameters(),
            (mean.numel(), mean.numel(), num_units, num_units),
            strict=True,
        ):
            bound = 1 / math.sqrt(num_inputs)
            parameter.uniform_(-bound, bound, generator=generator)
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=backprop.lr)
    steps = backprop.epochs * math.ceil(len(x) / backprop.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    with (
        enough_threads(2 * backprop.batch_size * mean.numel() * num_units),
        tqdm(
            total=backprop.epochs * len(x),
            unit="img",
            unit_scale=True,
            desc="back-propagation",
            disable=None if progress else True,
        ) as bar,
    ):
        for _ in range(backprop.epochs):
            order = torch.randperm(len(x), generator=generator).to(device)
            for batch in order.split(backprop.batch_size):
                output = network(preprocess(x[batch], mean))
                loss = functional.cross_entropy(output, y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update(len(batch))
    return {
        f"{parts.scored_on}_error": _error(
            network, preprocess, mean, parts.x_score, parts.y_score
        ),
        "train_error": _error(network, preprocess, mean, x, y),
    }


@torch.no_grad()
def _error(
    network: nn.Module,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    x: UInt8[Tensor, "image *shape"],
    y: Tensor,
) -> float:
    wrong = sum(
        int((network(preprocess(images, mean)).argmax(dim=1) != labels).sum())
        for images, labels in zip(x.split(4096), y.split(4096), strict=True)
    )
    return 100 * wrong / len(y)
