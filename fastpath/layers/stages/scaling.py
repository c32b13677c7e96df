"""Centring, norm and decorrelation of the outputs of a layer.

Decorrelated outputs are S r with S = (C/c + ε)^(−1/2), C the covariance of the outputs r
over the training images and c their mean variance. S is symmetric: of all decorrelations it
changes the outputs least (Kessy, Lewin & Strimmer 2018). ε keeps the weakest directions,
which are mostly noise, weak. Lateral inhibition can learn such an S by local rules (Földiák
1990; Pehlevan & Chklovskii 2015); here it is computed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Blocks, Part, Shape, WithoutState


@dataclass(frozen=True, kw_only=True)
class UnitNorm(WithoutState):
    """Divide each image by its Euclidean norm; an image of norm 0 stays 0."""

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "UnitNormPart":
        """Return the part."""
        return UnitNormPart()


class UnitNormPart(Part):
    """Division by the norm at work."""

    def forward(self, x: Float[Tensor, "image *shape"]) -> Float[Tensor, "image *shape"]:
        """Return images of norm 1."""
        return functional.normalize(x.flatten(1), dim=1).view_as(x)


@dataclass(frozen=True, kw_only=True)
class SubtractMean(WithoutState):
    """Subtract the mean over the training images, at each position."""

    fitted_once = True

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "SubtractMeanPart":
        """Return the part with mean 0."""
        return SubtractMeanPart(input_shape)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shape of the mean."""
        return {"mean": input_shape}


class SubtractMeanPart(Part):
    """Subtraction of the mean at work."""

    mean: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))

    def forward(self, x: Float[Tensor, "image *shape"]) -> Float[Tensor, "image *shape"]:
        """Return the deviations from the mean."""
        return x - self.mean

    def fit(self, blocks: Blocks) -> None:
        """Take the mean of all training images."""
        number, total = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        for block in blocks():
            number += len(block)
            total += block.sum(dim=0, dtype=torch.float64)
        self.mean.copy_(total / number)


@dataclass(frozen=True, kw_only=True)
class Decorrelate(WithoutState):
    """Multiply the channels by S, at each position; see the module."""

    fitted_once = True

    ridge: float = 0.1
    """ε, in units of the mean variance."""

    def __post_init__(self) -> None:
        checks.fields(self, ridge=checks.positive)

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "DecorrelatePart":
        """Return the part with S = 1."""
        return DecorrelatePart(input_shape[-1], self.ridge)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shape of S."""
        return {"mixing": (input_shape[-1], input_shape[-1])}


class DecorrelatePart(Part):
    """Decorrelation at work. `mixing` is S."""

    mixing: Tensor

    def __init__(self, num_channels: int, ridge: float) -> None:
        super().__init__()
        self.ridge = ridge
        self.register_buffer("mixing", torch.eye(num_channels))

    def forward(
        self, x: Float[Tensor, "image *dims channel"]
    ) -> Float[Tensor, "image *dims channel"]:
        """Return the decorrelated channels."""
        return x @ self.mixing

    def fit(self, blocks: Blocks) -> None:
        """Compute S from all training images."""
        number, total = 0, torch.zeros_like(self.mixing[0], dtype=torch.float64)
        for block in blocks():
            rows = block.flatten(0, -2)
            number += len(rows)
            total += rows.sum(dim=0, dtype=torch.float64)
        mean = (total / number).to(self.mixing.dtype)
        covariance = torch.zeros_like(self.mixing, dtype=torch.float64)
        for block in blocks():
            deviations = block.flatten(0, -2) - mean
            covariance += (deviations.T @ deviations).double() / number
        values, vectors = torch.linalg.eigh(covariance)
        unit = values.mean().clamp(min=1e-30)  # 0: the channels never vary
        values = (values / unit).clamp(min=0) + self.ridge
        self.mixing.copy_((vectors * values.rsqrt()) @ vectors.T)
