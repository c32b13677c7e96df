"""Populations of rate neurons: a time constant, a reset, and noise if there is any."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits import noise
from neurodyn.engine.rows import find, sum_by_rows
from neurodyn.engine.timeline import ACTIVITIES, EQUATIONS, GAINS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

TAU_OF_ALL = """
tau : second (shared, constant)
"""
TAU_OF_EACH = """
tau : second (constant)
"""
# At the start of each presentation, but not after the last: its end is the final state.
RESET = """
h = h*(1 - running)
"""


def population(
    num_units: int,
    equations: str,
    timeline: Timeline,
    *,
    name: str,
    number: int = 0,
    reset: bool,
    noisy: bool = False,
    each_tau: bool = False,
    copies: int = 1,
) -> "b2.NeuronGroup":
    """Return units that follow `equations`, which refer to tau and noise.

    Parameters
    ----------
    number
        Index of the population in its circuit: each population has noise of its own.
    reset
        Whether presentations start from h = 0 and with fresh noise.
    copies
        Number of circuits side by side in the group.
    """
    import brian2 as b2

    namespace = timeline.namespace
    if noisy:
        namespace |= noise.namespace(
            population=number, num_cells=num_units // copies, copies=copies
        )
    group = b2.NeuronGroup(
        num_units,
        EQUATIONS
        + equations
        + (TAU_OF_EACH if each_tau else TAU_OF_ALL)
        + (noise.EQUATIONS if noisy else noise.SILENCE),
        method="euler",
        clock=timeline.steps,
        order=ACTIVITIES,
        name=name,
        namespace=namespace,
    )
    if reset:
        group.run_regularly(RESET, clock=timeline.presentations, when="start")
    if noisy:
        start = noise.start(of_each=reset)
        group.run_regularly(start, clock=timeline.presentations, when="start")
        group.run_regularly(noise.step(), clock=timeline.steps, when="groups", order=GAINS)
    return group


def connect(
    synapses: "b2.Synapses",
    sending: NDArray[np.intp],
    receiving: NDArray[np.intp],
    *,
    copies: int,
) -> None:
    """Connect pairs of cells, the same pairs in each of the copies of a circuit.

    If these are all pairs, sums are computed row by row (`engine.rows`).
    """
    num_sending = len(synapses.source) // copies
    num_receiving = len(synapses.target) // copies
    copy = np.repeat(np.arange(copies), len(sending))
    synapses.connect(
        i=np.tile(sending, copies) + copy * num_sending,
        j=np.tile(receiving, copies) + copy * num_receiving,
    )
    rows = find(
        sending,
        receiving,
        num_sending=num_sending,
        num_receiving=num_receiving,
        copies=copies,
    )
    sum_by_rows(synapses, rows)
