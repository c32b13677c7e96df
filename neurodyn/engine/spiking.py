"""Build a spiking network in Brian2, run some presentations of it, and read its records.

All that happens between images is inside the network: the choice of the image and its rate
(`engine.poisson`), the scaling of weights, and the counting of spikes. A run is a number of
presentations. The state at its end is all that a further run needs, so that a long training
may be cut into runs anywhere, with the same result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits.spiking import EXCITES, SYNAPSE, SpikingInhibition
from neurodyn.engine import backends, poisson, random, spiking_cells
from neurodyn.engine.ambient import brian2_errors
from neurodyn.engine.backends import Backend
from neurodyn.engine.runtime import Report, Run
from neurodyn.engine.spiking_cells import BuiltSpiking, names_of, namespace_of, zeroed
from neurodyn.engine.timeline import Timeline
from neurodyn.plasticity.protocols import FEEDFORWARD
from neurodyn.stimulus import PoissonPresentation

if TYPE_CHECKING:
    import brian2 as b2

    from neurodyn.plasticity.protocols import SpikeRule

# At the start of each presentation, in this order. A cell without weights stays without.
# The sum is not `total_post += W`, which on CUDA would lose all but one at a time.
SUM = """
total_weight : 1 (shared, constant)
total_post = W : 1 (summed)
"""
SCALE = "W *= total_weight/(total_post + 1e-300)"
COUNT_ALL = "fired_post += 1"
SAMPLED = {"potential": "v", "excitation": "excitation", "inhibition": "inhibition"}
TO_MILLIVOLTS = 1e3


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What a spiking network is built from: other values need no other network."""

    circuit: SpikingInhibition
    rule: "SpikeRule | None"
    """Rule of the weights; None: they are static."""
    adapts: bool
    """Whether θ grows and decays."""
    stimulus: PoissonPresentation
    num_units: int
    num_pixels: int
    copies: int
    """Number of circuits side by side."""
    rows: int
    """Number of images that one run can show to each of them."""
    spikes: tuple[str, ...]
    """Populations whose spikes are recorded."""
    samples_ms: float | None
    """Interval between samples of potentials and currents [ms]; None: none."""
    backend: Backend
    dt_ms: float

    @property
    def key(self) -> tuple[Any, ...]:
        """What differs between the networks of one `SpikingNetwork`."""
        return self.adapts, self.copies, self.spikes, self.samples_ms

    @property
    def timeline(self) -> Timeline:
        """New clocks."""
        rest_steps, period_steps = self.stimulus.steps(self.dt_ms)
        return Timeline(
            dt_ms=self.dt_ms,
            rest_steps=rest_steps,
            period_steps=period_steps,
            num_presentations=self.rows,
            weight_dtype=np.dtype(self.backend.weight_dtype).type,
        )


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Records of consecutive presentations: each shows one image to each copy."""

    position: NDArray[np.int32]
    """Number of the image (slot, copy), among those of the copy."""
    attempt: NDArray[np.int32]
    """How often the rate had been raised (slot, copy)."""
    counts: NDArray[np.int32]
    """Spikes of E cells (slot, copy, unit)."""
    inh_spikes: NDArray[np.int64]
    """Spikes of all I cells (slot, copy)."""
    input_spikes: NDArray[np.int64]
    """Spikes of all pixels (slot, copy)."""
    spikes: dict[str, tuple[NDArray[np.int64], NDArray[np.int32]]]
    """Time step in the run, and number of the cell, by population."""
    samples: dict[str, NDArray[np.float64]]
    """Potentials and currents (time, copy and unit) [mV]."""
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Built:
    """Brian2 objects of a network."""

    timeline: Timeline
    presenter: "b2.NeuronGroup"
    pixels: "b2.NeuronGroup"
    circuit: BuiltSpiking
    feedforward: "b2.Synapses"
    monitors: "dict[str, Any]" = field(default_factory=dict)
    others: "list[Any]" = field(default_factory=list)

    @property
    def objects(self) -> "list[Any]":
        """All objects to run."""
        circuit = self.circuit
        found = [self.presenter, self.pixels, circuit.exc, circuit.inh, self.feedforward]
        return [*found, *circuit.synapses.values(), *self.others, *self.monitors.values()]

    def named(self, name: str) -> Any:
        """Return the object of that name."""
        return next(item for item in self.objects if item.name == name)


class Network:
    """A network that is built once, and runs presentations from any state."""

    def __init__(self, layout: Layout) -> None:
        """Build and compile the network."""
        self.layout = layout
        self.session = backends.Session(layout.backend.name, threads=layout.backend.threads)
        with self.session.active(), brian2_errors():
            self.built = build(layout)
            self._run: Run = self.session.compile(self.built.objects)

    def close(self) -> None:
        """Remove the folder of a compiled program."""
        self.session.close()

    @property
    def states(self) -> list[tuple[str, str]]:
        """The (object, variable) of everything that evolves."""
        built, rule = self.built, self.layout.rule
        found = [(group.name, name) for group, name in built.circuit.state]
        found += [("pixels", name) for name in names_of(rule.pre_traces if rule else "")]
        found += [("presenter", name) for name in ("position", "attempt", "fired")]
        return [*found, (FEEDFORWARD, "W")]

    def run(
        self,
        state: Mapping[tuple[str, str], Any],
        images: NDArray[np.float64],
        *,
        num_slots: int,
        offset: NDArray[np.intp],
        last: NDArray[np.intp],
        first_number: int,
        first_slot: int,
        phase: str,
        seed: int,
        report: Report,
    ) -> tuple[dict[tuple[str, str], Any], Slots]:
        """Run presentations from a state; return the state at the end, and the records.

        Parameters
        ----------
        state
            Values by (object, variable); those that are not given start at 0.
        images
            Rates (copy, image, pixel) of the images from `offset` on, at most `rows`.
        num_slots
            Number of presentations.
        offset, last
            Number of images of each copy before these, and of all its images.
        first_number, first_slot
            Number of images, and of presentations, of earlier trainings.
        """
        layout, built = self.layout, self.built
        values: dict[tuple[str, str], Any] = {name: 0 for name in self.states}
        values |= dict(state) | self._parameters(first_number, first_slot, phase, seed)
        values |= {("presenter", "offset"): offset, ("presenter", "last"): last}
        if not layout.adapts:
            values = {key: values[key] for key in values if key[1] not in ONLY_ADAPTIVE}
        with self.session.active():
            lookup = built.pixels.namespace["table"]
            table = np.zeros(lookup.values.shape)
            shape = layout.copies, layout.rows, layout.num_pixels
            table[: shape[0] * shape[1]].reshape(shape)[:, : images.shape[1]] = images
            given: dict[Any, Any] = {lookup: table}
            for (name, variable), value in values.items():
                group = built.named(name)
                given[group, variable] = _with_unit(group, variable, value)
            steps = num_slots * built.timeline.period_steps
            seconds = self._run(given, _duration(built.timeline, steps), report)
            end = self._state(steps)
            return end, self._slots(end, num_slots, seconds)

    def _parameters(
        self, first_number: int, first_slot: int, phase: str, seed: int
    ) -> dict[tuple[str, str], Any]:
        """Return the values of everything that does not evolve, but for the images."""
        layout, circuit = self.layout, self.built.circuit
        timeline, words = self.built.timeline, random.seeds(seed)
        values = layout.circuit.parameters(timeline, layout.num_units, copies=layout.copies)
        chooser = poisson.parameters(layout.stimulus, layout.dt_ms)
        chooser["first_number"] = first_number
        values |= {("presenter", name): value for name, value in chooser.items()}
        seeded = words | {"phase": poisson.phase_number(phase)}
        values |= {("pixels", name): value for name, value in seeded.items()}
        for group in circuit.noisy:
            number = poisson.population_number(phase, group.name)
            noise = words | {"first_presentation": first_slot, "population": number}
            values |= {(group.name, name): value for name, value in noise.items()}
        if layout.rule and layout.rule.total is not None:
            values[FEEDFORWARD, "total_weight"] = layout.rule.total
        return values

    def _state(self, steps: int) -> dict[tuple[str, str], Any]:
        """Return the state after a run of some steps, with times from its end."""
        found = {
            (group, name): np.array(getattr(self.built.named(group), f"{name}_")[:])
            for group, name in self.states
        }
        for key, value in found.items():
            if key[1] == "ready":
                found[key] = np.maximum(value - steps, 0)
        return found

    def _slots(
        self, end: Mapping[tuple[str, str], Any], num_slots: int, seconds: float
    ) -> Slots:
        """Return the records. Each presentation is recorded as the next one starts."""
        copies, monitors = self.layout.copies, self.built.monitors

        def by_slot(monitor: str, last: Any, dtype: Any = np.int32) -> NDArray[Any]:
            recorded = monitors[monitor]
            rows = np.array(getattr(recorded, recorded.record_variables[0])).T
            _check_complete(len(rows), num_slots)
            return np.concatenate([rows[1:num_slots], [last]]).astype(dtype)

        drawn = np.array(self.built.pixels.drawn_[:])
        inh = by_slot("inh_count", end["inh", "count"], np.int64)
        inputs = by_slot("drawn", drawn, np.int64)
        counts = by_slot("count", end["exc", "count"])
        return Slots(
            position=by_slot("position", end["presenter", "position"]),
            attempt=by_slot("attempt", end["presenter", "attempt"]),
            counts=counts.reshape(num_slots, copies, -1),
            inh_spikes=inh.reshape(num_slots, copies, -1).sum(-1),
            input_spikes=inputs.reshape(num_slots, copies, -1).sum(-1),
            spikes={name: self._spikes(name) for name in self.layout.spikes},
            samples={
                name: TO_MILLIVOLTS
                * np.array(getattr(monitors[name], f"{variable}_"), np.float64).T
                for name, variable in SAMPLED.items()
                if name in monitors
            },
            seconds=seconds,
        )

    def _spikes(self, population: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        monitor = self.built.monitors[f"{population}_spikes"]
        steps = np.rint(np.array(monitor.t_[:]) / self.built.timeline.dt)
        return steps.astype(np.int64), np.array(monitor.i_[:], np.int32)


ONLY_ADAPTIVE = ("tau_theta", "theta_plus")


def _with_unit(group: Any, name: str, value: Any) -> Any:
    """Return a value with the unit of the variable; numbers are in base units."""
    import brian2 as b2

    if isinstance(value, b2.Quantity) or not group.variables[name].dim.dim:
        return value
    return b2.Quantity(value, dim=group.variables[name].dim)


def _duration(timeline: Timeline, steps: int) -> "b2.Quantity":
    """Return the length of a run: the clock of the steps ends it, without a tick more."""
    import brian2 as b2

    return b2.Quantity(steps * timeline.dt, dim=b2.second.dim)


def _check_complete(found: int, needed: int) -> None:
    """Refuse incomplete records: compiled programs do not report failed writes."""
    if found < needed:
        raise ValueError(
            f"{found} of {needed} presentations were recorded: is the disk full where the "
            "program runs? Set TMPDIR to another folder"
        )


def build(layout: Layout) -> Built:
    """Build a spiking network in Brian2's current device."""
    import brian2 as b2

    timeline, rule = layout.timeline, layout.rule
    names = namespace_of(rule, timeline)
    chooser = poisson.presenter(timeline, copies=layout.copies, rows=layout.rows)
    circuit = spiking_cells.build(
        layout.circuit,
        layout.num_units,
        chooser,
        timeline,
        reset=layout.stimulus.reset,
        rule=rule,
        adapts=layout.adapts,
    )
    pixels = poisson.pixels(
        chooser,
        layout.num_pixels,
        timeline,
        rows=layout.rows,
        rule=rule,
        namespace=names,
        reset=zeroed(rule.pre_traces) if rule and layout.stimulus.reset else "",
    )
    changes = {"on_post": rule.on_post} if rule and rule.on_post.strip() else {}
    scaled = rule is not None and rule.total is not None
    feedforward = b2.Synapses(
        pixels,
        circuit.exc,
        SYNAPSE + (SUM if scaled else ""),
        on_pre=EXCITES + (f"\n{rule.on_pre}" if rule else ""),
        **changes,
        clock=timeline.steps,
        name=FEEDFORWARD,
        namespace=names | ({"w_max": rule.w_max} if rule else {}),
        dtype={"W": timeline.weight_dtype},
    )
    if changes:
        feedforward.post.order = 1
    first = f"(i//{layout.num_pixels})*{layout.num_units}"
    feedforward.connect(j=f"k for k in range({first}, {first} + {layout.num_units})")
    if scaled:
        summing = feedforward.summed_updaters["total_post"]
        summing._clock = timeline.presentations  # not its target's, which ticks each step
        summing.when, summing.order = "start", 1
        feedforward.run_regularly(
            SCALE, clock=timeline.presentations, when="start", order=2
        )
    counter = b2.Synapses(
        circuit.exc, chooser, on_pre=COUNT_ALL, clock=timeline.steps, name="counter"
    )
    counter.connect(j=f"i//{layout.num_units}")
    return Built(
        timeline=timeline,
        presenter=chooser,
        pixels=pixels,
        circuit=circuit,
        feedforward=feedforward,
        others=[counter],
        monitors=_monitors(layout, timeline, chooser, pixels, circuit),
    )


