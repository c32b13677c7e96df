"""Centring and norm of the outputs of a layer."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

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
