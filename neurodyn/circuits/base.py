"""The protocol of circuits, and defaults for threshold-linear circuits.

A circuit of your own is any object with the members of `Circuit`. A subclass of
`ThresholdLinear` need only define p, tau_ms, cells, parameters and build, and whatever it
has beyond one population of hidden units. `lateral.py` and `dale.py` are examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits import stability
from neurodyn.engine.timeline import Timeline

if TYPE_CHECKING:
    import brian2 as b2

STEPS_PER_TAU = 20  # Euler's error in a transient is then about 1/40 of the change


@dataclass(frozen=True)
class Trace:
    """Dims, name and unit of a trace."""

    dims: tuple[str, ...]
    """All dims but image, trial and snapshot, which the engine adds where they apply."""
    long_name: str
    units: str = "1"


@dataclass(frozen=True, kw_only=True)
class BuiltCircuit:
    """Brian2 objects of a circuit, for the stimulus, the rules and the recording."""

    units: "b2.NeuronGroup"
    """The hidden units: states h and r = max(h, 0), and the linked drive I."""
    others: "list[b2.BrianObject]"
    samples: "dict[str, tuple[b2.Group, str]]"
    """Group and state of each trace over time; at least of activity."""
    state: "list[tuple[b2.Group, str]]"
    """Groups and states that a later run needs to continue from this one."""
    synapses: "dict[str, b2.Synapses]" = field(default_factory=dict)
    """Synapses between cells by name; they have a weight W."""


class Circuit(Protocol):
    """The members that the engine needs.

    Arrays are float64. Drives I are (image, unit), computed with the initial weights.
    """

    traces: ClassVar[Mapping[str, Trace]]
    """Traces of the circuit: over time (dims time and a population), weights, populations.

    Each population except the hidden units is a dim, and has a trace of that name."""
    synapses: ClassVar[Mapping[str, str]]
    """Name of the trace of the weights of each group of synapses between cells."""

    @property
    def populations(self) -> Mapping[str, int]:
        """Number of cells in each population except the hidden units, by dim."""
        ...

    @property
    def learning_names(self) -> tuple[str, ...]:
        """Names of the synapses that a rule between cells may change."""
        ...

    @property
    def p(self) -> float:
        """Exponent of the drive's metric (K&H 2019, eq. 2)."""
        ...

    @property
    def input_sign(self) -> int:
        """Sign of all feed-forward weights: 1, −1, or 0 for either."""
        ...

    @property
    def tau_ms(self) -> float | NDArray[np.float64]:
        """Time constant of the hidden units [ms]: one number, or one for each unit."""
        ...

    @property
    def has_excitation(self) -> bool:
        """Whether units may be active at rest although their drive is negative."""
        ...

    def check_size(self, num_units: int) -> None:
        """Raise ValueError if the parameters do not fit this number of hidden units."""
        ...

    def default_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a stable time step [ms] that also resolves the transient.

        `reset`: each image starts from h = 0; False: from the end of the previous image.
        """
        ...

    def safe_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return a stable time step [ms] with which no unit overshoots."""
        ...

    def is_stable(self, drive: NDArray[np.float64], dt_ms: float, *, reset: bool) -> bool:
        """Return whether Euler's method follows the circuit with this time step [ms]."""
        ...

    def largest_inhibition(self, drive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a bound on the inhibition of each unit at rest, (image, unit or 1)."""
        ...

    def largest_sending_rate(
        self, drive: NDArray[np.float64], synapses: str, *, reset: bool
    ) -> float:
        """Return the largest rate of the cells that send through synapses of that name."""
        ...

    def inhibition(self, traces: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the inhibitory current (..., unit), from the traces over time.

        Called only if `traces` declares inhibition, and no synapses between cells learn.
        """
        ...

    def matrices(self, num_units: int) -> dict[str, NDArray[np.float64]]:
        """Return the weights (receiving cell, sending cell) of synapses, by name."""
        ...

    def pairs(self, num_units: int, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the (receiving, sending) cells of synapses, ordered by sending cell."""
        ...

    def parameters(
        self, timeline: Timeline, num_units: int, *, copies: int = 1
    ) -> dict[tuple[str, str], Any]:
        """Return the values of the built circuit's parameters, by (object, variable).

        Circuits of a sweep differ only in these values.
        """
        ...

    def build(
        self, drive: "b2.NeuronGroup", timeline: Timeline, *, reset: bool, copies: int = 1
    ) -> BuiltCircuit:
        """Build the circuit in Brian2's current device.

        `drive` is a group with one I per unit of all `copies` of the circuit, which lie
        side by side. With `reset`, h starts each presentation at 0
        (`populations.population`).
        """
        ...


class ThresholdLinear:
    """Defaults for circuits of cells with rates r = max(h, 0).

    τ_c dh_c/dt = I_c + Σ_d A_cd r(h_d) − h_c
    """

    traces: ClassVar[Mapping[str, Trace]] = {}
    synapses: ClassVar[Mapping[str, str]] = {}

    @property
    def input_sign(self) -> int:
        """Sign of all feed-forward weights: 0, for either."""
        return 0

    @property
    def populations(self) -> Mapping[str, int]:
        """Number of cells in each population except the hidden units: there is none."""
        return {}

    @property
    def learning_names(self) -> tuple[str, ...]:
        """Names of the synapses that a rule between cells may change: none."""
        return ()

    @property
    def has_excitation(self) -> bool:
        """Whether units excite each other: no."""
        return False

    def cells(self, num_units: int) -> stability.Cells:
        """Return time constants and couplings A of all cells, the hidden units first."""
        raise NotImplementedError(f"{type(self).__name__} has no couplings")

    def check_size(self, num_units: int) -> None:
        """Accept any number of hidden units."""

    def is_stable(self, drive: NDArray[np.float64], dt_ms: float, *, reset: bool) -> bool:
        """Return whether a time step is proved to settle, or follows the circuit in trials.

        See `circuits.stability`. Both hold for the initial weights, without noise: the
        bound may change while weights learn.
        """
        return self._steps(drive, reset=reset).accepts(dt_ms)

    def safe_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return τ of the fastest cell, halved until it `is_stable` [ms]."""
        steps = self._steps(drive, reset=reset)
        return steps.largest_ms(float(steps.cells.tau_ms.min()))

    def default_step_ms(self, drive: NDArray[np.float64], *, reset: bool) -> float:
        """Return τ / 20 of the fastest cell, halved until it settles like the circuit."""
        steps = self._steps(drive, reset=reset)
        return steps.largest_ms(
            float(steps.cells.tau_ms.min()) / STEPS_PER_TAU, closely=True
        )

    def largest_inhibition(self, drive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest drive (image, 1): no unit is inhibited by more."""
        return np.maximum(drive, 0).max(axis=1, keepdims=True)

    def largest_sending_rate(
        self, drive: NDArray[np.float64], synapses: str, *, reset: bool
    ) -> float:
        """Return the largest rate of any cell in the trials of time steps."""
        return float(self._steps(drive, reset=reset).largest_rates.max())

    def inhibition(self, traces: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return an inhibition of 0 (..., unit)."""
        return np.zeros_like(traces["activity"])

    def matrices(self, num_units: int) -> dict[str, NDArray[np.float64]]:
        """Return the weights (receiving cell, sending cell) of synapses: there are none."""
        return {}

    def pairs(self, num_units: int, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the (receiving, sending) cells of the weights that are not 0."""
        sending, receiving = np.nonzero(self.matrices(num_units)[name].T)
        return receiving, sending

    def _steps(self, drive: NDArray[np.float64], *, reset: bool) -> stability.Steps:
        """Return the test of time steps; only the hidden units have a drive."""
        cells = self.cells(drive.shape[1])
        drives = np.pad(drive, ((0, 0), (0, len(cells.tau_ms) - drive.shape[1])))
        return stability.Steps(cells, drives, reset)
