"""The drive of the hidden units by the pixels, through feed-forward synapses.

K&H 2019, eq. 2, an inner product with the metric |W|^(p−2):

    I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.engine.rows import Rows, sum_by_rows
from neurodyn.engine.timeline import SUMS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

WEIGHTS = """
W : 1
I_post = {summed} : 1 (summed)
"""
SUMMED = "sign(W)*abs(W)**(p - 1)*v_pre"
# For p = 2 and 3 without a power, which costs ten times the product.
SUMMED_2 = "W*v_pre"
SUMMED_3 = "W*abs(W)*v_pre"
OF_UNITS = Rows(by_source=False)  # rows of synapses, if all exist
NORM = """
norm_p : 1
norm : 1
"""
TAKE_NORM = """
norm = norm_p**(1/p)
"""
NORMS = """
norm_p_post = abs(W)**p : 1 (summed)
"""


def drive(
    images: NDArray[np.float64], weights: NDArray[np.float64], *, p: float
) -> NDArray[np.float64]:
    """Return I (image, unit) of images (image, pixel), as the synapses compute it."""
    if p == 2:
        return images @ weights.T
    return images @ (np.sign(weights) * np.abs(weights) ** (p - 1)).T


def pairs(
    weights: NDArray[np.float64], connected: NDArray[np.bool_] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the (unit, pixel) of each synapse, in their order in memory.

    `connected` (unit, pixel) says which synapses exist; None: all. Then each unit has a row
    of synapses. Otherwise they are ordered by pixel, so that neighbouring terms belong to
    different sums, which need not wait for each other.
    """
    if connected is not None:
        pixel, unit = np.nonzero(connected.T)
        return unit, pixel
    unit, pixel = np.indices(weights.shape).reshape(2, -1)
    return unit, pixel


def summed(p: float) -> str:
    """Return Brian2's expression for the drive by a synapse."""
    return SUMMED_2 if p == 2 else SUMMED_3 if p == 3 else SUMMED


def drive_units(
    num_units: int,
    clock: "b2.Clock",
    *,
    p: float,
    equations: str = "",
    namespace: dict[str, Any] | None = None,
    norms: "b2.Clock | None" = None,
) -> "b2.NeuronGroup":
    """Return the group that holds the drive I of each hidden unit.

    A summed variable is computed at every tick of its target: once per picture for static
    weights, at every step for weights that change at every step. `equations` adds
    states of a learning rule; `norms` adds the p-norms (Σ_i |W_ui|^p)^(1/p) at the ticks of
    that clock.
    """
    import brian2 as b2

    group = b2.NeuronGroup(
        num_units,
        "I : 1\n" + (NORM if norms else "") + equations,
        method="euler",
        clock=clock,
        order=SUMS,
        name="drive",
        namespace={"p": p} | (namespace or {}),
    )
    if norms:
        group.run_regularly(TAKE_NORM, clock=norms, when="groups", order=SUMS)
    return group


def feedforward(
    pixels: "b2.NeuronGroup",
    drive: "b2.NeuronGroup",
    weights: NDArray[np.float64],
    *,
    connected: NDArray[np.bool_] | None,
    p: float,
    dtype: type[np.floating[Any]],
    namespace: dict[str, Any] | None = None,
) -> "b2.Synapses":
    """Return the synapses (unit, pixel) that sum the drive, and norms if it has them.

    Linked variables of the drive's group must be linked before.
    """
    import brian2 as b2

    norms = NORMS if "norm_p" in drive.variables else ""
    synapses = b2.Synapses(
        pixels,
        drive,
        WEIGHTS.format(summed=summed(p)) + norms,
        dtype={"W": dtype},
        clock=drive.clock,
        name="feedforward",
        namespace={"p": p} | (namespace or {}),
    )
    unit, pixel = pairs(weights, connected)
    synapses.connect(i=pixel, j=unit)
    synapses.W = weights[unit, pixel]
    sum_by_rows(synapses, OF_UNITS if connected is None else None)
    return synapses


def precomputed(drive: NDArray[np.float64], timeline: Timeline) -> "b2.NeuronGroup":
    """Return a group whose drive I (presentation, unit) is read from a table."""
    import brian2 as b2

    clock = timeline.frames
    group = b2.NeuronGroup(
        drive.shape[1],
        "I : 1",
        clock=clock,
        name="drive",
        namespace=timeline.lookup(drive),
    )
    group.run_regularly(f"I = {timeline.entry}, i)", clock=clock, when="start")
    return group
