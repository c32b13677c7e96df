"""Nonlinear outputs of units.

Sources: A. Coates, H. Lee & A. Y. Ng, AISTATS 2011, for the triangle; A. Journé et al.,
ICLR 2023, for its power; D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019), eq. 1, for the
rectified power.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Part, Shape, WithoutState


@dataclass(frozen=True, kw_only=True)
class Triangle(WithoutState):
    """max(u − mean of u over the units, 0)^power, at each position."""

    power: float = 1.0

    def __post_init__(self) -> None:
        checks.fields(self, power=checks.positive)

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "ActivationPart":
        """Return the part."""
        return ActivationPart(self.power, subtract_mean=True)


@dataclass(frozen=True, kw_only=True)
class Rectifier(WithoutState):
    """max(u, 0)^power (K&H 2019, eq. 1)."""

    power: float = 1.0

    def __post_init__(self) -> None:
        checks.fields(self, power=checks.positive)

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "ActivationPart":
        """Return the part."""
        return ActivationPart(self.power, subtract_mean=False)


class ActivationPart(Part):
    """An activation at work."""

    def __init__(self, power: float, *, subtract_mean: bool) -> None:
        super().__init__()
        self.power, self.subtract_mean = power, subtract_mean

    def forward(self, u: Float[Tensor, "image *shape"]) -> Float[Tensor, "image *shape"]:
        """Return the outputs, none negative."""
        if self.subtract_mean:
            u = u - u.mean(dim=-1, keepdim=True)
        if self.power == 1:
            return u.clamp(min=0)
        if not u.requires_grad:
            return u.clamp(min=0).pow(self.power)
        # A power below 1 has no finite slope at 0, and 0 times it would be NaN.
        positive = u > 0
        return torch.where(positive, torch.where(positive, u, 1.0).pow(self.power), 0.0)
