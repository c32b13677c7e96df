"""What a layer asks of a competition: the learning activation g, and its sparse form."""

import math
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from fastpath import checks

# Anything that turns the drive (image, unit) of a mini-batch into g (image, unit).
type Competition = Callable[[Tensor], Tensor]


class Learners(NamedTuple):
    """Who learns from which image: the non-zero entries of g, sorted by image."""

    image: Int[Tensor, " learner"]
    unit: Int[Tensor, " learner"]
    g: Float[Tensor, " learner"]
    drive: Float[Tensor, " learner"]


class Rule:
    """A competition with settings. A subclass is a frozen dataclass with `__call__`.

    The attributes below are promises about `__call__`. A class that gets another
    `__call__`, of its own or from a mixin, starts from these defaults again.
    """

    dense = False
    """Nearly all of g is non-zero, so that a sparse form would cost more."""
    capturable = False
    """`__call__` never waits for the device, so that a CUDA graph can hold it."""
    keeps_drive = False
    """`__call__` does not write to the drive."""

    def __init_subclass__(cls) -> None:
        def depth(name: str) -> int:
            return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))

        for name in ("dense", "capturable", "keeps_drive", "learners", "check"):
            if depth(name) > depth("__call__"):  # made for the `__call__` of a base
                setattr(cls, name, vars(Rule)[name])

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit) for the drive (image, unit)."""
        raise NotImplementedError

    def learners(self, drive: Tensor) -> Learners | None:
        """Return the sparse form of g if it is found without g, of fixed size; or None."""
        return None

    def check(self, num_units: int) -> None:
        """Raise ValueError unless so many units can compete."""


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
    given = drive if getattr(competition, "keeps_drive", False) else drive.clone()
    g = checks.tensor("g", competition(given))
    if g.shape != drive.shape:
        raise ValueError(
            f"the competition returned g of shape {tuple(g.shape)} for drives of shape "
            f"{tuple(drive.shape)}: one value for each image and unit is needed"
        )
    return g.to(drive)


def sparse(
    competition: Competition, drive: Float[Tensor, "image unit"], *, fixed_size: bool
) -> Learners | None:
    """Return the learners of any competition, or None where all of g says it as well.

    With `fixed_size` their number must not depend on the drive: on CUDA the host would have
    to wait to hear of it.
    """
    if isinstance(competition, Rule):
        found = competition.learners(drive)
        if found is not None or competition.dense:
            return found
    if fixed_size:
        return None
    g = activation(competition, drive)
    image, unit = g.nonzero(as_tuple=True)
    return Learners(image, unit, g[image, unit], drive[image, unit])


def checked_delta(delta: float) -> float:
    """Return the anti-Hebbian strength; raise ValueError if negative or infinite."""
    delta = checks.number("delta", delta)
    if not (delta >= 0 and math.isfinite(delta)):
        raise ValueError(
            f"delta is {delta}: the anti-Hebbian strength must be 0 or more, and finite"
        )
    return delta
