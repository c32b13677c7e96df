"""The exact equilibrium of the circuit, and its thresholds.

Source: D. Krotov & J. J. Hopfield, "Unsupervised learning by competing hidden units",
PNAS 116:7723 (2019), eq. 8 and 9.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition.base import Rule, checked_delta

FIRST_SORTED = 32


@isolated()
def settle(
    drive: Float[Tensor, "image unit"], *, w_inh: float
) -> Float[Tensor, "image unit"]:
    """Return the exact activity h to which eq. 8 settles from equal initial values.

    For w = w_inh < 1 the fixed point is unique: with m active units and their summed
    activity S = Σ_active I / (1 + (m − 1) w), active units have h = (I − w S) / (1 − w),
    the others h = I − w S. Derivation and proof: `neurodyn.equilibrium`. For w ≥ 1 only
    the unit with the largest drive is active. Units that tie exactly for the largest drive
    are all active, as in the circuit.

    Raises
    ------
    ValueError
        If w_inh is negative or not finite.
    """
    w_inh = _w_inh(w_inh)
    drive = checks.floats("drive", drive, "(image, unit)")
    if w_inh < 1:
        excess = drive - w_inh * _summed_activity(drive, w_inh)
        return torch.where(excess > 0, excess / (1 - w_inh), excess)
    top = drive.amax(dim=1, keepdim=True)
    winner = (drive == top) & (drive > 0)
    num_winners = winner.sum(dim=1, keepdim=True).clamp(min=1)
    won = torch.where(winner, top / (1 + (num_winners - 1) * w_inh), 0.0)
    return torch.where(winner, won, drive - w_inh * won.sum(dim=1, keepdim=True))


def _summed_activity(
    drive: Float[Tensor, "image unit"], w_inh: float
) -> Float[Tensor, "image 1"]:
    """Return S of the fixed point.

    The active set is the longest prefix of the sorted drives with
    I_(m) (1 + (m − 1) w) > w Σ_{j≤m} I_(j). Strong inhibition makes it short. Therefore
    only the largest drives are sorted first, and more of them if the prefix may be longer.
    """
    num_units = drive.shape[1]
    # On CUDA, asking whether the prefix has ended would wait for the device.
    num_sorted = num_units if drive.is_cuda else min(FIRST_SORTED, num_units)
    while True:
        descending = drive.topk(num_sorted, dim=1).values
        total = descending.cumsum(dim=1)
        peers = torch.arange(num_sorted, dtype=drive.dtype, device=drive.device)
        gain = 1 + w_inh * peers
        num_active = (descending * gain > w_inh * total).sum(dim=1, keepdim=True)
        if num_sorted == num_units or (num_active < num_sorted).all():
            break
        num_sorted = min(8 * num_sorted, num_units)
    last = (num_active - 1).clamp(min=0)
    summed = total.gather(1, last) / gain[last]
    return torch.where(num_active > 0, summed, 0.0)


@isolated()
def equilibrium(
    drive: Float[Tensor, "image unit"], *, w_inh: float, h_star: float, delta: float
) -> Float[Tensor, "image unit"]:
    """Apply the thresholds of eq. 9 to the settled activity of eq. 8.

    g = 0 for h < 0, −Δ for 0 ≤ h < h*, +1 for h ≥ h*. h* is in the units of the drive.

    Raises
    ------
    ValueError
        If w_inh or Δ is negative, or h* is not positive.
    """
    w_inh, h_star, delta = _equilibrium(w_inh, h_star, delta)
    h = settle(drive, w_inh=w_inh)
    anti = -delta * (h >= 0).to(h.dtype)
    return torch.where(h >= h_star, 1.0, anti)


@dataclass(frozen=True, kw_only=True)
class Equilibrium(Rule):
    """Settings of `equilibrium`."""

    capturable = keeps_drive = True

    w_inh: float = 0.9
    h_star: float = 0.2  # for images of unit norm (scenarios.ladder), else times the norm
    delta: float = 0.4

    def __post_init__(self) -> None:
        number = checks.number
        checks.fields(self, w_inh=number, h_star=number, delta=number)
        _equilibrium(self.w_inh, self.h_star, self.delta)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return equilibrium(drive, w_inh=self.w_inh, h_star=self.h_star, delta=self.delta)


def _equilibrium(w_inh: float, h_star: float, delta: float) -> tuple[float, float, float]:
    w_inh, h_star = _w_inh(w_inh), checks.number("h_star", h_star)
    if not (h_star > 0 and math.isfinite(h_star)):
        raise ValueError(
            f"h_star is {h_star}: the threshold between anti-Hebbian and Hebbian "
            "learning must be positive and finite"
        )
    return w_inh, h_star, checked_delta(delta)


def _w_inh(w_inh: float) -> float:
    w_inh = checks.number("w_inh", w_inh)
    if not (w_inh >= 0 and math.isfinite(w_inh)):
        raise ValueError(
            f"w_inh is {w_inh}: the strength of inhibition must be 0 or more, and finite"
        )
    return w_inh
