"""One network put together, and its records read: what runs, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits import noise
from neurodyn.circuits.dale import DaleInhibition
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.circuits.populations import Circuit
from neurodyn.engine.feedforward import drive_units, feedforward, precomputed
from neurodyn.engine.hebbian import InputRule, plastic_input
from neurodyn.engine.timeline import Timeline
from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.recording import Recording
from neurodyn.stimulus import Presentation, pixels

if TYPE_CHECKING:
    import brian2 as b2

type AnyCircuit = LateralInhibition | DaleInhibition
type Rules = Mapping[str, InputRule | Homeostatic]

INPUT = "feedforward"  # name of the plastic input synapses among the rules


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltNetwork:
    """A built network: its objects, what it must be given, and its monitors."""

    objects: "list[Any]"
    timeline: Timeline
    circuit: Circuit
    ends: list[tuple[Any, str]]
    """Variables that say at which step states are to stand still."""
    noisy: list[Any]
    """Groups whose noise asks for the seed, and for the number of the presentation."""
    plastic: dict[str, "b2.Synapses"]
    monitors: "dict[str, b2.StateMonitor]"
    snapshots: "dict[str, b2.StateMonitor]"

    def named(self, name: str) -> Any:
        """Return the object of that name."""
        return next(one for one in self.objects if one.name == name)

    def initial_state(self, weights: NDArray[np.float64]) -> dict[Any, Any]:
        """Return the state of a network that has not run yet, as `values` takes it.

        With the sums that are sampled: at time 0 they are those of no step yet.
        """
        evolving = [*self.circuit.state]
        for group, name in self.circuit.samples.values():
            evolving.append((self.named(group.variables[name].owner.name), name))
        state: dict[Any, Any] = {
            (group, name): np.zeros(len(group)) for group, name in evolving
        }
        if INPUT in self.plastic:
            state[self.plastic[INPUT], "W"] = weights.T.ravel()
        return state

    def values(
        self,
        order: NDArray[np.intp],
        state: Mapping[Any, NDArray[np.float64]],
        *,
        first: int,
        seed: int,
    ) -> dict[Any, Any]:
        """Return what to give a run: the images to show, and the state to start from.

        `first` counts the presentations before these.
        """
        end = len(order) * self.timeline.period_steps
        given: dict[Any, Any] = {key: end for key in self.ends}
        chance = noise.seeds(seed) | {"first_presentation": first}
        given |= {
            (one, name): value for one in self.noisy for name, value in chance.items()
        }
        return given | {self.timeline.image_at: self.timeline.schedule(order)} | {**state}

    def state(self) -> dict[Any, NDArray[np.float64]]:
        """Return the state that the last run ended in, as `values` takes it."""
        evolving = [*self.circuit.state]
        evolving += [(synapses, "W") for synapses in self.plastic.values()]
        return {(group, name): read(group, name) for group, name in evolving}

    def records(
        self, num_presentations: int, *, first: bool
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Return (samples, snapshots) of the last run, of its first presentations.

        Parameters
        ----------
        first
            Whether the run was the first: later ones leave their start out, which is the
            end of the one before.
        """
        end = num_presentations * self.timeline.period_steps

        def rows(monitor: "b2.StateMonitor", *, start: bool) -> NDArray[np.float64]:
            stride = round(float(monitor.clock.dt) / self.timeline.dt)
            kept = slice(0 if start else 1, end // stride + 1)
            found = np.array(getattr(monitor, monitor.record_variables[0])).T
            return _complete(found, end // stride + 1)[kept]

        samples = {
            trace: rows(monitor, start=first and trace not in IMAGE_TRACES)
            for trace, monitor in self.monitors.items()
        }
        snapshots = {
            name: rows(monitor, start=first) for name, monitor in self.snapshots.items()
        }
        return samples, snapshots

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Return the weights that the last run ended in, as flat as the synapses are."""
        return {name: read(synapses, "W") for name, synapses in self.plastic.items()}


IMAGE_TRACES = ("drive", "final_activity", "weight_norm")


def read(group: Any, name: str) -> NDArray[np.float64]:
    """Return a copy of a state."""
    return _complete(np.array(getattr(group, name + "_")[:]), len(group))


def _complete(values: NDArray[np.float64], at_least: int) -> NDArray[np.float64]:
    """Refuse what a compiled program could not write: it does not say so."""
    if len(values) < at_least:
        raise ValueError(
            f"{len(values)} of {at_least} values were recorded: is the disk full where the "
            "program runs? Set TMPDIR to another folder"
        )
    return values


def build(
    circuit: AnyCircuit,
    images: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    rules: Rules,
    stimulus: Presentation,
    recording: Recording,
    timeline: Timeline,
    drive: NDArray[np.float64] | None = None,
    copies: int = 1,
) -> BuiltNetwork:
    """Build the network of a simulation in Brian2's current device.

    With `drive` (presentation, unit), that drives `copies` of the circuit side by side;
    else images drive it through weights, by the rule for INPUT if there is one.
    """
    import brian2 as b2

    num_units = len(weights)
    inner = {name: rule for name, rule in rules.items() if isinstance(rule, Homeostatic)}
    plastic = None
    match rules.get(INPUT):
        case InputRule() as rule:
            plastic = plastic_input(
                num_units,
                rule=rule,
                sign=circuit.input_sign,
                stimulus=stimulus,
                timeline=timeline,
                images=images,
                norms=recording.norms,
            )
            summed, source = plastic.drive, plastic.source
        case _ if drive is not None:
            source = summed = precomputed(drive, timeline)
        case _:
            source = summed = drive_units(
                num_units,
                timeline.presentations,
                p=circuit.p,
                norms=recording.norms,
            )
    built = circuit.build(
        source,
        timeline,
        reset=stimulus.reset,
        copies=copies,
    )
    objects: list[Any] = [source, built.units, *built.others]
    learning = {name: built.synapses[name] for name in inner}
    for name, rule in inner.items():
        rule.learn(learning[name], timeline)
    if drive is None:
        shown = pixels(images, timeline)
        if plastic is None:
            synapses = feedforward(shown, summed, weights, p=circuit.p)
        else:
            plastic.learner.h = b2.linked_var(built.units, "h")
            synapses = plastic.connect(shown, weights, p=circuit.p)
            learning[INPUT] = synapses
        objects += [shown, synapses]
        if summed is not source:
            objects.append(summed)
    if plastic is not None:
        objects += plastic.others
    groups = {group.name: group for group in objects}
    parameters = circuit.parameters(timeline, num_units, copies=copies)
    for (name, variable), value in parameters.items():
        setattr(groups[name], variable, value)
    sizes = {name: len(circuit.pairs(num_units, name)[0]) for name in inner}
    sizes[INPUT] = weights.size
    monitors = _monitors(recording, timeline, source, summed, built, bool(inner))
    snapshots = _snapshots(recording, timeline, learning, sizes)
    return BuiltNetwork(
        objects=[*objects, *monitors.values(), *snapshots.values()],
        timeline=timeline,
        circuit=built,
        ends=[
            (one, name)
            for one in objects
            for name in ("num_steps", "last_step")
            if name in one.variables and one.variables[name].owner.name == one.name
        ],
        noisy=[one for one in objects if "first_presentation" in one.variables],
        plastic=learning,
        monitors=monitors,
        snapshots=snapshots,
    )


def _monitors(
    recording: Recording,
    timeline: Timeline,
    source: "b2.NeuronGroup",
    summed: "b2.NeuronGroup",
    circuit: Circuit,
    inner: bool,
) -> "dict[str, b2.StateMonitor]":
    """Return what samples activities, and drive and norms at the end of presentations.

    Inhibition follows from activity unless synapses between cells learn (`inner`).
    """
    monitors = {}
    sample_steps = recording.sample_steps(timeline.dt_ms)
    if sample_steps:
        for trace, (group, variable) in circuit.samples.items():
            if trace != "inhibition" or (recording.inhibition and inner):
                monitors[trace] = _monitor(group, variable, timeline.every(sample_steps))
    if recording.images_every:
        clock = timeline.every(recording.images_every * timeline.period_steps)
        monitors["drive"] = _monitor(source, "I", clock)
        monitors["final_activity"] = _monitor(circuit.units, "h", clock)
        if recording.norms:
            monitors["weight_norm"] = _monitor(summed, "norm", clock)
    return monitors


def _snapshots(
    recording: Recording,
    timeline: Timeline,
    learning: "dict[str, b2.Synapses]",
    sizes: dict[str, int],
) -> "dict[str, b2.StateMonitor]":
    """Return what records all weights; compiled programs need their number beforehand."""
    if not recording.weights_every:
        return {}
    clock = timeline.every(recording.weights_every * timeline.period_steps)
    return {
        name: _monitor(synapses, "W", clock, np.arange(sizes[name]))
        for name, synapses in learning.items()
    }


def _monitor(
    group: Any, variable: str, clock: "b2.Clock", record: Any = True
) -> "b2.StateMonitor":
    """Return what samples the state that a step has left, after settled learning."""
    import brian2 as b2

    return b2.StateMonitor(
        group, variable, record=record, clock=clock, when="before_start", order=2
    )
