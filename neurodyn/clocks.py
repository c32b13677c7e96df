"""The clocks of a simulation, made to meet exactly.

A time step, a presentation and a sampling interval each have a clock. Brian2 lets clocks
tick together when their times agree, in C++ to within 1e-14 s. But n·dt and k·T, rounded
differently, part company after about a minute of simulated time, and from then on images
change a step too early or too late. So the step is rounded to a number of 24 bits, whose
multiples are exact (up to 2^29 of them), and the millisecond is stretched by the same
factor, at most 6e-8. Every ratio of times, and so every result, stays what it was.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import brian2 as b2


@dataclass(frozen=True)
class Clocks:
    """What ticks in a simulation, and the millisecond that all its times are given in."""

    ms: "b2.Quantity"
    steps: "b2.Clock"
    """Integration."""
    presentations: "b2.Clock"
    """Starts of presentations."""
    samples: "b2.Clock"
    """Sampled times."""
    rest_steps: int
    period_steps: int


def clocks(
    *, dt_ms: float, rest_steps: int, period_steps: int, sample_steps: int
) -> Clocks:
    """Return clocks whose ticks coincide exactly; one clock for equal intervals.

    There are few of them because Brian2 looks through all at every step.
    """
    import brian2 as b2

    dt = float(np.float32(dt_ms / 1000))
    made: dict[int, b2.Clock] = {}
    for steps in (1, period_steps, sample_steps):
        if steps not in made:
            made[steps] = b2.Clock(steps * dt * b2.second, name=f"clock_{steps}")
    return Clocks(
        ms=b2.Quantity(dt / dt_ms, dim=b2.second.dim),
        steps=made[1],
        presentations=made[period_steps],
        samples=made[sample_steps],
        rest_steps=rest_steps,
        period_steps=period_steps,
    )