def _monitors(
    layout: Layout,
    timeline: Timeline,
    chooser: "b2.NeuronGroup",
    pixels: "b2.NeuronGroup",
    circuit: BuiltSpiking,
) -> dict[str, Any]:
    """Return monitors of presentations, of spikes, and of potentials and currents."""
    import brian2 as b2

    def states(group: Any, variable: str, clock: Any, name: str) -> Any:
        settings: dict[str, Any] = {"record": True, "when": "before_start", "order": 2}
        return b2.StateMonitor(
            group, variable, clock=clock, name=f"{name}_monitor", **settings
        )

    found = {
        name: states(group, variable, timeline.presentations, name)
        for name, group, variable in (
            ("position", chooser, "position"),
            ("attempt", chooser, "attempt"),
            ("count", circuit.exc, "count"),
            ("inh_count", circuit.inh, "count"),
            ("drawn", pixels, "drawn"),
        )
    }
    groups = {"input": pixels, "exc": circuit.exc, "inh": circuit.inh}
    for population in layout.spikes:
        name = f"{population}_spikes"
        found[name] = b2.SpikeMonitor(groups[population], name=f"{name}_monitor")
    if layout.samples_ms is not None:
        clock = timeline.every(round(layout.samples_ms / layout.dt_ms))
        for name, variable in SAMPLED.items():
            found[name] = states(circuit.exc, variable, clock, name)
    return found
