"""Who learns: from the drive of each image to the learning activation g.

Three ways to decide the competition, from the circuit's own fixed point to the ranking
that the paper uses for speed. Each is a function of the drive; the dataclass of the same
name holds its settings and is what a layer is given to learn with.

Source: D. Krotov & J. J. Hopfield, "Unsupervised learning by competing hidden units",
PNAS 116:7723 (2019): circuit eq. 8, thresholds eq. 9, ranking eq. 10. The soft form is
T. Moraitis et al., "SoftHebb", Neuromorph. Comput. Eng. 2:044017 (2022).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated

FIRST_SORTED = 32

# Anything that turns the drive (image, unit) of a mini-batch into g (image, unit).
type Competition = Callable[[Tensor], Tensor]


@isolated()
def ranking(
    drive: Float[Tensor, "image unit"], *, k: int, delta: float
) -> Float[Tensor, "image unit"]:
    """Give +1 to the largest drive, −Δ to the k-th largest, 0 to all others (eq. 10).

    k = 2 is the runner-up; the ranks between 1 and k get nothing. Equal drives are ranked
    in an arbitrary order, the same on every call on one machine.

    Raises
    ------
    ValueError
        If k is not in 2..number of units, or Δ is negative or not finite.
    """
    k, delta = _ranking(k, delta)
    drive = checks.floats("drive", drive, "(image, unit)")
    check_rank(k, drive.shape[1])
    ranks = drive.topk(k, dim=1).indices
    g = torch.zeros_like(drive)
    g.scatter_(1, ranks[:, :1], 1.0)
    return g.scatter_(1, ranks[:, k - 1 :], -delta)


@isolated()
def settle(
    drive: Float[Tensor, "image unit"], *, w_inh: float
) -> Float[Tensor, "image unit"]:
    """Return the activity h to which eq. 8 settles from equal initial values, exactly.

    For w = w_inh < 1 the fixed point is unique: with m active units and their summed
    activity S = Σ_active I / (1 + (m − 1) w), active units have h = (I − w S) / (1 − w),
    the others h = I − w S. Derivation and proof: `neurodyn.equilibrium`. For w ≥ 1 the
    largest drive wins alone (exact ties for it share the win, as they do in the circuit).

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
    I_(m) (1 + (m − 1) w) > w Σ_{j≤m} I_(j). It is small where inhibition is strong, so only
    the largest drives are sorted, and more of them where the prefix may be longer.
    """
    num_units = drive.shape[1]
    # On CUDA to ask whether the prefix has ended would be to wait for the device.
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


@isolated()
def soft(
    drive: Float[Tensor, "image unit"], *, temperature: float, anti: bool
) -> Float[Tensor, "image unit"]:
    """Share one unit of learning by a softmax of drive / temperature (SoftHebb).

    With `anti`, the unit of largest drive keeps its share and every other one gets minus
    its share (the authors' signed form).

    Raises
    ------
    ValueError
        If the temperature is not positive.
    """
    temperature = checks.positive("temperature", temperature)
    anti = checks.flag("anti", anti)
    drive = checks.floats("drive", drive, "(image, unit)")
    g = torch.softmax(drive / temperature, dim=1)
    if not anti:
        return g
    winner = drive.argmax(dim=1, keepdim=True)
    return (-g).scatter_(1, winner, g.gather(1, winner))


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Settings of `ranking`."""

    k: int = 2
    delta: float = 0.4

    def __post_init__(self) -> None:
        checks.fields(self, k=checks.whole, delta=checks.number)
        _ranking(self.k, self.delta)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return ranking(drive, k=self.k, delta=self.delta)


@dataclass(frozen=True, kw_only=True)
class Equilibrium:
    """Settings of `equilibrium`."""

    w_inh: float = 0.9
    h_star: float = 0.2  # of unit-norm images (scenarios.ladder); else times their norm
    delta: float = 0.4

    def __post_init__(self) -> None:
        number = checks.number
        checks.fields(self, w_inh=number, h_star=number, delta=number)
        _equilibrium(self.w_inh, self.h_star, self.delta)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return equilibrium(drive, w_inh=self.w_inh, h_star=self.h_star, delta=self.delta)


@dataclass(frozen=True, kw_only=True)
class Soft:
    """Settings of `soft`."""

    temperature: float = 1.0
    anti: bool = False

    def __post_init__(self) -> None:
        checks.fields(self, temperature=checks.positive, anti=checks.flag)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return soft(drive, temperature=self.temperature, anti=self.anti)


# The names by which commands know them. Fields are flags of `fastpath train`.
KINDS: dict[str, type[Ranking | Equilibrium | Soft]] = {
    "ranking": Ranking,
    "equilibrium": Equilibrium,
    "soft": Soft,
}


def built_in(competition: Competition) -> Ranking | Equilibrium | Soft | None:
    """Return a competition that others may compute in a way of their own, or None.

    By the exact class: a subclass may decide otherwise, so it is only ever called.
    """
    for kind in KINDS.values():
        if type(competition) is kind:
            return competition
    return None


def activation(
    competition: Competition, drive: Float[Tensor, "image unit"]
) -> Float[Tensor, "image unit"]:
    """Return the g of any competition, in the number format of the drive.

    Raises
    ------
    ValueError
        If g is not of the shape of the drive.
    """
    # One of the user's may compute in place; ΔW needs the drive as it was.
    given = drive if built_in(competition) else drive.clone()
    g = checks.tensor("g", competition(given))
    if g.shape != drive.shape:
        raise ValueError(
            f"the competition returned g of shape {tuple(g.shape)} for drives of shape "
            f"{tuple(drive.shape)}: one value for each image and unit is needed"
        )
    return g.to(drive)


def check_rank(k: int, num_units: int) -> None:
    """Raise ValueError unless there are at least k units."""
    if num_units < 2:
        raise ValueError(
            f"units is {num_units}: a ranking needs at least 2, a winner and one that gets "
            "-delta; add units, or choose another competition, equilibrium or soft"
        )
    if k > num_units:
        raise ValueError(
            f"k is {k}, but only {num_units} units compete: k must lie in "
            f"2..{num_units} (lower k or add units)"
        )


def _ranking(k: int, delta: float) -> tuple[int, float]:
    k = checks.whole("k", k)
    if k < 2:
        raise ValueError(
            f"k is {k}: the anti-Hebbian unit must rank below the winner, so k is 2 "
            "(the runner-up) or more"
        )
    return k, _delta(delta)


def _equilibrium(w_inh: float, h_star: float, delta: float) -> tuple[float, float, float]:
    w_inh, h_star = _w_inh(w_inh), checks.number("h_star", h_star)
    if not (h_star > 0 and math.isfinite(h_star)):
        raise ValueError(
            f"h_star is {h_star}: the threshold between anti-Hebbian and Hebbian "
            "learning must be positive and finite"
        )
    return w_inh, h_star, _delta(delta)


def _w_inh(w_inh: float) -> float:
    w_inh = checks.number("w_inh", w_inh)
    if not (w_inh >= 0 and math.isfinite(w_inh)):
        raise ValueError(
            f"w_inh is {w_inh}: the strength of inhibition must be 0 or more, and finite"
        )
    return w_inh


def _delta(delta: float) -> float:
    delta = checks.number("delta", delta)
    if not (delta >= 0 and math.isfinite(delta)):
        raise ValueError(
            f"delta is {delta}: the anti-Hebbian strength must be 0 or more, and finite"
        )
    return delta
