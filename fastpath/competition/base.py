"""The interface of a competition: the learning activation g, and its sparse form."""

import math
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from fastpath import checks

# A function from the drive (image, unit) of a mini-batch to g (image, unit).
type Competition = Callable[[Tensor], Tensor]


class Learners(NamedTuple):
    """The non-zero entries of g, sorted by image: which unit learns from which image."""

    image: Int[Tensor, " learner"]
    unit: Int[Tensor, " learner"]
    g: Float[Tensor, " learner"]
    drive: Float[Tensor, " learner"]


PROMISES = ("dense", "capturable", "keeps_drive", "per_image", "learners", "check")


class Rule:
    """A competition with settings. A subclass is a frozen dataclass with `__call__`.

    The attributes below are promises about `__call__`. A subclass that overrides
    `__call__`, itself or by a mixin, starts again from the defaults below.
    """

    dense = False
    """Nearly all entries of g are non-zero, so a sparse form would cost more."""
    capturable = False
    """`__call__` never waits for the device, so a CUDA graph can capture it."""
    keeps_drive = False
    """`__call__` does not change the drive."""

    def __init_subclass__(cls) -> None:
        def depth(name: str) -> int:
            return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))

        for name in PROMISES:
            if depth(name) > depth("__call__"):  # set for the `__call__` of a base class
                setattr(cls, name, vars(Rule)[name])

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit) for the drive (image, unit)."""
        raise NotImplementedError

    @property
    def per_image(self) -> int | None:
        """The number of entries an image in `learners`; None if it is not fixed.

        Override this together with `learners`.
        """
        return None

    def learners(self, drive: Tensor) -> Learners | None:
        """Return the sparse form of g, or None.

        Override this where the sparse form is computed without g and its number of entries
        does not depend on the drive.
        """
        return None

    def check(self, num_units: int) -> None:
        """Raise ValueError if this number of units cannot compete."""


def activation(
    competition: Competition, drive: Float[Tensor, "image unit"]
) -> Float[Tensor, "image unit"]:
    """Return g of any competition, in the number format of the drive.

    Raises
    ------
    ValueError
        If g does not have the shape of the drive.
    """
    # A user's competition may change its argument in place; ΔW needs the original drive.
    argument = drive if getattr(competition, "keeps_drive", False) else drive.clone()
    g = checks.tensor("g", competition(argument))
    if g.shape != drive.shape:
        raise ValueError(
            f"the competition returned g of shape {tuple(g.shape)} for drives of shape "
            f"{tuple(drive.shape)}: one value for each image and unit is needed"
        )
    return g.to(drive)


def sparse(
    competition: Competition, drive: Float[Tensor, "image unit"], *, fixed_size: bool
) -> Learners | None:
    """Return the non-zero entries of g, or None if g is to be used in its dense form.

    With `fixed_size`, the number of entries must not depend on the drive: on CUDA the host
    would have to wait for the device to learn it.
    """
    if isinstance(competition, Rule):
        learners = competition.learners(drive)
        if learners is not None or competition.dense:
            return learners
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
