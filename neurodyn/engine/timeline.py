"""When everything happens: clocks that meet exactly, and the order of the images.

A time step, a presentation and a sampling interval each have a clock. Brian2 lets clocks
tick together when their times agree, in C++ to within 1e-14 s. But n·dt and k·T, rounded
differently, part company after about a minute of simulated time, and from then on images
change a step too early or too late. So the step is rounded to a number of 24 bits, whose
multiples are exact (up to 2^29 of them), and the millisecond is stretched by the same
factor, at most 6e-8. Every ratio of times, and so every result, stays what it was.

What happens within one time step, in this order (Euler's method: all from the old state):

1. "before_start": settled plasticity and samples see the presentation that has just ended;
2. "start": the next image, activities to 0;
3. "groups": sums over synapses (SUMS), who learns (GAINS), weights that move (LEARNING),
   activities (ACTIVITIES).
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import brian2 as b2

# Orders in the slot "groups". Brian2 computes a summed variable one before its target.
SUMS, GAINS, LEARNING, ACTIVITIES = -3, -2, -1, 0

# For groups that tick at every step. `running` holds all states still after the last image,
# so that a run may go on for some steps and still end in the state it is asked for.
# Variables, not tables or numbers in the code: what is compiled serves any schedule.
EQUATIONS = """
shown = int(t_in_timesteps % period_steps >= rest_steps) : 1 (shared)
running = int(t_in_timesteps < num_steps) : 1 (shared)
num_steps : integer (shared, constant)
"""
# Tables have one entry a microsecond, which means nothing, but is the same in all code.
ENTRY_S = 1e-6


@dataclass(frozen=True, eq=False)
class Timeline:
    """The clocks of a simulation, and which image is on when."""

    dt_ms: float
    rest_steps: int
    period_steps: int
    num_presentations: int
    """How many fit into a run."""
    _clocks: "dict[int, b2.Clock]" = field(default_factory=dict, init=False)

    @cached_property
    def dt(self) -> float:
        """Time step [s], of 24 bits."""
        return float(np.float32(self.dt_ms / 1000))

    @cached_property
    def ms(self) -> "b2.Quantity":
        """The millisecond that all times are given in."""
        import brian2 as b2

        return b2.Quantity(self.dt / self.dt_ms, dim=b2.second.dim)

    def every(self, num_steps: int) -> "b2.Clock":
        """Return the clock that ticks every so many steps, from 0.

        An interval longer than the run ends with it: the run goes on for a share of the
        longest one. One clock for equal intervals: Brian2 looks through all clocks at
        every step. Their names are in the code, and so do not depend on the intervals.
        """
        import brian2 as b2

        num_steps = min(num_steps, self.num_presentations * self.period_steps + 1)
        if num_steps not in self._clocks:
            names = {1: "steps", self.period_steps: "presentations"}
            name = names.get(num_steps, f"clock_{len(self._clocks)}")
            interval = b2.Quantity(num_steps * self.dt, dim=b2.second.dim)
            self._clocks[num_steps] = b2.Clock(interval, name=name)
        return self._clocks[num_steps]

    @property
    def steps(self) -> "b2.Clock":
        """Integration."""
        return self.every(1)

    @property
    def presentations(self) -> "b2.Clock":
        """Starts of presentations."""
        return self.every(self.period_steps)

    @cached_property
    def image_at(self) -> "b2.TimedArray":
        """Index of the image of each presentation; −1 when all have been shown.

        Its length is a power of two, so that few different lengths are in compiled code.
        """
        length = 2 ** math.ceil(math.log2(self.num_presentations + 1))
        return table(np.full(length, -1.0))

    def schedule(self, order: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the values of `image_at` that show these images, one after another."""
        values = np.full(self.image_at.values.shape, -1.0)
        values[: len(order)] = order
        return values

    @property
    def namespace(self) -> dict[str, Any]:
        """What EQUATIONS refer to."""
        return {"period_steps": self.period_steps, "rest_steps": self.rest_steps}

    def lookup(self, values: NDArray[np.float64]) -> dict[str, Any]:
        """Return what LOOKUP of a table, one row an image, refers to."""
        import brian2 as b2

        entry = b2.Quantity(ENTRY_S, dim=b2.second.dim)
        return {"table": table(values), "image_at": self.image_at, "entry": entry}

    def duration(self, num_presentations: int) -> "b2.Quantity":
        """Return the length of a run: presentations, and the tick that ends the last one.

        Brian2 drops a tick of a clock within 1e-4 of its interval before the end, so the
        run is longer by more than that of the longest interval.
        """
        import brian2 as b2

        extra = 1 + max(self._clocks, default=1) // 5000
        steps = num_presentations * self.period_steps + extra
        return b2.Quantity(steps * self.dt, dim=b2.second.dim)


# For groups that tick with the presentations, whose time step counts them.
SHOWN_IMAGE = "image_at(t_in_timesteps*entry)"
LOOKUP = f"int({SHOWN_IMAGE} >= 0)*table({SHOWN_IMAGE}*entry"


def table(values: NDArray[np.float64]) -> "b2.TimedArray":
    """Return values as Brian2 code can look them up."""
    import brian2 as b2

    return b2.TimedArray(values, dt=b2.Quantity(ENTRY_S, dim=b2.second.dim))
