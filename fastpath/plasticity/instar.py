"""The instar rule: the weights of a unit that learns move towards the image.

ΔW_u = Σ_b g_bu (v_b − W_u). A unit with g = 1 moves towards the mean of its images, so with
one winner an image this is hard winner-take-all learning, or online k-means. A unit with
g < 0 moves away from the image, without a bound.

Source: S. Grossberg, "Adaptive pattern classification and universal recoding: I",
Biol. Cybern. 23:121 (1976).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.ambient import isolated
from fastpath.plasticity.base import summed


@dataclass(frozen=True, kw_only=True)
class Instar:
    """The winner's weights move towards the image."""

    @isolated()
    def __call__(
        self,
        g: Float[Tensor, "image unit"],
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Float[Tensor, "unit pixel"]:
        """Return ΔW = Σ_b g (v − W) summed over the mini-batch. The drive has no effect.

        Raises
        ------
        ValueError
            If g and drive have different shapes.
        """
        return summed(g, drive, images, weights, decay=self.decay(drive))

    def decay(self, drive: Float[Tensor, "*entry"]) -> Float[Tensor, "*entry"]:
        """Return c of each entry: 1."""
        return torch.ones_like(drive)
