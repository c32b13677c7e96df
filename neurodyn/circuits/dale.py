"""Excitatory and inhibitory cells: the lateral inhibition of the paper under Dale's law.

In K&H 2019, eq. 8, a hidden unit excites its readout and inhibits its peers. Dale's law
gives every cell one sign, so inhibition needs cells of its own. K excitatory cells (E) and
M inhibitory ones (I), with r(h) = max(h, 0):

    τ_E dh_u/dt = I_u + w_self r(h_u) + Σ_v W_EE,uv r(h_v) − Σ_i W_IE,ui r(h_i) − h_u
    τ_I dh_i/dt = Σ_u W_EI,iu r(h_u) − Σ_j W_II,ij r(h_j) − h_i

All weights are magnitudes, 0 or more; the equations give them their signs. With M = 1,
W_EI = 1, W_IE = w_self = w and τ_I → 0 this is eq. 8: inhibition acts at once, and
self-excitation cancels the inhibition of a unit by itself.

*Linear theory* (m active cells, M = 1, W_EI = 1, W_IE = w_self = w). Their sum s and the
inhibitory cell follow τ_E s' = (w − 1) s − w m h_I + …, τ_I h_I' = s − h_I, a linear
system of

    trace  (w − 1)/τ_E − 1/τ_I,   determinant  (1 + (m − 1) w) / (τ_E τ_I),

so it rings where trace² < 4 determinant, and for w > 1 it oscillates from
τ_I = τ_E / (w − 1) on (a Hopf bifurcation). Differences between active cells relax with
τ_E / (1 − w), or grow for w > 1.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019), eq. 8; H. R. Wilson & J. D. Cowan,
Biophys. J. 12:1 (1972) for rate equations of E and I cells.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks
from neurodyn.checks import convert, number, numbers, time_ms, times_ms, whole
from neurodyn.circuits import noise, stability
from neurodyn.circuits.base import STEPS_PER_TAU, BuiltCircuit, ThresholdLinear, Trace
from neurodyn.circuits.lateral import TRIED
from neurodyn.circuits.populations import connect, population
from neurodyn.engine.timeline import SUMS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

EXCITATORY = """
dh/dt = running*(I*shown + noise + w_self*r + recurrent - inhibition - h)/tau : 1
r = h*int(h > 0) : 1
I : 1 (linked)
inhibition : 1 (linked)
recurrent : 1 (linked)
w_self : 1 (shared, constant)
"""
INHIBITORY = """
dh/dt = running*(noise + excitation - recurrent - h)/tau : 1
r = h*int(h > 0) : 1
excitation : 1 (linked)
recurrent : 1 (linked)
"""
# Sums over synapses have their own groups: a time step computes them first, then moves
# weights. r is the rate of the receiving cell, for rules that need it.
INTO_EXCITATORY = """
inhibition : 1
recurrent : 1
r : 1 (linked)
"""
INTO_INHIBITORY = """
excitation : 1
recurrent : 1
r : 1 (linked)
"""
SYNAPSES = """
W : 1
last_step : integer (shared, constant)
"""
SUMMED = {
    "exc_to_inh": "excitation_post = W*r_pre : 1 (summed)\n",
    "inh_to_exc": "inhibition_post = W*r_pre : 1 (summed)\n",
    "exc_to_exc": "recurrent_post = W*r_pre : 1 (summed)\n",
    "inh_to_inh": "recurrent_post = W*r_pre : 1 (summed)\n",
}


@checks.by_value
@dataclass(frozen=True, kw_only=True, eq=False)
class DaleInhibition(ThresholdLinear):
    """Excitatory hidden units that inhibit each other through inhibitory cells.

    The defaults are eq. 8 with inhibitory cells of τ_I = 1 ms. All synapses between cells
    may learn: exc_to_inh and inh_to_exc, exc_to_exc and inh_to_inh if there are any.
    """

    traces: ClassVar = {
        "inh_activity": Trace(("time", "inh"), "activity h of the inhibitory cells"),
        "inhibition": Trace(("time", "unit"), "inhibitory current into the hidden units"),
        "weights_ie": Trace(("unit", "inh"), "inhibitory weights W_IE"),
        "weights_ei": Trace(("inh", "unit"), "excitatory weights W_EI"),
        "weights_ee": Trace(("unit", "exc"), "excitatory weights W_EE"),
        "weights_ii": Trace(("inh", "inh_sender"), "inhibitory weights W_II"),
        "inh": Trace(("inh",), "inhibitory cell"),
    }
    synapses: ClassVar = {
        "exc_to_inh": "weights_ei",
        "inh_to_exc": "weights_ie",
        "exc_to_exc": "weights_ee",
        "inh_to_inh": "weights_ii",
    }

    num_inh: int = 1
    """Number M of inhibitory cells."""
    tau_exc_ms: float | NDArray[np.float64] = 10.0
    """Time constant τ_E [ms]: one number, or one for each excitatory cell."""
    tau_inh_ms: float | NDArray[np.float64] = 1.0
    """Time constant τ_I [ms]: one number, or one for each inhibitory cell."""
    w_ie: float | NDArray[np.float64] = 0.9
    """Inhibition of an E cell: a number for all M cells together, or a matrix (exc, inh).
    The default is that of `LateralInhibition`."""
    w_ei: float | NDArray[np.float64] = 1.0
    """Excitation of an I cell: a number for each synapse, or a matrix (inh, exc)."""
    w_self: float = 0.9
    """Excitation of an E cell by itself."""
    w_ee: float | NDArray[np.float64] = 0.0
    """Excitation of E cells by each other: a number, or (exc, exc) with diagonal 0."""
    w_ii: float | NDArray[np.float64] = 0.0
    """Inhibition of I cells by each other: a number, or (inh, inh) with diagonal 0."""
    p: float = 2.0
    """Exponent of the drive's metric (eq. 2), as in the training of the weights."""
    input_sign: int = 1
    """Sign of all feed-forward weights. By default inputs are excitatory cells; 0 allows
    both signs, against Dale's law."""
    noise: float = 0.0
    """Standard deviation of an Ornstein-Uhlenbeck current into each cell (`noise.py`)."""
    noise_tau_ms: float = 10.0
    """Correlation time of the noise [ms]."""

    def __post_init__(self) -> None:
        convert(
            self,
            num_inh=whole,
            tau_exc_ms=times_ms,
            tau_inh_ms=times_ms,
            w_ie=numbers,
            w_ei=numbers,
            w_self=number,
            w_ee=numbers,
            w_ii=numbers,
            p=number,
            input_sign=whole,
            noise=number,
            noise_tau_ms=time_ms,
        )
        checks.at_least_one("num_inh", self.num_inh, "cell must inhibit")
        for name in ("tau_exc_ms", "tau_inh_ms", "noise_tau_ms"):
            checks.positive(name, getattr(self, name), "a time constant")
        for name in ("w_ie", "w_ei", "w_self", "w_ee", "w_ii"):
            checks.not_negative(
                name, getattr(self, name), "a magnitude, given its sign by the equation,"
            )
        checks.not_negative("noise", self.noise, "a standard deviation")
        checks.exponent(self.p)
        checks.sign(self.input_sign)
        for name in ("w_ee", "w_ii"):
            matrix = np.asarray(getattr(self, name))
            if matrix.ndim == 2 and np.diagonal(matrix).any():
                raise ValueError(
                    f"{name} has a diagonal that is not 0: set it to 0 (and use w_self)"
                )

    @property
    def tau_ms(self) -> float | NDArray[np.float64]:
        """Time constant of the hidden units [ms]."""
        return self.tau_exc_ms

    @property
    def populations(self) -> dict[str, int]:
        """Number of inhibitory cells."""
        return {"inh": self.num_inh}

    @property
    def has_excitation(self) -> bool:
        """Whether excitatory cells excite each other."""
        return bool(np.any(self.w_ee))

    def matrices(self, num_units: int) -> dict[str, NDArray[np.float64]]:
        """Return the weights (receiving cell, sending cell) of all synapses, by name.

        Raises
        ------
        ValueError
            If a matrix does not fit the number of cells.
        """
        num_inh = self.num_inh
        shapes = {
            "exc_to_inh": ("w_ei", (num_inh, num_units), 1.0),
            "inh_to_exc": ("w_ie", (num_units, num_inh), 1.0 / num_inh),
            "exc_to_exc": ("w_ee", (num_units, num_units), 1.0),
            "inh_to_inh": ("w_ii", (num_inh, num_inh), 1.0),
        }
        matrices = {}
        for name, (parameter, shape, share) in shapes.items():
            value = np.asarray(getattr(self, parameter), dtype=np.float64)
            if value.ndim and value.shape != shape:
                raise ValueError(
                    f"{parameter} has shape {value.shape}: a number or {shape} is needed "
                    f"for {num_units} excitatory and {num_inh} inhibitory cells"
                )
            matrix = value if value.ndim else np.full(shape, share * float(value))
            if not value.ndim and name in ("exc_to_exc", "inh_to_inh"):
                matrix = matrix * (1 - np.eye(shape[0]))
            matrices[name] = matrix
        return matrices

    def check_size(self, num_units: int) -> None:
        """Refuse a number of excitatory cells that the parameters do not fit."""
        for name, size in (("tau_exc_ms", num_units), ("tau_inh_ms", self.num_inh)):
            array = getattr(self, name)
            if np.ndim(array) and len(array) != size:
                raise ValueError(
                    f"{name} has {len(array)} values, but there are {size} such cells"
                )
        self.matrices(num_units)

    def step_limit_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return the linear bound on the time step of Euler's method [ms].

        All inhibitory cells are taken as active, and the excitatory cells with a positive
        drive (image, unit); all of them if activity is carried over. Decaying modes decay
        in Euler's method up to −2 Re μ / |μ|²; growing modes are followed up to 0.1 / |μ|.
        Of many images, those whose cells share the strongest inhibition are used.
        """
        driven = drive > 0 if reset else np.ones((1, drive.shape[1]), bool)
        w = self.matrices(drive.shape[1])
        loop = (w["inh_to_exc"] * w["exc_to_inh"].T).sum(axis=1)
        strongest = np.lexsort((driven.sum(axis=1), driven @ loop))[::-1][:TRIED]
        inh = np.ones((len(strongest), self.num_inh), bool)
        sets = np.concatenate([driven[strongest], inh], axis=1)
        return self.cells(drive.shape[1]).smallest_limit_ms(sets)

    def cells(self, num_units: int) -> stability.Cells:
        """Return time constants and couplings, excitatory cells first."""
        num_exc, w = num_units, self.matrices(num_units)
        excitation = w["exc_to_exc"] + self.w_self * np.eye(num_exc)
        return stability.Cells(
            np.append(
                np.broadcast_to(np.asarray(self.tau_exc_ms, np.float64), num_exc),
                np.broadcast_to(np.asarray(self.tau_inh_ms, np.float64), self.num_inh),
            ),
            np.block([[excitation, -w["inh_to_exc"]], [w["exc_to_inh"], -w["inh_to_inh"]]]),
        )

    def largest_sending_rate(
        self, drive: NDArray[np.float64], synapses: str, *, reset: bool
    ) -> float:
        """Return the largest rate of the sending population in the trials of time steps."""
        rates = self._steps(drive, reset=reset).largest_rates
        exc, inh = np.split(rates, [drive.shape[1]])
        return float((exc if synapses.startswith("exc") else inh).max())

    def safe_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a time step that `is_stable` [ms]: `step_limit_ms`, halved until it is."""
        limit = self.step_limit_ms(drive, reset=reset)
        return self._steps(drive, reset=reset).largest_ms(limit)

    def default_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return τ / 20 of the faster cells [ms], or less.

        It is at most half of `step_limit_ms`, and is halved until Euler's method settles as
        fast as the circuit.
        """
        tau_ms = min(np.min(self.tau_exc_ms), np.min(self.tau_inh_ms))
        limit = self.step_limit_ms(drive, reset=reset)
        dt_ms = float(min(tau_ms / STEPS_PER_TAU, limit / 2))
        return self._steps(drive, reset=reset).largest_ms(dt_ms, closely=True)

    def inhibition(self, traces: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the inhibitory current (..., unit) of inhibitory activity (..., inh)."""
        weights = self.matrices(traces["activity"].shape[-1])["inh_to_exc"]
        return np.maximum(traces["inh_activity"], 0) @ weights.T

    @property
    def learning_names(self) -> tuple[str, ...]:
        """Names of the synapses that there are: a rule between cells may change each."""
        either = {"exc_to_exc": self.w_ee, "inh_to_inh": self.w_ii}
        return tuple(name for name in self.synapses if np.any(either.get(name, 1.0)))

    def parameters(
        self, timeline: Timeline, num_units: int, *, copies: int = 1
    ) -> dict[tuple[str, str], Any]:
        """Return the values of the built circuit's parameters, by (object, variable)."""
        values: dict[tuple[str, str], Any] = {("hidden", "w_self"): self.w_self}
        noisy = noise.parameters(
            sd=self.noise, tau_ms=self.noise_tau_ms, dt_ms=timeline.dt_ms
        )
        for group, tau in (("hidden", self.tau_exc_ms), ("inhibitory", self.tau_inh_ms)):
            each = np.tile(tau, copies) if np.ndim(tau) else tau
            values[group, "tau"] = each * timeline.ms
            values |= {(group, name): value for name, value in noisy.items()}
        for name, matrix in self.matrices(num_units).items():
            weights = matrix[self.pairs(num_units, name)]
            if weights.size:
                values[name, "W"] = np.tile(weights, copies)
        return values

    def pairs(self, num_units: int, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the (receiving, sending) cells of synapses, ordered by sending cell.

        A matrix has a synapse for each weight above 0. A number has all synapses, so that
        one build serves several numbers, and all weights can learn.
        """
        matrix = self.matrices(num_units)[name]
        number = {"exc_to_inh": self.w_ei, "inh_to_exc": self.w_ie}.get(name, matrix)
        exist = matrix > 0 if np.ndim(number) else np.ones(matrix.shape, bool)
        sending, receiving = np.nonzero(exist.T)
        return receiving, sending

    def build(
        self, drive: "b2.NeuronGroup", timeline: Timeline, *, reset: bool, copies: int = 1
    ) -> BuiltCircuit:
        """Build the circuit, with the E cells as hidden units: see `Circuit.build`."""
        import brian2 as b2

        num_exc, num_inh = len(drive), copies * self.num_inh
        taus = {"hidden": self.tau_exc_ms, "inhibitory": self.tau_inh_ms}
        settings: dict[str, Any] = {"clock": timeline.steps, "order": SUMS, "namespace": {}}
        exc, inh = (
            population(
                size,
                equations,
                timeline,
                name=name,
                number=number,
                reset=reset,
                noisy=self.noise > 0,
                each_tau=np.ndim(taus[name]) > 0,
                copies=copies,
            )
            for number, (name, size, equations) in enumerate(
                (("hidden", num_exc, EXCITATORY), ("inhibitory", num_inh, INHIBITORY))
            )
        )
        into_exc = b2.NeuronGroup(num_exc, INTO_EXCITATORY, name="into_exc", **settings)
        into_inh = b2.NeuronGroup(num_inh, INTO_INHIBITORY, name="into_inh", **settings)
        exc.I = b2.linked_var(drive, "I")
        for cells, currents in ((exc, into_exc), (inh, into_inh)):
            currents.r = b2.linked_var(cells, "r")
            cells.recurrent = b2.linked_var(currents, "recurrent")
        exc.inhibition = b2.linked_var(into_exc, "inhibition")
        inh.excitation = b2.linked_var(into_inh, "excitation")
        ends = {"exc": (exc, into_exc), "inh": (inh, into_inh)}
        synapses = self._synapses(ends, timeline, copies)
        names = ("h", "x") if self.noise else ("h",)
        return BuiltCircuit(
            units=exc,
            others=[inh, into_exc, into_inh, *synapses.values()],
            samples={
                "activity": (exc, "h"),
                "inh_activity": (inh, "h"),
                "inhibition": (exc, "inhibition"),
            },
            state=[(cells, name) for name in names for cells in (exc, inh)],
            synapses=synapses,
        )

    def _synapses(
        self, ends: Mapping[str, tuple[Any, Any]], timeline: Timeline, copies: int
    ) -> "dict[str, b2.Synapses]":
        """Return the synapses; `ends` has (cells, sums of their currents) by population."""
        import brian2 as b2

        num_exc, synapses = len(ends["exc"][0]) // copies, {}
        for name, equation in SUMMED.items():
            receiving, sending = self.pairs(num_exc, name)
            if not len(sending):
                continue
            source, target = ends[name[:3]][0], ends[name[-3:]][1]
            settings: dict[str, Any] = {"clock": timeline.steps, "namespace": {}}
            settings |= {"name": name, "dtype": {"W": timeline.weight_dtype}}
            synapses[name] = b2.Synapses(source, target, SYNAPSES + equation, **settings)
            connect(synapses[name], sending, receiving, copies=copies)
        return synapses


def oscillation(
    *, tau_exc_ms: float, tau_inh_ms: float, w: float, num_active: int = 1
) -> tuple[float, float]:
    """Return (frequency [Hz], damping rate [1/s]) of the common mode, in linear theory.

    M = 1, W_EI = 1, W_IE = w_self = w. If the mode does not ring, its frequency is 0, and
    the rate is that of its slower part. A negative rate means growth.
    """
    tau_exc_ms = time_ms("tau_exc_ms", tau_exc_ms)
    tau_inh_ms = time_ms("tau_inh_ms", tau_inh_ms)
    trace = (w - 1) / tau_exc_ms - 1 / tau_inh_ms
    determinant = (1 + (num_active - 1) * w) / (tau_exc_ms * tau_inh_ms)
    discriminant = trace**2 / 4 - determinant
    if discriminant < 0:
        return 1000 * math.sqrt(-discriminant) / (2 * math.pi), -1000 * trace / 2
    return 0.0, -1000 * (trace / 2 + math.sqrt(discriminant))
