"""Runners-up: the unit with the largest drive learns, each of the next k units unlearns.

Source: A. Amer & A. Bontempi, "Unsupervised learning by competing hidden units", a
replication of D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019); Bocconi University, 2025,
github.com/adamamer20/competing-unsupervised-learning, `_top_k_approximation`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition.base import Learners, Rule, checked_delta


@isolated()
def runners_up(
    drive: Float[Tensor, "image unit"], *, k: int, delta: float
) -> Float[Tensor, "image unit"]:
    """Give +1 to the largest drive, −Δ to each of the ranks 2..k + 1, 0 to all others.

    k is the number of units that unlearn, 1 or more. This is not eq. 10 of Krotov and
    Hopfield, where k is a rank and the unit of that rank alone gets −Δ: see `ranking`. The
    two agree only for k = 1 here and k = 2 there. Equal drives are ranked in an arbitrary
    order, which is the same on every call on one machine.

    Raises
    ------
    ValueError
        If k is not in 1..number of units − 1, or Δ is negative or not finite.
    """
    k, delta = _runners_up(k, delta)
    drive = checks.floats("drive", drive, "(image, unit)")
    _check_units(k, drive.shape[1])
    ranks = drive.topk(k + 1, dim=1).indices
    g = torch.zeros_like(drive)
    g.scatter_(1, ranks[:, :1], 1.0)
    return g.scatter_(1, ranks[:, 1:], -delta)


@dataclass(frozen=True, kw_only=True)
class RunnersUp(Rule):
    """Settings of `runners_up`: k units unlearn, where `Ranking` has one of rank k."""

    capturable = keeps_drive = True

    k: int = 2
    delta: float = 0.4

    def __post_init__(self) -> None:
        checks.fields(self, k=checks.whole, delta=checks.number)
        _runners_up(self.k, self.delta)

    @property
    def per_image(self) -> int:
        """The number of entries an image in `learners`: the winner and k units."""
        return self.k + 1

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return runners_up(drive, k=self.k, delta=self.delta)

    def learners(self, drive: Tensor) -> Learners:
        """Return k + 1 entries for each image, the largest drive first."""
        current, unit = drive.topk(self.k + 1, dim=1)
        image = torch.arange(unit.numel(), device=drive.device) // (self.k + 1)
        g = torch.full_like(current, -self.delta)
        g[:, 0] = 1
        return Learners(image, unit.flatten(), g.flatten(), current.flatten())

    def check(self, num_units: int) -> None:
        """Raise ValueError unless there are more than k units."""
        _check_units(self.k, num_units)


def _check_units(k: int, num_units: int) -> None:
    if num_units < 2:
        raise ValueError(
            f"units is {num_units}: runners-up need at least 2, a winner and a unit that "
            "gets -delta; add units, or choose another competition, equilibrium or soft"
        )
    if k >= num_units:
        raise ValueError(
            f"k is {k}, but only {num_units} units compete: a winner and {k} units that "
            f"get -delta are {k + 1} (lower k to {num_units - 1} or add units)"
        )


def _runners_up(k: int, delta: float) -> tuple[int, float]:
    k = checks.whole("k", k)
    if k < 1:
        raise ValueError(f"k is {k}: the number of units that get -delta must be 1 or more")
    return k, checked_delta(delta)
