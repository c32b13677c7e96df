"""Hidden units that inhibit each other: the circuit of the paper.

K&H 2019, eq. 8, with r(h) = max(h, 0):

    τ dh_u/dt = I_u − w_inh Σ_{v≠u} r(h_v) − h_u

The inhibition is pooled: one unit sums S = Σ_v r(h_v), and each hidden unit takes its own
share out again, w_inh (S − r(h_u)). The same equation, K instead of K² operations a step.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodyn.clocks import Clocks

if TYPE_CHECKING:
    import brian2 as b2

HIDDEN = """
dh/dt = (I*shown - w_inh*(S - r) - h)/tau : 1
r = h*int(h > 0) : 1
shown = int(t_in_timesteps % period_steps >= rest_steps) : 1 (shared)
I : 1 (linked)
S : 1 (linked)
"""
POOL = "S : 1"
POOLING = "S_post = r_pre : 1 (summed)"

TRIED = 100  # images on which a time step is tried
STEPS_PER_TAU = 20  # Euler's error in a transient is then about 1/40 of what has changed


@dataclass(frozen=True, kw_only=True)
class LateralInhibition:
    """Competing hidden units with all-to-all lateral inhibition (eq. 8)."""

    tau_ms: float = 10.0
    """Time constant τ of the activities [ms]."""
    w_inh: float = 0.7
    """Strength of inhibition; from 1 on, the winner takes all."""
    p: float = 2.0
    """Exponent of the drive's metric (eq. 2); that of the rule the weights come from."""

    def __post_init__(self) -> None:
        if not (self.tau_ms > 0 and math.isfinite(self.tau_ms)):
            raise ValueError(
                f"tau_ms is {self.tau_ms}: a time constant must be positive and finite"
            )
        if not (self.w_inh >= 0 and math.isfinite(self.w_inh)):
            raise ValueError(
                f"w_inh is {self.w_inh}: the strength of inhibition must be 0 or more, "
                "and finite (inhibition is subtracted by the equation)"
            )
        if not (self.p >= 2 and math.isfinite(self.p)):
            raise ValueError(
                f"p is {self.p}: the exponent of the metric must be 2 or more, and finite"
            )

    def safe_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a time step at which Euler's method always settles [ms].

        τ / (1 + (n − 1) w_inh), with n the most units that can be active together: those
        of positive drive when each of the images (image, unit) starts from h = 0, all of
        them when activity is carried over. All n rise at first, however few stay.
        """
        n = int((drive > 0).sum(axis=1).max()) if reset else drive.shape[1]
        return self.tau_ms / (1 + max(0, n - 1) * self.w_inh)

    def settles(self, drive: NDArray[np.float64], dt_ms: float) -> bool:
        """Return whether Euler's method settles with this step, tried in NumPy from h = 0.

        On up to TRIED of the images, for 20 τ and 400 steps at least. A step that is too
        long ends in a cycle, which the second difference of h shows.
        """
        drive = drive[:: -(-len(drive) // TRIED)]
        rate = dt_ms / self.tau_ms
        before = last = h = np.zeros_like(drive)
        with np.errstate(over="ignore", invalid="ignore"):  # a cycle may grow without bound
            for _ in range(max(400, round(20 / rate))):
                r = np.maximum(h, 0)
                pooled = r.sum(axis=1, keepdims=True)
                before, last = last, h
                h = h + rate * (drive - self.w_inh * (pooled - r) - h)
            return bool((abs(h - 2 * last + before) <= 1e-3 * abs(drive).max()).all())

    def is_stable(self, drive: NDArray[np.float64], dt_ms: float, *, reset: bool) -> bool:
        """Return whether a step is safe, or settles when tried."""
        if dt_ms <= self.safe_step_ms(drive, reset=reset):
            return True
        return reset and self.settles(drive, dt_ms)

    def default_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a time step that is stable for these drives and follows the transient.

        τ / 20, halved until it is stable.
        """
        dt_ms = self.tau_ms / STEPS_PER_TAU
        while not self.is_stable(drive, dt_ms, reset=reset):
            dt_ms = max(dt_ms / 2, self.safe_step_ms(drive, reset=reset))
        return dt_ms

    def build(
        self, drive: "b2.NeuronGroup", clocks: Clocks, *, reset: bool
    ) -> "tuple[b2.NeuronGroup, list[b2.BrianObject]]":
        """Return the hidden units (state h), and the other objects that they need.

        `drive` is a group with one I per unit. With `reset`, h starts each presentation
        at 0.
        """
        import brian2 as b2

        hidden = b2.NeuronGroup(
            len(drive),
            HIDDEN,
            method="euler",
            clock=clocks.steps,
            name="hidden",
            namespace={
                "tau": self.tau_ms * clocks.ms,
                "w_inh": self.w_inh,
                "rest_steps": clocks.rest_steps,
                "period_steps": clocks.period_steps,
            },
        )
        # order=-1 as for the drive: S is summed before the step that uses it.
        pool = b2.NeuronGroup(
            1, POOL, clock=clocks.steps, order=-1, name="pool", namespace={}
        )
        pooling = b2.Synapses(
            hidden, pool, POOLING, clock=clocks.steps, name="pooling", namespace={}
        )
        pooling.connect()
        hidden.I = b2.linked_var(drive, "I")
        hidden.S = b2.linked_var(pool, "S")
        if reset:
            hidden.run_regularly("h = 0", clock=clocks.presentations, when="start")
        return hidden, [pool, pooling]
