"""The ranking: the unit with the largest drive learns, the k-th largest unlearns.

Source: D. Krotov & J. J. Hopfield, "Unsupervised learning by competing hidden units",
PNAS 116:7723 (2019), eq. 10.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition.base import Learners, Rule, checked_delta


@isolated()
def ranking(
    drive: Float[Tensor, "image unit"], *, k: int, delta: float
) -> Float[Tensor, "image unit"]:
    """Give +1 to the largest drive, −Δ to the k-th largest, 0 to all others (eq. 10).

    k = 2 is the runner-up. Ranks between 1 and k get 0. Equal drives are ranked in an
    arbitrary order, which is the same on every call on one machine.

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


@dataclass(frozen=True, kw_only=True)
class Ranking(Rule):
    """Settings of `ranking`."""

    capturable = keeps_drive = True

    k: int = 2
    delta: float = 0.4

    def __post_init__(self) -> None:
        checks.fields(self, k=checks.whole, delta=checks.number)
        _ranking(self.k, self.delta)

    @property
    def per_image(self) -> int:
        """The number of entries an image in `learners`: the winner and the k-th unit."""
        return 2

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return ranking(drive, k=self.k, delta=self.delta)

    def learners(self, drive: Tensor) -> Learners:
        """Return two entries for each image: the winner and the k-th unit."""
        top = drive.topk(self.k, dim=1)
        unit, current = (
            torch.stack([ranks[:, 0], ranks[:, self.k - 1]], dim=1).flatten()
            for ranks in (top.indices, top.values)
        )
        image = torch.arange(len(unit), device=drive.device) // 2
        g = torch.ones_like(current)
        g[1::2] = -self.delta
        return Learners(image, unit, g, current)

    def check(self, num_units: int) -> None:
        """Raise ValueError unless there are at least k units."""
        check_rank(self.k, num_units)


def check_rank(k: int, num_units: int) -> None:
    """Raise ValueError unless there are at least k units."""
    if num_units < 2:
        raise ValueError(
            f"units is {num_units}: a ranking needs at least 2, a winner and a unit that "
            "gets -delta; add units, or choose another competition, equilibrium or soft"
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
    return k, checked_delta(delta)
