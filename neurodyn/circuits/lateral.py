"""Hidden units that inhibit each other: the circuit of the paper.

K&H 2019, eq. 8, with r(h) = max(h, 0):

    τ dh_u/dt = I_u − w_inh Σ_{v≠u} r(h_v) − h_u

The inhibition is pooled: S = Σ_v r(h_v) is summed once, and each hidden unit subtracts its
own share, w_inh (S − r(h_u)). This is the same equation in K instead of K² operations per
step. If inhibition differs between pairs of units, w_inh is a matrix and each pair has a
synapse: τ dh_u/dt = I_u − Σ_v w_uv r(h_v) − h_u.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks
from neurodyn.checks import convert, number, numbers, time_ms, times_ms, whole
from neurodyn.circuits import noise, stability
from neurodyn.circuits.base import STEPS_PER_TAU, BuiltCircuit, ThresholdLinear, Trace
from neurodyn.circuits.populations import connect, population
from neurodyn.engine.timeline import SUMS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

POOLED = """
dh/dt = running*(I*shown + noise - w_inh*(S - r) - h)/tau : 1
r = h*int(h > 0) : 1
I : 1 (linked)
S : 1 (linked)
w_inh : 1 (shared, constant)
"""
EXPLICIT = """
dh/dt = running*(I*shown + noise - inhibition - h)/tau : 1
r = h*int(h > 0) : 1
I : 1 (linked)
inhibition : 1 (linked)
"""
POOL = "S : 1"
POOLING = "S_post = r_pre : 1 (summed)"
SUBTOTAL = "part : 1"
ADDING = "part_post = r_pre : 1 (summed)"
TOTALLING = "S_post = part_pre : 1 (summed)"
CURRENTS = """
inhibition : 1
r : 1 (linked)
"""
INHIBITION = """
W : 1
last_step : integer (shared, constant)
inhibition_post = W*r_pre : 1 (summed)
"""

TRIED, TRIED_STATES = 100, 400_000  # images, or activities, in a trial of a step
# Additions to one sum wait for each other; subtotals are added side by side.
SUBTOTALS = 8
WORTH_SUBTOTALS = 500


@checks.by_value
@dataclass(frozen=True, kw_only=True, eq=False)
class LateralInhibition(ThresholdLinear):
    """Competing hidden units with lateral inhibition (eq. 8).

    If w_inh is a matrix, its synapses, named lateral, may learn.
    """

    traces: ClassVar = {
        "inhibition": Trace(("time", "unit"), "inhibitory current into the hidden units"),
        "weights_lateral": Trace(("unit", "sender"), "inhibitory weights between units"),
    }
    synapses: ClassVar = {"lateral": "weights_lateral"}

    tau_ms: float | NDArray[np.float64] = 10.0
    """Time constant τ of the activities [ms]: one number, or one for each unit."""
    w_inh: float | NDArray[np.float64] = 0.9
    """Strength of inhibition, or a matrix of strengths (receiving unit, sending unit) with
    diagonal 0. At 1 or more, the winner takes all.

    Below 0.7, four or more of 100 trained units stay active, and most learning is
    anti-Hebbian. From 0.95 on, little of it is, and activity settles slowly. 0.9, with two
    active units, is closest to the published ranking (scenarios.ladder)."""
    p: float = 2.0
    """Exponent of the drive's metric (eq. 2), as in the training of the weights."""
    input_sign: int = 0
    """Sign of all feed-forward weights: 1, −1 (Dale's law), or 0 for either."""
    noise: float = 0.0
    """Standard deviation of an Ornstein-Uhlenbeck current into each unit (`noise.py`)."""
    noise_tau_ms: float = 10.0
    """Correlation time of the noise [ms]."""

    def __post_init__(self) -> None:
        convert(
            self,
            tau_ms=times_ms,
            w_inh=numbers,
            p=number,
            input_sign=whole,
            noise=number,
            noise_tau_ms=time_ms,
        )
        checks.positive("tau_ms", self.tau_ms, "a time constant")
        checks.positive("noise_tau_ms", self.noise_tau_ms, "a time constant")
        checks.not_negative(
            "w_inh", self.w_inh, "the strength of inhibition, subtracted by the equation,"
        )
        checks.not_negative("noise", self.noise, "a standard deviation")
        checks.exponent(self.p)
        checks.sign(self.input_sign)
        shape = np.shape(self.w_inh)
        if len(shape) not in (0, 2) or len(set(shape)) > 1:
            raise ValueError(
                f"w_inh has shape {shape}: a number or a (unit, unit) matrix is needed"
            )
        if shape and np.diagonal(self.w_inh).any():
            raise ValueError(
                "w_inh has a diagonal that is not 0: set it to 0, no unit inhibits itself"
            )

    def check_size(self, num_units: int) -> None:
        """Refuse a number of units that the parameters do not fit."""
        for name, array in (("tau_ms", self.tau_ms), ("w_inh", self.w_inh)):
            if np.ndim(array) and len(np.asarray(array)) != num_units:
                raise ValueError(
                    f"{name} has shape {np.shape(array)}, but there are {num_units} units"
                )

    def inhibition(self, traces: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the inhibitory current (..., unit) of activity (..., unit)."""
        return self._inhibition(traces["activity"])

    def _inhibition(self, h: NDArray[np.float64]) -> NDArray[np.float64]:
        r = np.maximum(h, 0)
        if np.ndim(self.w_inh):
            return r @ np.asarray(self.w_inh).T
        return self.w_inh * (r.sum(axis=-1, keepdims=True) - r)

    def safe_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a time step that `is_stable` and with which no unit overshoots [ms].

        τ / (1 + (n − 1) w_inh), with n the largest number of units that can be active
        together: those of positive drive (image, unit) if each image starts from h = 0, all
        units if activity is carried over. All n rise at first, however few stay active.
        With a matrix: τ / (1 + its largest row sum), halved until it is stable.
        """
        tau_ms = float(np.min(self.tau_ms))
        if np.ndim(self.w_inh):
            dt_ms = tau_ms / (1 + float(np.sum(self.w_inh, axis=1).max()))
            return self._steps(drive, reset=reset).largest_ms(dt_ms)
        n = int((drive > 0).sum(axis=1).max()) if reset else drive.shape[1]
        return tau_ms / (1 + max(0, n - 1) * float(self.w_inh))

    def settles(self, drive: NDArray[np.float64], dt_ms: float) -> bool:
        """Return whether Euler's method settles with this step, tried in NumPy from h = 0.

        For pooled inhibition, over at least 20 τ and 400 steps. A step that is too long
        ends in a cycle of two states, which the second difference of h shows. Of many
        images, those chosen by `stability.images_to_try` are tried.
        """
        drive = drive[
            stability.images_to_try(drive, max(TRIED, TRIED_STATES // drive.shape[1]))
        ]
        rate = dt_ms / np.asarray(self.tau_ms)
        before = last = h = np.zeros_like(drive)
        with np.errstate(over="ignore", invalid="ignore"):  # a cycle may grow without bound
            for _ in range(max(400, round(20 / np.min(rate)))):
                before, last = last, h
                h = h + rate * (drive - self._inhibition(h) - h)
            return bool((abs(h - 2 * last + before) <= 1e-3 * abs(drive).max()).all())

    def is_stable(self, drive: NDArray[np.float64], dt_ms: float, *, reset: bool) -> bool:
        """Return whether a time step is proved to settle, or follows the circuit in trials.

        See `circuits.stability`. Both hold for the initial weights, without noise: the
        bound may change while weights learn.
        """
        if np.ndim(self.w_inh):
            return self._steps(drive, reset=reset).accepts(dt_ms)
        if dt_ms <= self.safe_step_ms(drive, reset=reset):
            return True
        return reset and self.settles(drive, dt_ms)

    def default_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return τ / 20 [ms], halved until it is stable for these drives.

        With a matrix, it is also halved until Euler's method settles as fast as the
        circuit. It follows the transient except for the first steps, in which as many units
        may be active as `safe_step_ms` assumes. Settled activity does not depend on it:
        training on 200 presentations with τ / 8 gives the weights of the closed form
        (tests/agreement/test_learning.py).
        """
        dt_ms = float(np.min(self.tau_ms)) / STEPS_PER_TAU
        if np.ndim(self.w_inh):
            return self._steps(drive, reset=reset).largest_ms(dt_ms, closely=True)
        while not self.is_stable(drive, dt_ms, reset=reset):
            dt_ms = max(dt_ms / 2, self.safe_step_ms(drive, reset=reset))
        return dt_ms

    def largest_inhibition(self, drive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a bound on the inhibition of each unit at rest, (image, unit).

        It is the inhibition by drives taken as rates, but at most the largest drive times
        max(1, w_inh).
        """
        above = np.maximum(drive, 0)
        most = max(1.0, float(np.max(self.w_inh))) * super().largest_inhibition(drive)
        return np.minimum(self._inhibition(above), most)

    def cells(self, num_units: int) -> stability.Cells:
        """Return time constants and couplings of a matrix of inhibition."""
        tau_ms = np.broadcast_to(np.asarray(self.tau_ms, np.float64), num_units)
        return stability.Cells(tau_ms, -np.asarray(self.w_inh, np.float64))

    @property
    def learning_names(self) -> tuple[str, ...]:
        """Names of the synapses that a rule between cells may change."""
        return ("lateral",) if np.ndim(self.w_inh) and np.any(self.w_inh) else ()

    def matrices(self, num_units: int) -> dict[str, NDArray[np.float64]]:
        """Return the weights (receiving unit, sending unit) of explicit synapses."""
        return {"lateral": np.asarray(self.w_inh)} if np.ndim(self.w_inh) else {}

    def parameters(
        self, timeline: Timeline, num_units: int, *, copies: int = 1
    ) -> dict[tuple[str, str], Any]:
        """Return the values of the built circuit's parameters, by (object, variable)."""
        values: dict[tuple[str, str], Any] = {}
        tau = np.tile(self.tau_ms, copies) if np.ndim(self.tau_ms) else self.tau_ms
        values["hidden", "tau"] = tau * timeline.ms
        noisy = noise.parameters(
            sd=self.noise, tau_ms=self.noise_tau_ms, dt_ms=timeline.dt_ms
        )
        values |= {("hidden", name): value for name, value in noisy.items()}
        if np.ndim(self.w_inh):
            weights = np.asarray(self.w_inh, dtype=np.float64)
            if not weights.any():  # there is no synapse
                return values
            values["lateral", "W"] = np.tile(
                weights[self.pairs(num_units, "lateral")], copies
            )
        else:
            values["hidden", "w_inh"] = float(self.w_inh)
        return values

    def build(
        self, drive: "b2.NeuronGroup", timeline: Timeline, *, reset: bool, copies: int = 1
    ) -> BuiltCircuit:
        """Build the circuit: see `Circuit.build`."""
        import brian2 as b2

        hidden = population(
            len(drive),
            EXPLICIT if np.ndim(self.w_inh) else POOLED,
            timeline,
            name="hidden",
            reset=reset,
            noisy=self.noise > 0,
            each_tau=np.ndim(self.tau_ms) > 0,
            copies=copies,
        )
        hidden.I = b2.linked_var(drive, "I")
        synapses = {}
        samples: dict[str, tuple[Any, str]] = {"activity": (hidden, "h")}
        if np.ndim(self.w_inh):
            others = self._explicit(hidden, timeline, copies)
            samples["inhibition"] = (hidden, "inhibition")
            if self.learning_names:
                synapses["lateral"] = others[-1]
        else:
            others = self._pooled(hidden, timeline, copies)
        state: list[tuple[Any, str]] = [(hidden, "h")]
        state += [(hidden, "x")] * bool(self.noise)
        return BuiltCircuit(
            units=hidden,
            others=others,
            samples=samples,
            state=state,
            synapses=synapses,
        )

    def _pooled(
        self, hidden: "b2.NeuronGroup", timeline: Timeline, copies: int
    ) -> "list[b2.BrianObject]":
        import brian2 as b2

        num_units = len(hidden) // copies
        settings: dict[str, Any] = {"clock": timeline.steps, "namespace": {}}
        copy = np.arange(len(hidden)) // num_units
        pool = b2.NeuronGroup(copies, POOL, order=SUMS, name="pool", **settings)
        hidden.S = b2.linked_var(pool, "S", index=copy if copies > 1 else None)
        if num_units < WORTH_SUBTOTALS or copies > 1:
            pooling = b2.Synapses(hidden, pool, POOLING, name="pooling", **settings)
            pooling.connect(i=np.arange(len(hidden)), j=copy)
            return [pool, pooling]
        subtotals = b2.NeuronGroup(
            SUBTOTALS, SUBTOTAL, order=SUMS - 1, name="subtotals", **settings
        )
        adding = b2.Synapses(hidden, subtotals, ADDING, name="adding", **settings)
        adding.connect(j=f"i % {SUBTOTALS}")
        totalling = b2.Synapses(subtotals, pool, TOTALLING, name="totalling", **settings)
        totalling.connect()
        return [pool, subtotals, adding, totalling]

    def _explicit(
        self, hidden: "b2.NeuronGroup", timeline: Timeline, copies: int
    ) -> "list[Any]":
        import brian2 as b2

        settings: dict[str, Any] = {"clock": timeline.steps, "namespace": {}}
        currents = b2.NeuronGroup(
            len(hidden), CURRENTS, order=SUMS, name="currents", **settings
        )
        currents.r = b2.linked_var(hidden, "r")
        hidden.inhibition = b2.linked_var(currents, "inhibition")
        if not self.learning_names:
            return [currents]
        settings["dtype"] = {"W": timeline.weight_dtype}
        lateral = b2.Synapses(hidden, currents, INHIBITION, name="lateral", **settings)
        receiving, sending = self.pairs(len(hidden) // copies, "lateral")
        connect(lateral, sending, receiving, copies=copies)
        return [currents, lateral]


def distance_dependent(
    num_units: int, *, w_inh: float, width: float
) -> NDArray[np.float64]:
    """Return inhibition (unit, unit) that falls with the distance of units on a ring.

    w_uv = w_inh exp(−d² / 2 width²), with d the shorter way round in units; 0 for u = v.

    Raises
    ------
    ValueError
        If w_inh is negative, or the width is not positive.
    """
    num_units = whole("num_units", num_units)
    w_inh, width = number("w_inh", w_inh), number("width", width)
    checks.not_negative("w_inh", w_inh, "the strength of inhibition")
    checks.positive("width", width, "the width, in units,")
    apart = abs(np.subtract.outer(np.arange(num_units), np.arange(num_units)))
    distance = np.minimum(apart, num_units - apart)
    weights = w_inh * np.exp(-(distance**2) / (2 * width**2))
    np.fill_diagonal(weights, 0.0)
    return weights
