"""The input of spiking circuits: which image is shown, and spikes of its pixels.

A *presenter* decides at each start of a presentation which image is shown and at what rate:
the next image, or the same at a higher rate if the E cells fired too little. All of it
happens inside the network, so that a run needs no Python between images.

Pixels fire with probability p = rate·dt in each time step. The number of silent steps
before a spike is then geometric, and is drawn at the spike before:

    P(n silent steps) = (1 − p)^n p,   n = ⌊ln u / ln(1 − p)⌋,   u uniform in (0, 1)

so that a step costs one comparison for each pixel, and random numbers only where there are
spikes. u is a function of (seed, phase, image, attempt, pixel, number of the spike): see
`engine.random`.

Source: L. Devroye, Non-Uniform Random Variate Generation (1986), X.2, for the geometric
numbers.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.engine import random, timeline
from neurodyn.engine.timeline import ENTRY_S, Timeline
from neurodyn.stimulus import PoissonPresentation

if TYPE_CHECKING:
    import brian2 as b2

    from neurodyn.plasticity.protocols import SpikeRule

# Of each copy of the circuit: `position` numbers the images that it was given, `row` the
# images in the table. A copy that has shown its `last` image has chance 0.
PRESENTER = """
position : integer
attempt : integer
fired : integer
row : integer
number : integer
presented : integer
chance : 1
offset : integer
last : integer
first_number : integer (shared, constant)
chance_start : 1 (shared, constant)
chance_raise : 1 (shared, constant)
min_spikes : integer (shared, constant)
last_attempt : integer (shared, constant)
"""
NEXT = """
done = int(fired >= min_spikes or attempt >= last_attempt)
position += done
attempt = (attempt + 1)*(1 - done)
fired = 0
row = rows*i + position - offset
number = first_number + copies*position + i
presented = attempts*number + attempt
chance = int(position < last)*(chance_start + attempt*chance_raise)
"""
# `silence` is ln(1 − p), `next_step` the step within the presentation of the next spike.
PIXELS = (
    random.EQUATIONS
    + """
step = t_in_timesteps % period_steps : integer (shared)
phase : integer (shared, constant)
next_step : integer
drawn : integer
silence : 1
row : integer (linked)
number : integer (linked)
attempt : integer (linked)
chance : 1 (linked)
"""
)
FIRES = "step == next_step"
# Without the smallest number, a dark pixel would divide by 0; NEVER is its silence.
NEVER = 10**9
DRAW = (
    "int(clip(log(uniform(seed_low, seed_high, phase + attempt, i % num_pixels, number,"
    " drawn))/silence, 0, never))"
)
START = f"""
silence = log(1 - table(row*entry, i % num_pixels)*chance) - 1e-300
drawn = 0
next_step = rest_steps + {DRAW}
"""
SPIKE = f"""
drawn += 1
next_step += 1 + {DRAW}
"""
# Names in the code of pixels besides those of PIXELS.
NAMES = {"period_steps", "rest_steps", "num_pixels", "never", "uniform", "table", "entry"}
ATTEMPTS = 64  # more than there are at one image
PHASES = ("train", "observe", "test")
FIRST_PHASE = 16  # larger than the number of any population (`circuits.noise`)


def phase_number(phase: str) -> int:
    """Return the number from which the attempts of a phase are counted."""
    return FIRST_PHASE + ATTEMPTS * PHASES.index(phase)


def population_number(phase: str, cells: str) -> int:
    """Return the number of a population, exc or inh, in a phase: of its noise."""
    return 2 * PHASES.index(phase) + ("exc", "inh").index(cells)


UNIFORM = """
STATIC inline double neurodyn_uniform(
    int seed_low, int seed_high, int phase, int pixel, int number, int draw)
{
    unsigned long long u, v;
    neurodyn_philox(seed_low, seed_high, pixel, draw, number, phase, &u, &v);
    return (u + 0.5)*1.1102230246251565e-16;
}
"""


def uniform_numbers(
    seed_low: int,
    seed_high: int,
    phase: ArrayLike,
    pixel: ArrayLike,
    number: ArrayLike,
    draw: ArrayLike,
) -> NDArray[np.float64]:
    """Return uniform numbers in (0, 1), as UNIFORM does; arguments broadcast."""
    u, _ = random.pair((pixel, draw, number, phase), (seed_low, seed_high))
    return np.float64(2.0**-53) * (u.astype(np.float64) + 0.5)


@functools.cache
def uniform() -> "b2.Function":
    """Return `uniform_numbers` as a function in Brian2's equations, for every backend."""
    return random.function(uniform_numbers, UNIFORM, "neurodyn_uniform", num_arguments=6)


def presenter(time: Timeline, *, copies: int, rows: int) -> "b2.NeuronGroup":
    """Return the cells, one for each copy, that choose what is shown.

    `rows` is the number of images that the table holds for each copy.
    """
    import brian2 as b2

    group = b2.NeuronGroup(
        copies,
        PRESENTER,
        clock=time.steps,
        name="presenter",
        namespace={"copies": copies, "rows": rows, "attempts": ATTEMPTS},
    )
    group.run_regularly(NEXT, clock=time.presentations, when="before_start", order=3)
    return group


def parameters(stimulus: PoissonPresentation, dt_ms: float) -> dict[str, Any]:
    """Return the values of the presenter's parameters."""
    return {
        "chance_start": stimulus.rate_hz * dt_ms / 1000,
        "chance_raise": stimulus.raise_hz * dt_ms / 1000,
        "min_spikes": stimulus.min_spikes,
        "last_attempt": stimulus.last_attempt,
    }


def pixels(
    chooser: "b2.NeuronGroup",
    num_pixels: int,
    time: Timeline,
    *,
    rows: int,
    rule: "SpikeRule | None",
    namespace: dict[str, Any],
    reset: str,
) -> "b2.NeuronGroup":
    """Return the pixels of all copies, which fire and carry the traces of the rule.

    `namespace` has the parameters of the rule, `reset` the code that sets its traces to 0
    at the start of each presentation.
    """
    import brian2 as b2

    copies = len(chooser)
    names = {
        "period_steps": time.period_steps,
        "rest_steps": time.rest_steps,
        "num_pixels": num_pixels,
        "never": NEVER,
        "uniform": uniform(),
        "table": timeline.table(np.zeros((copies * rows, num_pixels))),
        "entry": b2.Quantity(ENTRY_S, dim=b2.second.dim),
    }
    group = b2.NeuronGroup(
        copies * num_pixels,
        PIXELS + (rule.pre_traces if rule else ""),
        threshold=FIRES,
        reset=SPIKE + (rule.at_pre if rule else ""),
        method="exponential_euler",
        clock=time.steps,
        name="pixels",
        namespace=namespace | names,
    )
    index = np.repeat(np.arange(copies), num_pixels)
    for name in ("row", "number", "attempt", "chance"):
        setattr(group, name, b2.linked_var(chooser, name, index=index))
    group.run_regularly(reset + START, clock=time.presentations, when="start")
    return group
