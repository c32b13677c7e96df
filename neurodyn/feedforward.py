"""The drive of the hidden units by the pixels, through feed-forward synapses.

K&H 2019, eq. 2, an inner product with the metric |W|^(p−2):

    I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import brian2 as b2

SYNAPSES = """
W : 1
I_post = sign(W)*abs(W)**(p - 1)*v_pre : 1 (summed)
"""
SYNAPSES_EUCLIDEAN = """
W : 1
I_post = W*v_pre : 1 (summed)
"""


def drive(
    images: NDArray[np.float64], weights: NDArray[np.float64], *, p: float
) -> NDArray[np.float64]:
    """Return I (image, unit) of images (image, pixel), as the synapses compute it."""
    if p == 2:
        return images @ weights.T
    return images @ (np.sign(weights) * np.abs(weights) ** (p - 1)).T


def feedforward(
    pixels: "b2.NeuronGroup", weights: NDArray[np.float64], *, p: float
) -> tuple["b2.NeuronGroup", "b2.Synapses"]:
    """Return the group that holds the drive I and the synapses that sum it.

    The group ticks once per presentation, with the pixels: a summed variable is computed
    at every tick of its target, and the image does not change in between. order=-1 puts
    the sum before the hidden units' update in the same time step.
    """
    import brian2 as b2

    group = b2.NeuronGroup(
        len(weights), "I : 1", clock=pixels.clock, order=-1, name="drive", namespace={}
    )
    synapses = b2.Synapses(
        pixels,
        group,
        SYNAPSES_EUCLIDEAN if p == 2 else SYNAPSES,
        clock=pixels.clock,
        name="feedforward",
        namespace={} if p == 2 else {"p": p},
    )
    synapses.connect()
    synapses.W = weights.T.ravel()  # synapses are ordered by pixel, then unit
    return group, synapses
