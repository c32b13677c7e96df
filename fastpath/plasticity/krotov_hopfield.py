"""The rule of Krotov and Hopfield: Hebbian growth, and a decay that sets the p-norm to 1.

ΔW_u = Σ_b g_bu (v_b − I_bu W_u), eq. 3 with R = 1, for a mini-batch b as in the authors'
code. With g from a ranking this is the paper's rule; with g = I (p = 2), Oja's rule; with g
a softmax of the drive, SoftHebb. For g I > 0 the p-norm Σ_i |W_ui|^p flows to 1. For an
anti-Hebbian unit it is repelled from 1, so a large Δ can make weights diverge.

Source: D. Krotov & J. J. Hopfield, "Unsupervised learning by competing hidden units",
PNAS 116:7723 (2019).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fastpath.ambient import isolated
from fastpath.plasticity.base import summed


@isolated()
def delta_w(
    g: Float[Tensor, "image unit"],
    drive: Float[Tensor, "image unit"],
    images: Float[Tensor, "image pixel"],
    weights: Float[Tensor, "unit pixel"],
) -> Float[Tensor, "unit pixel"]:
    """Return ΔW summed over the mini-batch (eq. 3). Units with g = 0 do not change.

    Raises
    ------
    ValueError
        If g and drive have different shapes.
    """
    return summed(g, drive, images, weights, decay=drive)


@dataclass(frozen=True, kw_only=True)
class KrotovHopfield:
    """Eq. 3: see `delta_w`."""

    def __call__(
        self,
        g: Float[Tensor, "image unit"],
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Float[Tensor, "unit pixel"]:
        """Return ΔW summed over the mini-batch."""
        return delta_w(g, drive, images, weights)

    def decay(self, drive: Float[Tensor, "*entry"]) -> Float[Tensor, "*entry"]:
        """Return c of each entry: its drive."""
        return drive
