"""Hebb's rule without a decay.

ΔW_u = Σ_b g_bu v_b. Nothing bounds the rows of W: a unit that wins grows without end unless
something else normalises it, such as filters that are orthogonalised after each step.

Source: D. O. Hebb, "The Organization of Behavior", Wiley (1949).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.ambient import isolated
from fastpath.plasticity.base import summed


@dataclass(frozen=True, kw_only=True)
class Hebb:
    """Plain Hebb: the rows of W grow unless something else normalises them."""

    @isolated()
    def __call__(
        self,
        g: Float[Tensor, "image unit"],
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Float[Tensor, "unit pixel"]:
        """Return ΔW = Σ_b g v summed over the mini-batch. The drive has no effect.

        Raises
        ------
        ValueError
            If g and drive have different shapes.
        """
        return summed(g, drive, images, weights, decay=None)

    def decay(self, drive: Float[Tensor, "*entry"]) -> Float[Tensor, "*entry"]:
        """Return c of each entry: 0."""
        return torch.zeros_like(drive)
