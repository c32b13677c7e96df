"""Spiking cells under Dale's law: excitatory cells that inhibit each other through others.

Leaky integrate-and-fire cells with conductances, in units of the leak. An excitatory cell
(E) sees the input through g_e, and inhibitory cells (I) through g_i:

    τ dv/dt = (v_rest − v) + g_e (E_e − v) + g_i (E_i − v)
    τ_e dg_e/dt = −g_e,   τ_i dg_i/dt = −g_i

A spike adds the weight of each of its synapses to g_e or g_i of the receiving cells. It is
fired when v > v_threshold + θ; v is then reset, and held there for the refractory period.
θ makes cells share the work: it grows by a step at each spike of an E cell, and decays:

    τ_θ dθ/dt = −θ,   θ ← θ + θ_plus at a spike

*Wiring.* In Diehl & Cook 2015 every E cell excites an I cell of its own, which inhibits all
other E cells: a spiking form of eq. 8 of Krotov & Hopfield 2019, in which w_inh acts
between all pairs of units. Or M shared I cells, each excited by all E cells, inhibit all of
them, as in `DaleInhibition`.

*Dale's law* holds by construction: all weights are 0 or more, those of E cells and of the
input act on g_e only, those of I cells on g_i only.

v is integrated exactly for constant conductances (exponential Euler), conductances and θ
exactly. A spike acts from the next time step on.

Source: P. U. Diehl & M. Cook, Front. Comput. Neurosci. 9:99 (2015), with the values of the
authors' code (github.com/peter-u-diehl/stdp-mnist). Two things in that code are left out:
delays of 0 to 10 ms from the input, and a clock by which an E cell cannot fire again for
50 ms (`refractory_exc_ms` clamps v for 5 ms there).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks, times
from neurodyn.checks import convert, number, numbers, optional, time_ms, whole
from neurodyn.circuits import noise
from neurodyn.circuits.base import Trace
from neurodyn.engine.timeline import Timeline

CELL = """
dv/dt = ((v_rest - v) + noise*mV + g_exc*(e_exc - v) + g_inh*(e_inh - v))/tau : volt \
(unless refractory)
dg_exc/dt = -g_exc/tau_g_exc : 1
dg_inh/dt = -g_inh/tau_g_inh : 1
excitation = g_exc*(e_exc - v) : volt
inhibition = g_inh*(v - e_inh) : volt
ready : integer
v_rest : volt (shared, constant)
v_reset : volt (shared, constant)
v_threshold : volt (shared, constant)
e_exc : volt (shared, constant)
e_inh : volt (shared, constant)
tau : second (shared, constant)
tau_g_exc : second (shared, constant)
tau_g_inh : second (shared, constant)
refractory_steps : integer (shared, constant)
"""
COUNT = """
count : integer
"""
# Sum of the weights from the input.
TOTAL = """
total : 1
"""
FIXED_THETA = """
theta : volt
"""
ADAPTIVE_THETA = """
dtheta/dt = -theta/tau_theta : volt
tau_theta : second (shared, constant)
theta_plus : volt (shared, constant)
"""
REFRACTORY = "t_in_timesteps < ready"
FIRES = "v > v_threshold"
FIRES_ABOVE_THETA = "v > v_threshold + theta"
SPIKE = """
v = v_reset
ready = t_in_timesteps + refractory_steps
"""
COUNTED = """
count += 1
"""
ADAPTED = """
theta += theta_plus
"""
STATE = ("v", "g_exc", "g_inh", "ready", "count")
# At the start of each presentation. Brian2 keeps `not_refractory` from step to step, and a
# run starts without it: it follows from `ready`.
BEGIN = """
count = 0
not_refractory = t_in_timesteps >= ready
"""
# If none of the previous presentation is carried over. Refractory cells keep v.
FROM_REST = """
not_refractory = True
v = v_rest
g_exc = 0
g_inh = 0
ready = 0
"""
SYNAPSE = """
W : 1
"""
EXCITES = "g_exc_post += W"
INHIBITS = "g_inh_post += W"


@checks.by_value
@dataclass(frozen=True, kw_only=True, eq=False)
class SpikingInhibition:
    """Spiking excitatory cells that inhibit each other; defaults of Diehl & Cook 2015."""

    traces: ClassVar = {
        "counts": Trace(("image", "unit"), "spikes of the E cell"),
        "attempts": Trace(("image",), "how often the rate of the image was raised"),
        "input_spikes": Trace(("image",), "spikes of all pixels"),
        "inh_spikes": Trace(("image",), "spikes of all I cells"),
        "synaptic_events": Trace(("image",), "spikes times the synapses that they reach"),
        "theta": Trace(("unit",), "adaptive part θ of the threshold", "mV"),
        "theta_snapshots": Trace(("snapshot", "unit"), "θ at each snapshot", "mV"),
        "spikes": Trace(("spike",), "time since the start of the run", "ms"),
        "potential": Trace(("time", "unit"), "membrane potential v of E cells", "mV"),
        "excitation": Trace(
            ("time", "unit"), "excitatory current g_e (E_e − v) into E cells", "mV"
        ),
        "inhibition": Trace(
            ("time", "unit"), "inhibitory current g_i (v − E_i) into E cells", "mV"
        ),
    }

    num_inh: int | None = None
    """Number M of I cells that all E cells share. None: each E cell has one of its own,
    which inhibits all others."""
    w_ei: float | NDArray[np.float64] = 10.4
    """Weight of E→I synapses: a number, or a matrix (inh, exc) for shared I cells."""
    w_ie: float | NDArray[np.float64] = 17.0
    """Weight of I→E synapses: a number, which shared I cells divide among them, or a matrix
    (exc, inh)."""
    tau_exc_ms: float = 100.0
    """Membrane time constant of E cells [ms]."""
    tau_inh_ms: float = 10.0
    """Membrane time constant of I cells [ms]."""
    tau_g_exc_ms: float = 1.0
    """Time constant of excitatory conductances [ms]."""
    tau_g_inh_ms: float = 2.0
    """Time constant of inhibitory conductances [ms]."""
    rest_exc_mv: float = -65.0
    """Resting potential of E cells [mV]."""
    rest_inh_mv: float = -60.0
    """Resting potential of I cells [mV]."""
    reset_exc_mv: float = -65.0
    """Potential of an E cell after a spike [mV]."""
    reset_inh_mv: float = -45.0
    """Potential of an I cell after a spike [mV]."""
    threshold_exc_mv: float = -72.0
    """Threshold of E cells, to which θ is added [mV]: −52 mV with the published start."""
    threshold_inh_mv: float = -40.0
    """Threshold of I cells [mV]."""
    refractory_exc_ms: float = 5.0
    """Refractory period of E cells [ms]."""
    refractory_inh_ms: float = 2.0
    """Refractory period of I cells [ms]."""
    reversal_exc_mv: float = 0.0
    """Reversal potential of excitation [mV]."""
    reversal_inh_of_exc_mv: float = -100.0
    """Reversal potential of inhibition in E cells [mV]."""
    reversal_inh_of_inh_mv: float = -85.0
    """Reversal potential of inhibition in I cells [mV]."""
    theta_start_mv: float = 20.0
    """θ before learning [mV]."""
    theta_plus_mv: float = 0.05
    """Step of θ at a spike [mV]."""
    tau_theta_ms: float = 1e7
    """Time constant of θ [ms]. If θ decays so far that threshold_exc_mv + θ is below rest,
    cells fire without input."""
    noise_mv: float = 0.0
    """Standard deviation of an Ornstein-Uhlenbeck current into each cell, in units of the
    leak [mV] (`noise.py`)."""
    noise_tau_ms: float = 10.0
    """Correlation time of the noise [ms]."""

    def __post_init__(self) -> None:
        conversions: dict[str, Callable[[str, Any], Any]] = {
            name: time_ms if name.endswith("_ms") else number for name in vars(self)
        }
        conversions |= {"num_inh": optional(whole), "w_ei": numbers, "w_ie": numbers}
        convert(self, **conversions)
        if self.num_inh is not None:
            checks.at_least_one("num_inh", self.num_inh, "cell must inhibit")
        for name in vars(self):
            if name.startswith("tau_") or name == "noise_tau_ms":
                checks.positive(name, getattr(self, name), "a time constant")
            if name.startswith("w_"):
                checks.not_negative(
                    name, getattr(self, name), "a weight, which acts by its synapse's type,"
                )
                self._check_matrix(name)
            if name.startswith(("refractory_", "theta_")) or name == "noise_mv":
                checks.not_negative(name, getattr(self, name))
        self.check_thresholds(np.float64(self.theta_start_mv))

    def _check_matrix(self, name: str) -> None:
        if self.num_inh is None and np.ndim(getattr(self, name)):
            raise ValueError(
                f"{name} is a matrix, but each E cell has an I cell of its own: give one "
                "number, or the number num_inh of shared I cells"
            )

    def check_thresholds(self, theta_mv: NDArray[np.float64] | np.float64) -> None:
        """Refuse potentials with which cells fire without input, or never.

        `theta_mv` is θ of all E cells, or of each [mV].
        """
        potentials = [name for name in vars(self) if name.endswith("_mv")]
        if wrong := [name for name in potentials if not np.isfinite(getattr(self, name))]:
            raise ValueError(
                f"{wrong[0]} is {getattr(self, wrong[0])}: a finite number is needed"
            )
        for cell, theta in (("exc", theta_mv), ("inh", np.float64(0))):
            rest, reset, low, below = (
                getattr(self, name)
                for name in (
                    f"rest_{cell}_mv",
                    f"reset_{cell}_mv",
                    f"threshold_{cell}_mv",
                    f"reversal_inh_of_{cell}_mv",
                )
            )
            lowest, highest = low + np.min(theta), low + np.max(theta)
            added = " + θ" * (cell == "exc")
            if lowest <= max(rest, reset):
                raise ValueError(
                    f"threshold_{cell}_mv{added} is {lowest:g} mV, not above rest "
                    f"({rest:g} mV) and reset ({reset:g} mV): cells would fire without "
                    "input, so raise it"
                )
            if highest >= self.reversal_exc_mv:
                raise ValueError(
                    f"threshold_{cell}_mv{added} is {highest:g} mV, not below "
                    f"reversal_exc_mv ({self.reversal_exc_mv:g} mV): cells would never "
                    "fire, so lower it"
                )
            if below > rest:
                raise ValueError(
                    f"reversal_inh_of_{cell}_mv is {below:g} mV, above rest ({rest:g} mV): "
                    "inhibition would excite, so lower it"
                )

    def fan_out(self, num_units: int) -> tuple[int, int]:
        """Return the numbers of synapses of an E cell, and of an I cell."""
        if self.num_inh is None:
            return 1, num_units - 1
        return self.num_inh, num_units

    def num_inhibitory(self, num_units: int) -> int:
        """Return the number of I cells."""
        return num_units if self.num_inh is None else self.num_inh

    def matrices(self, num_units: int) -> dict[str, NDArray[np.float64]]:
        """Return the weights (receiving cell, sending cell) of synapses, by name.

        Raises
        ------
        ValueError
            If a matrix does not fit the number of cells.
        """
        num_inh = self.num_inhibitory(num_units)
        if self.num_inh is None:
            own = np.eye(num_units)
            return {"exc_to_inh": self.w_ei * own, "inh_to_exc": self.w_ie * (1 - own)}
        found = {}
        for name, parameter, shape, share in (
            ("exc_to_inh", "w_ei", (num_inh, num_units), 1.0),
            ("inh_to_exc", "w_ie", (num_units, num_inh), 1.0 / num_inh),
        ):
            value = np.asarray(getattr(self, parameter))
            if value.ndim and value.shape != shape:
                raise ValueError(
                    f"{parameter} has shape {value.shape}: a number or {shape} is needed "
                    f"for {num_units} E cells and {num_inh} I cells"
                )
            found[name] = value if value.ndim else np.full(shape, share * value)
        return found

    def check_step(self, dt_ms: float) -> None:
        """Refuse a time step [ms] that does not divide the refractory periods."""
        for name in ("refractory_exc_ms", "refractory_inh_ms"):
            times.steps(name, getattr(self, name), dt_ms)

    def parameters(
        self, timeline: Timeline, num_units: int, *, copies: int = 1
    ) -> dict[tuple[str, str], Any]:
        """Return the values of the built circuit's parameters, by (object, variable)."""
        import brian2 as b2

        ms, found = timeline.ms, {}
        noisy = noise.parameters(
            sd=self.noise_mv, tau_ms=self.noise_tau_ms, dt_ms=timeline.dt_ms
        )
        for cell in ("exc", "inh"):
            values = {
                "v_rest": getattr(self, f"rest_{cell}_mv") * b2.mV,
                "v_reset": getattr(self, f"reset_{cell}_mv") * b2.mV,
                "v_threshold": getattr(self, f"threshold_{cell}_mv") * b2.mV,
                "e_exc": self.reversal_exc_mv * b2.mV,
                "e_inh": getattr(self, f"reversal_inh_of_{cell}_mv") * b2.mV,
                "tau": getattr(self, f"tau_{cell}_ms") * ms,
                "tau_g_exc": self.tau_g_exc_ms * ms,
                "tau_g_inh": self.tau_g_inh_ms * ms,
                "refractory_steps": times.steps(
                    "refractory", getattr(self, f"refractory_{cell}_ms"), timeline.dt_ms
                ),
            }
            found |= {(cell, name): value for name, value in (values | noisy).items()}
        found["exc", "tau_theta"] = self.tau_theta_ms * ms
        found["exc", "theta_plus"] = self.theta_plus_mv * b2.mV
        for name, matrix in self.matrices(num_units).items():
            sent = matrix.T  # in the order of the synapses
            if self.num_inh is None:
                own = np.eye(num_units, dtype=bool)
                sent = sent[own if name == "exc_to_inh" else ~own]
            found[name, "W"] = np.tile(sent.ravel(), copies)
        return found


def random_weights(
    num_units: int, num_pixels: int, *, largest: float = 0.3, seed: int = 0
) -> NDArray[np.float64]:
    """Return weights (unit, pixel), uniform between 0.01 and 1.01 times `largest`.

    The start of Diehl & Cook 2015.

    Raises
    ------
    ValueError
        If a number is not positive, or the seed is negative.
    """
    num_units, num_pixels, seed = (
        checks.whole(name, value)
        for name, value in (
            ("num_units", num_units),
            ("num_pixels", num_pixels),
            ("seed", seed),
        )
    )
    largest = checks.number("largest", largest)
    checks.at_least_one("num_units", num_units)
    checks.at_least_one("num_pixels", num_pixels)
    checks.positive("largest", largest, "the largest weight")
    checks.not_negative("seed", seed, "a seed")
    generator = np.random.default_rng(seed)
    return largest * (0.01 + generator.random((num_units, num_pixels)))
