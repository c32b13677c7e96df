"""Build the network of a simulation, and read its records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits.base import BuiltCircuit
from neurodyn.engine import random
from neurodyn.engine.feedforward import drive_units, feedforward, precomputed
from neurodyn.engine.hebbian import PlasticInput, make_plastic, plastic_input, squares
from neurodyn.engine.spec import Spec
from neurodyn.engine.timeline import Timeline
from neurodyn.plasticity.protocols import FEEDFORWARD
from neurodyn.stimulus import pixels

if TYPE_CHECKING:
    import brian2 as b2


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltNetwork:
    """A built network: its objects, the variables to set for a run, and its monitors."""

    objects: "list[Any]"
    timeline: Timeline
    circuit: BuiltCircuit
    ends: list[tuple[Any, str]]
    """Variables with the step at which states stop changing."""
    learner: tuple[Any, Mapping[str, float]]
    """Group with the states of the feed-forward rule, and their values at the start."""
    noisy: list[Any]
    """Groups whose noise needs the seed and the number of the presentation."""
    plastic: dict[str, "b2.Synapses"]
    monitors: "dict[str, b2.StateMonitor]"
    snapshots: "dict[str, b2.StateMonitor]"

    def named(self, name: str) -> Any:
        """Return the object of that name."""
        return next(item for item in self.objects if item.name == name)

    def parameters(self, spec: Spec) -> dict[Any, Any]:
        """Return the values of the circuit's parameters, to set for a run.

        They are not set earlier, so that one compiled program serves all values.
        """
        given = spec.circuit.parameters(
            self.timeline, len(spec.weights), copies=spec.batch_size
        )
        return {(self.named(group), name): value for (group, name), value in given.items()}

    def inputs(self, spec: Spec, drive: NDArray[np.float64] | None) -> dict[Any, Any]:
        """Return the values to set for other images and weights than it was built with.

        `drive` is that of images side by side, as for `build`.
        """
        if drive is not None:
            return _filled(self.named("drive"), drive)
        values = _filled(self.named("pixels"), spec.images)
        if any(item.name == "lengths" for item in self.objects):
            values |= _filled(self.named("lengths"), squares(spec.images))
        return values | {(self.named(FEEDFORWARD), "W"): spec.weights[spec.pairs]}

    def initial_state(self, weights: NDArray[np.float64]) -> dict[Any, Any]:
        """Return the state of a network that has not run yet, as `values` takes it.

        `weights` (synapse) are those from the pixels. Sampled sums are 0 too: at time 0 no
        step has computed them.
        """
        evolving = [*self.circuit.state]
        for group, name in self.circuit.samples.values():
            evolving.append((self.named(group.variables[name].owner.name), name))
        state: dict[Any, Any] = {
            (group, name): np.zeros(len(group)) for group, name in evolving
        }
        learner, start = self.learner
        state |= {(learner, name): value for name, value in start.items()}
        if FEEDFORWARD in self.plastic:
            state[self.plastic[FEEDFORWARD], "W"] = weights
        return state

    def values(
        self,
        order: NDArray[np.intp],
        state: Mapping[Any, NDArray[np.float64]],
        *,
        first: int,
        seed: int,
    ) -> dict[Any, Any]:
        """Return the values to set for a run: images to show, state to start from.

        `first` is the number of presentations before these.
        """
        end = len(order) * self.timeline.period_steps
        values: dict[Any, Any] = {key: end for key in self.ends}
        noise_values = random.seeds(seed) | {"first_presentation": first}
        values |= {
            (group, name): value
            for group in self.noisy
            for name, value in noise_values.items()
        }
        return values | {self.timeline.image_at: self.timeline.schedule(order)} | {**state}

    def state(self) -> dict[Any, NDArray[np.float64]]:
        """Return the final state of the last run, as `values` takes it."""
        evolving = [*self.circuit.state]
        evolving += [(synapses, "W") for synapses in self.plastic.values()]
        learner, names = self.learner
        evolving += [(learner, name) for name in names]
        return {(group, name): read(group, name) for group, name in evolving}

    def records(
        self, num_presentations: int, *, first: bool
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Return (samples, snapshots) of the first presentations of the last run.

        Parameters
        ----------
        first
            Whether the run was the first: later runs omit their start, which is the end of
            the previous run.
        """
        end = num_presentations * self.timeline.period_steps

        def rows(monitor: "b2.StateMonitor", *, start: bool) -> NDArray[np.float64]:
            stride = round(float(monitor.clock.dt) / self.timeline.dt)
            kept = slice(0 if start else 1, end // stride + 1)
            name = monitor.record_variables[0]
            recorded = np.array(getattr(monitor, name), np.float64).T
            return _complete(recorded, end // stride + 1)[kept]

        samples = {
            trace: rows(monitor, start=first and trace not in IMAGE_TRACES)
            for trace, monitor in self.monitors.items()
        }
        snapshots = {
            name: rows(monitor, start=first) for name, monitor in self.snapshots.items()
        }
        return samples, snapshots

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Return the final weights (synapse) of the last run, by the synapses' names."""
        return {name: read(synapses, "W") for name, synapses in self.plastic.items()}


def _filled(group: Any, values: NDArray[np.float64]) -> dict[Any, Any]:
    """Return the table of a group, and its entries: these values, then 0."""
    table = group.namespace["table"]
    entries = np.zeros(table.values.shape)
    entries[: len(values)] = values
    return {table: entries}


IMAGE_TRACES = ("drive", "final_activity", "weight_norm")


def read(group: Any, name: str) -> NDArray[np.float64]:
    """Return a copy of a state."""
    return _complete(np.array(getattr(group, name + "_")[:], np.float64), len(group))


def _complete(values: NDArray[np.float64], at_least: int) -> NDArray[np.float64]:
    """Refuse incomplete records: compiled programs do not report failed writes."""
    if len(values) < at_least:
        raise ValueError(
            f"{len(values)} of {at_least} values were recorded: is the disk full where the "
            "program runs? Set TMPDIR to another folder"
        )
    return values


def build(
    spec: Spec,
    timeline: Timeline,
    *,
    drive: NDArray[np.float64] | None = None,
) -> BuiltNetwork:
    """Build the network of a simulation in Brian2's current device.

    `drive` (presentation, copy and unit) drives copies of the circuit side by side. Without
    it, images drive the circuit through weights, which learn if there is a feed-forward
    rule.
    """
    copies = spec.batch_size
    plastic = _plastic_input(spec, timeline)
    if plastic is not None:
        summed, source = plastic.drive, plastic.source
    elif drive is not None:
        source = summed = precomputed(drive, timeline)
    else:
        source = summed = drive_units(
            len(spec.weights),
            timeline.frames,
            p=spec.circuit.p,
            norms=_clock_of_norms(spec, timeline),
        )
    circuit = spec.circuit.build(source, timeline, reset=spec.stimulus.reset, copies=copies)
    if copies > 1:
        _check_independent(circuit)
    objects: list[Any] = [source, circuit.units, *circuit.others]
    learning = {name: circuit.synapses[name] for name in spec.recurrent}
    for name, rule in spec.recurrent.items():
        pairs = spec.circuit.pairs(len(spec.weights), name)
        make_plastic(learning[name], rule, timeline, pairs)
    if drive is None:
        inputs, synapses = _from_pixels(spec, timeline, plastic, summed, circuit.units)
        objects += [inputs, synapses]
        if plastic is not None:
            learning[FEEDFORWARD] = synapses
            objects += [*plastic.others, *([summed] if summed is not source else [])]
    monitors = _monitors(spec, timeline, source, summed, circuit)
    snapshots = _snapshots(spec, timeline, learning)
    return BuiltNetwork(
        objects=[*objects, *monitors.values(), *snapshots.values()],
        timeline=timeline,
        circuit=circuit,
        ends=[
            (item, name)
            for item in objects
            for name in ("num_steps", "last_step")
            if name in item.variables and item.variables[name].owner.name == item.name
        ],
        learner=_learner(spec, plastic),
        noisy=[item for item in objects if "first_presentation" in item.variables],
        plastic=learning,
        monitors=monitors,
        snapshots=snapshots,
    )


def _plastic_input(spec: Spec, timeline: Timeline) -> PlasticInput | None:
    """Return the groups of feed-forward synapses that learn, or None."""
    if spec.feedforward is None:
        return None
    return plastic_input(
        len(spec.weights),
        rule=spec.feedforward,
        sign=spec.circuit.input_sign,
        stimulus=spec.stimulus,
        timeline=timeline,
        images=spec.images,
        all_exist=spec.connected is None,
        norms=_clock_of_norms(spec, timeline),
    )


def _check_independent(circuit: BuiltCircuit) -> None:
    """Refuse states that images side by side would not share as images in turn do."""
    kept = [
        f"{group.name}.{name}"
        for group, name in circuit.state
        if name != "h" and not (name == "x" and "first_presentation" in group.variables)
    ]
    if kept:
        raise ValueError(
            f"batch_size is more than 1, but the circuit keeps {', '.join(kept)} from one "
            "image to the next: show images one by one (batch_size=1)"
        )


def _learner(spec: Spec, plastic: PlasticInput | None) -> tuple[Any, Mapping[str, float]]:
    """Return the group with the states of the feed-forward rule, set to their start."""
    if spec.feedforward is None or plastic is None:
        return None, {}
    start = plastic.start | dict(spec.feedforward.states)
    for name, value in start.items():
        setattr(plastic.learner, name, value)
    return plastic.learner, start


def _clock_of_norms(spec: Spec, timeline: Timeline) -> "b2.Clock | None":
    """Return when norms of weights are taken, if they are recorded."""
    return timeline.presentations if spec.recording.norms else None


def _from_pixels(
    spec: Spec,
    timeline: Timeline,
    plastic: PlasticInput | None,
    summed: "b2.NeuronGroup",
    units: "b2.NeuronGroup",
) -> "tuple[b2.NeuronGroup, b2.Synapses]":
    """Return the pixels and the synapses from them to the group that sums the drive."""
    import brian2 as b2

    inputs = pixels(spec.images, timeline)
    settings: dict[str, Any] = {"connected": spec.connected, "p": spec.circuit.p}
    settings["dtype"] = timeline.weight_dtype
    if plastic is None:
        return inputs, feedforward(inputs, summed, spec.weights, **settings)
    plastic.learner.h = b2.linked_var(units, "h")
    return inputs, plastic.connect(inputs, spec.weights, **settings)


def _monitors(
    spec: Spec,
    timeline: Timeline,
    source: "b2.NeuronGroup",
    summed: "b2.NeuronGroup",
    circuit: BuiltCircuit,
) -> "dict[str, b2.StateMonitor]":
    """Return monitors of activities, and of drive and norms at the end of presentations.

    Inhibition is computed from activity, unless synapses between cells learn. Of images
    side by side, all are recorded.
    """
    monitors, recording = {}, spec.recording
    sample_steps = recording.sample_steps(timeline.dt_ms)
    if sample_steps:
        for trace, (group, variable) in circuit.samples.items():
            if trace != "inhibition" or (recording.inhibition and spec.recurrent):
                monitors[trace] = _monitor(
                    group, variable, timeline.every(sample_steps), f"{trace}_monitor"
                )
    if recording.images_every:
        stride = recording.images_every if spec.batch_size == 1 else 1
        clock = timeline.every(stride * timeline.period_steps)
        monitors["drive"] = _monitor(source, "I", clock, "drive_monitor")
        final = "final_activity_monitor"
        monitors["final_activity"] = _monitor(circuit.units, "h", clock, final)
        if recording.norms:
            monitors["weight_norm"] = _monitor(summed, "norm", clock, "norm_monitor")
    return monitors


def _snapshots(
    spec: Spec, timeline: Timeline, learning: "dict[str, b2.Synapses]"
) -> "dict[str, b2.StateMonitor]":
    """Return monitors of all weights; compiled programs need their number beforehand."""
    if not spec.recording.weights_every:
        return {}
    clock = timeline.every(spec.recording.weights_every * timeline.period_steps)
    num_units = len(spec.weights)
    sizes = {name: len(spec.circuit.pairs(num_units, name)[0]) for name in spec.recurrent}
    sizes[FEEDFORWARD] = len(spec.pairs[0])
    return {
        name: _monitor(
            synapses, "W", clock, f"{name}_snapshots", record=np.arange(sizes[name])
        )
        for name, synapses in learning.items()
    }


def _monitor(
    group: Any, variable: str, clock: "b2.Clock", name: str, *, record: Any = True
) -> "b2.StateMonitor":
    """Return a monitor of a state at the end of a step, after settled learning."""
    import brian2 as b2

    return b2.StateMonitor(
        group,
        variable,
        record=record,
        clock=clock,
        when="before_start",
        order=2,
        name=name,
    )
