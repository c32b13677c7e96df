"""Batch normalization without learned scale and shift.

While layers learn, each channel is normalized by its mean and variance in the mini-batch.
In the end, `fit` replaces the running means of both by those of all training images, with
the final weights of the layers below. Statistics over a mini-batch are not local to a
synapse, but each channel needs only its own.

Source: S. Ioffe & C. Szegedy, ICML 2015.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Blocks, Part, Shape, WithoutState
from fastpath.layers.stages.moments import moments
from fastpath.training.distributed import Team


@dataclass(frozen=True, kw_only=True)
class BatchNorm(WithoutState):
    """Bring each channel to mean 0 and variance 1."""

    momentum: float = 0.1
    """Weight of a mini-batch in the running means."""
    epsilon: float = 1e-5
    """Added to the variance."""
    center: bool = field(default=True, metadata={"neutral": True})
    """Whether the mean is subtracted. Without it, each channel is only divided, by its root
    mean square, so that rates that are not negative stay so."""
    exact: bool = field(default=True, metadata={"neutral": True})
    """Whether statistics are computed anew after learning, from all training images; else
    they stay the running means over mini-batches, taken while weights changed."""

    def __post_init__(self) -> None:
        checks.fields(
            self,
            momentum=_share,
            epsilon=checks.positive,
            center=checks.flag,
            exact=checks.flag,
        )

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "BatchNormPart":
        """Return the part with mean 0 and variance 1."""
        return BatchNormPart(input_shape[-1], self)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of mean and variance (channel,)."""
        return {"mean": input_shape[-1:], "variance": input_shape[-1:]}


def _share(name: str, value: float) -> float:
    found = checks.number(name, value)
    if not 0 < found <= 1:
        raise ValueError(f"{name} is {found}: above 0, and at most 1, is needed")
    return found


class BatchNormPart(Part):
    """Batch normalization at work."""

    mean: Tensor
    variance: Tensor

    def __init__(self, num_channels: int, settings: BatchNorm) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("variance", torch.ones(num_channels))

    @property
    def by_batch(self) -> bool:
        """Whether `learning` does without `fit`: yes."""
        return True

    def forward(
        self, x: Float[Tensor, "image *dims channel"]
    ) -> Float[Tensor, "image *dims channel"]:
        """Return the channels, normalized by the statistics that are kept."""
        return self._normalized(x, self.mean, self.variance)

    def learning(
        self, x: Float[Tensor, "image *dims channel"], team: Team | None
    ) -> Float[Tensor, "image *dims channel"]:
        """Return the channels, normalized by the mini-batch; update the running means."""
        mean, variance, number = _of_batch(x, team)
        momentum = self.settings.momentum
        self.mean.lerp_(mean.detach(), momentum)  # back-propagation may train the layers
        unbiased = variance * (number / (number - 1).clamp(min=1))
        self.variance.lerp_(unbiased.detach(), momentum)
        return self._normalized(x, mean, variance)

    def _normalized(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if self.settings.center:
            return (x - mean) * (variance + self.settings.epsilon).rsqrt()
        return x * (variance + mean.square() + self.settings.epsilon).rsqrt()

    def fit(self, blocks: Blocks) -> None:
        """Take mean and variance of each channel over all training images."""
        learned = bool(self.mean.any()) or bool((self.variance != 1).any())
        if learned and not self.settings.exact:
            return
        mean, variance, _ = moments(blocks)
        self.mean.copy_(mean)
        self.variance.copy_(variance)


def _of_batch(x: Tensor, team: Team | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and number of rows of a mini-batch, over all processes."""
    rows = x.flatten(0, -2)
    if team is None:
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        return mean, variance, variance.new_full((), len(rows))  # without waiting on CUDA
    number = rows.new_full((1,), len(rows))
    total = torch.cat([rows.sum(dim=0), number])
    team.add(total)
    mean, number = total[:-1] / total[-1], total[-1]
    square = (rows - mean).square().sum(dim=0)
    team.add(square)
    return mean, square / number, number
