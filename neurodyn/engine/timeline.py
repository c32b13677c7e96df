"""Clocks that tick together exactly, and the order of the images.

A time step, a presentation and a sampling interval each have a clock. Brian2 lets clocks
tick together when their times agree, in C++ to within 1e-14 s. But n·dt and k·T, rounded
differently, part company after about a minute of simulated time, and from then on images
change a step too early or too late. So the step is rounded to a number of 24 bits, whose
multiples are exact (up to 2^29 of them), and the millisecond is stretched by the same
factor, at most 6e-8. All ratios of times, and so all results, stay the same.

The order of events in a time step (Euler's method computes all from the old state):

1. "before_start": settled plasticity and samples see the presentation that has just ended;
2. "start": the next image, activities to 0;
3. "groups": sums over synapses (SUMS), learning activations (GAINS), weight updates
   (LEARNING), activities (ACTIVITIES).
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.engine.stepping import clock_class

if TYPE_CHECKING:
    import brian2 as b2

# Orders in the slot "groups". Brian2 computes a summed variable one before its target.
SUMS, GAINS, LEARNING, ACTIVITIES = -3, -2, -1, 0

# For groups that tick at every step. `running` stops all states after the last image, so
# that a run may go on for some steps and still end in the right state. These are variables,
# not tables or numbers in the code, so that compiled code serves any schedule.
EQUATIONS = """
shown = int(t_in_timesteps % period_steps >= rest_steps) : 1 (shared)
running = int(t_in_timesteps < num_steps) : 1 (shared)
num_steps : integer (shared, constant)
"""
# Tables have one entry per microsecond: an arbitrary unit, but the same in all code.
ENTRY_S = 1e-6


@dataclass(frozen=True, eq=False)
class Timeline:
    """The clocks of a simulation, and the image of each presentation."""

    dt_ms: float
    rest_steps: int
    period_steps: int
    num_presentations: int
    """Number of presentations that fit into a run."""
    num_frames: int = 1
    """Number of pictures that are shown in one presentation."""
    weight_dtype: type[np.floating[Any]] = np.float64
    """Type of the weights W of synapses."""
    _clocks: "dict[int, b2.Clock]" = field(default_factory=dict, init=False)

    @cached_property
    def dt(self) -> float:
        """Time step [s], of 24 bits."""
        return float(np.float32(self.dt_ms / 1000))

    @cached_property
    def ms(self) -> "b2.Quantity":
        """The stretched millisecond, in which all times are given."""
        import brian2 as b2

        return b2.Quantity(self.dt / self.dt_ms, dim=b2.second.dim)

    def stretched(self, value: Any) -> Any:
        """Return a value in the stretched time, if it is a quantity of time or rate."""
        import brian2 as b2

        if not isinstance(value, b2.Quantity):
            return value
        factor = float(self.ms / b2.ms) ** value.dim.get_dimension("time")
        return b2.Quantity(np.asarray(value) * factor, dim=value.dim)

    def every(self, num_steps: int) -> "b2.Clock":
        """Return the clock that ticks every `num_steps` steps, from 0.

        An interval longer than the run is shortened, since `duration` adds a share of the
        longest interval. Equal intervals share a clock: Brian2 looks through all clocks at
        every step. Names of clocks are in the code, and so do not depend on the intervals.
        """
        num_steps = min(num_steps, self.num_presentations * self.period_steps + 1)
        if num_steps not in self._clocks:
            names = {1: "steps", self.period_steps: "presentations"}
            name = names.get(num_steps, f"clock_{len(self._clocks)}")
            self._clocks[num_steps] = clock_class()(self.dt, num_steps, name)
        return self._clocks[num_steps]

    @property
    def steps(self) -> "b2.Clock":
        """Clock of the integration."""
        return self.every(1)

    @property
    def presentations(self) -> "b2.Clock":
        """Clock of the starts of presentations."""
        return self.every(self.period_steps)

    @cached_property
    def _tick_steps(self) -> int:
        """Steps of the longest interval that divides the frames and the rest."""
        if self.num_frames == 1:
            return self.period_steps
        frame_steps = (self.period_steps - self.rest_steps) // self.num_frames
        return math.gcd(frame_steps, self.rest_steps)

    @property
    def frames(self) -> "b2.Clock":
        """Clock of the pictures: of the presentations, if these show still images."""
        return self.every(self._tick_steps)

    @property
    def entry(self) -> str:
        """The start of Brian2's expression for an entry of the table in `lookup`."""
        row = ROW if self.num_frames == 1 else ROW_OF_FRAME
        return f"int({row} >= 0)*table({row}*entry"

    @cached_property
    def image_at(self) -> "b2.TimedArray":
        """Index of the image of each presentation; −1 when all have been shown.

        It is long enough for all presentations and an end.
        """
        return table(np.full(_length(self.num_presentations + 1), -1.0))

    def schedule(self, order: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the values of `image_at` that show these images, one after another."""
        values = np.full(self.image_at.values.shape, -1.0)
        values[: len(order)] = order
        return values

    @property
    def namespace(self) -> dict[str, Any]:
        """Values of the names in EQUATIONS."""
        return {"period_steps": self.period_steps, "rest_steps": self.rest_steps}

    def lookup(self, values: NDArray[np.float64]) -> dict[str, Any]:
        """Return the namespace of `entry` for a table with a row per image and frame."""
        import brian2 as b2

        entry = b2.Quantity(ENTRY_S, dim=b2.second.dim)
        names = {"table": table(values), "image_at": self.image_at, "entry": entry}
        if self.num_frames > 1:
            tick, rest, period = self._tick_steps, self.rest_steps, self.period_steps
            names |= {"num_frames": self.num_frames}
            names |= {"ticks": period // tick, "rest_ticks": rest // tick}
            names |= {"frame_ticks": (period - rest) // self.num_frames // tick}
        return names

    def duration(self, num_presentations: int) -> "b2.Quantity":
        """Return the length of a run: presentations, and the tick that ends the last one.

        Brian2 drops a tick of a clock within 1e-4 of its interval before the end, so the
        run is longer by more than that of the longest interval.
        """
        import brian2 as b2

        extra = 1 + max(self._clocks, default=1) // 5000
        steps = num_presentations * self.period_steps + extra
        return b2.Quantity(steps * self.dt, dim=b2.second.dim)


# For groups that tick with the pictures, whose time step counts them: the row of a table.
ROW = "image_at(t_in_timesteps*entry)"
ROW_OF_FRAME = (
    "(image_at(t_in_timesteps//ticks*entry)*num_frames"
    " + clip((t_in_timesteps%ticks - rest_ticks)//frame_ticks, 0, num_frames - 1))"
)


def table(values: NDArray[np.float64]) -> "b2.TimedArray":
    """Return a table of values that Brian2 code can look up."""
    import brian2 as b2

    padding = [(0, _length(len(values)) - len(values))] + [(0, 0)] * (values.ndim - 1)
    entry = b2.Quantity(ENTRY_S, dim=b2.second.dim)
    return b2.TimedArray(np.pad(values, padding), dt=entry)


def _length(num_entries: int) -> int:
    """Round a length up, by up to an eighth, so that compiled code has few of them."""
    step = max(16, 2 ** (num_entries.bit_length() - 4))
    return -(-num_entries // step) * step
