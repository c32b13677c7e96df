"""What all rate neurons here have in common: a time constant, and perhaps noise.

The noise is an Ornstein-Uhlenbeck current of standard deviation σ and correlation time τ_n:

    τ_n dξ/dt = −ξ + σ √(2 τ_n) η(t),   η: white noise

Source: G. E. Uhlenbeck & L. S. Ornstein, Phys. Rev. 36:823 (1930).
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.timeline import ACTIVITIES, EQUATIONS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

TAU_OF_ALL = """
tau : second (shared, constant)
"""
TAU_OF_EACH = """
tau : second (constant)
"""
# At the start of a presentation; but not after the last, whose end is the final state.
RESET = """
h = h*(1 - running)
"""
SILENCE = """
noise = 0 : 1 (shared)
"""
ORNSTEIN_UHLENBECK = """
dnoise/dt = -noise/tau_noise + noise_sd*sqrt(2/tau_noise)*xi : 1
noise_sd : 1 (shared, constant)
tau_noise : second (shared, constant)
"""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """What a built circuit offers to the stimulus, the learning rules and the recording."""

    units: "b2.NeuronGroup"
    """The hidden units: states h and r = max(h, 0), and the linked drive I."""
    others: "list[b2.BrianObject]"
    samples: "dict[str, tuple[b2.Group, str]]"
    """Which state each trace over time shows."""
    state: "list[tuple[b2.Group, str]]"
    """What a later run must be given to go on from here."""
    synapses: "dict[str, b2.Synapses]" = field(default_factory=dict)
    """Synapses between cells, which have a weight W, by name."""


def population(
    num_units: int,
    equations: str,
    timeline: Timeline,
    *,
    name: str,
    noise: float = 0.0,
    namespace: dict[str, Any] | None = None,
    each_tau: bool = False,
) -> "b2.NeuronGroup":
    """Return units that follow `equations`, which refer to tau and noise."""
    import brian2 as b2

    return b2.NeuronGroup(
        num_units,
        EQUATIONS
        + equations
        + (TAU_OF_EACH if each_tau else TAU_OF_ALL)
        + (ORNSTEIN_UHLENBECK if noise else SILENCE),
        method="euler",
        clock=timeline.steps,
        order=ACTIVITIES,
        name=name,
        namespace=timeline.namespace | (namespace or {}),
    )


def check_positive(name: str, value: float | NDArray[np.float64]) -> None:
    """Refuse time constants that are not positive and finite."""
    if not (np.all(np.asarray(value) > 0) and np.all(np.isfinite(value))):
        raise ValueError(
            f"{name} is {shown(value)}: a time constant must be positive and finite"
        )


def check_not_negative(name: str, value: float | NDArray[np.float64], what: str) -> None:
    """Refuse strengths that are negative or not finite."""
    if not (np.all(np.asarray(value) >= 0) and np.all(np.isfinite(value))):
        raise ValueError(f"{name} is {shown(value)}: {what} must be 0 or more, and finite")


def check_exponent(p: float) -> None:
    """Refuse exponents below 2."""
    if not (p >= 2 and math.isfinite(p)):
        raise ValueError(
            f"p is {p}: the exponent of the metric must be 2 or more, and finite"
        )


def check_sign(input_sign: int) -> None:
    """Refuse signs other than 1, −1 and 0."""
    if input_sign not in (-1, 0, 1):
        raise ValueError(
            f"input_sign is {input_sign}: 1 (excitatory), -1 (inhibitory) or 0 (either)"
        )


def shown(value: float | NDArray[np.float64]) -> str:
    """Return a number, or the worst of several, for a message."""
    if np.ndim(value) == 0:
        return str(value)
    array = np.asarray(value)
    bad = array[~np.isfinite(array)]
    return f"an array with {(bad if bad.size else array).min()}"
