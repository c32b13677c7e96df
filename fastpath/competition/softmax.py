"""The soft competition: units share the learning by a softmax of their drives.

Source: T. Moraitis et al., "SoftHebb", Neuromorph. Comput. Eng. 2:044017 (2022).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition.base import Rule, checked_delta


@isolated()
def soft(
    drive: Float[Tensor, "image unit"],
    *,
    temperature: float,
    anti: bool,
    delta: float = 1.0,
) -> Float[Tensor, "image unit"]:
    """Return g = softmax of drive / temperature over the units (SoftHebb).

    With `anti`, the unit with the largest drive keeps its g, and all other units get −Δ g;
    Δ = 1 is the authors' signed form.

    Raises
    ------
    ValueError
        If the temperature is not positive, or Δ is negative or not finite.
    """
    temperature = checks.positive("temperature", temperature)
    anti = checks.flag("anti", anti)
    delta = checked_delta(delta)
    drive = checks.floats("drive", drive, "(image, unit)")
    g = torch.softmax(drive / temperature, dim=1)
    if not anti:
        return g
    winner = drive.argmax(dim=1, keepdim=True)
    return (-delta * g).scatter_(1, winner, g.gather(1, winner))


@dataclass(frozen=True, kw_only=True)
class Soft(Rule):
    """Settings of `soft`."""

    dense = capturable = keeps_drive = True

    temperature: float = 1.0
    anti: bool = False
    delta: float = field(default=1.0, metadata={"neutral": 1.0})
    """Strength Δ of the unlearning, with `anti`."""

    def __post_init__(self) -> None:
        checks.fields(self, temperature=checks.positive, anti=checks.flag)
        object.__setattr__(self, "delta", checked_delta(self.delta))

    def __call__(self, drive: Tensor) -> Tensor:
        """Return g (image, unit)."""
        return soft(drive, temperature=self.temperature, anti=self.anti, delta=self.delta)
