"""Build the cells of a spiking circuit, and the synapses between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurodyn.circuits import noise
from neurodyn.circuits.spiking import (
    ADAPTED,
    ADAPTIVE_THETA,
    CELL,
    COUNT,
    COUNTED,
    EXCITES,
    FIRES,
    FIRES_ABOVE_THETA,
    FIXED_THETA,
    FROM_REST,
    INHIBITS,
    REFRACTORY,
    SPIKE,
    STATE,
    SYNAPSE,
    TOTAL,
    SpikingInhibition,
)
from neurodyn.engine.timeline import GAINS, Timeline

if TYPE_CHECKING:
    import brian2 as b2

    from neurodyn.plasticity.protocols import SpikeRule


@dataclass(frozen=True, kw_only=True)
class BuiltSpiking:
    """Brian2 objects of a spiking circuit."""

    exc: "b2.NeuronGroup"
    """E cells: v, theta, conductances g_exc and g_inh, the number of spikes `count`."""
    inh: "b2.NeuronGroup"
    synapses: "dict[str, b2.Synapses]"
    """Synapses between cells by name; they have a weight W."""
    state: "list[tuple[b2.Group, str]]"
    """Groups and states that a later run needs to continue from this one."""
    noisy: "list[b2.NeuronGroup]" = field(default_factory=list)


def build(
    circuit: SpikingInhibition,
    num_units: int,
    timeline: Timeline,
    *,
    reset: bool,
    rule: "SpikeRule | None" = None,
    adapts: bool = False,
    copies: int = 1,
) -> BuiltSpiking:
    """Build `copies` of the circuit side by side in Brian2's current device.

    Parameters
    ----------
    reset
        Whether presentations start from rest; θ stays.
    rule
        The rule whose traces E cells carry.
    adapts
        Whether θ grows and decays; False: it is frozen.
    """
    num_inh = circuit.num_inhibitory(num_units)
    theta = (ADAPTIVE_THETA, ADAPTED) if adapts else (FIXED_THETA, "")
    traces = (rule.post_traces, rule.at_post) if rule else ("", "")
    exc = _population(
        circuit,
        "exc",
        copies * num_units,
        (CELL, COUNT, TOTAL, theta[0], traces[0]),
        (SPIKE, COUNTED, theta[1], traces[1]),
        timeline,
        threshold=FIRES_ABOVE_THETA,
        namespace=namespace_of(rule, timeline),
        copies=copies,
        reset=FROM_REST + zeroed(traces[0]) if reset else "",
    )
    inh = _population(
        circuit,
        "inh",
        copies * num_inh,
        (CELL, COUNT),
        (SPIKE, COUNTED),
        timeline,
        threshold=FIRES,
        namespace={},
        copies=copies,
        reset=FROM_REST if reset else "",
    )
    state = [(group, name) for group in (exc, inh) for name in STATE]
    state += [(exc, name) for name in ("theta", *names_of(traces[0]))]
    noisy = [exc, inh] if circuit.noise_mv else []
    return BuiltSpiking(
        exc=exc,
        inh=inh,
        synapses=_connected(circuit, exc, inh, copies, timeline.steps),
        state=[*state, *((group, "x") for group in noisy)],
        noisy=noisy,
    )


def _population(
    circuit: SpikingInhibition,
    name: str,
    size: int,
    equations: tuple[str, ...],
    spike: tuple[str, ...],
    timeline: Timeline,
    *,
    threshold: str,
    namespace: dict[str, Any],
    copies: int,
    reset: str,
) -> "b2.NeuronGroup":
    """Return cells that follow the equations, and do `spike` when they fire."""
    import brian2 as b2

    noisy = circuit.noise_mv > 0
    if noisy:
        namespace = namespace | noise.namespace(
            population=("exc", "inh").index(name),
            num_cells=size // copies,
            copies=copies,
        )
        namespace |= {"period_steps": timeline.period_steps, "running": 1}
    group = b2.NeuronGroup(
        size,
        "".join(equations) + (noise.EQUATIONS if noisy else noise.SILENCE),
        threshold=threshold,
        reset="".join(spike),
        refractory=REFRACTORY,
        method="exponential_euler",
        clock=timeline.steps,
        name=name,
        namespace=namespace,
    )
    start: dict[str, Any] = {"clock": timeline.presentations, "when": "start"}
    group.run_regularly("count = 0", **start)
    if reset:
        group.run_regularly(reset, **start)
    if noisy:
        drawn = noise.START_OF_EACH if reset else noise.START_OF_FIRST
        group.run_regularly(drawn, **start)
        group.run_regularly(noise.STEP, clock=timeline.steps, when="groups", order=GAINS)
    return group


def _connected(
    circuit: SpikingInhibition,
    exc: "b2.NeuronGroup",
    inh: "b2.NeuronGroup",
    copies: int,
    clock: "b2.Clock",
) -> "dict[str, b2.Synapses]":
    """Return the synapses between cells, ordered by sending cell."""
    import brian2 as b2

    num_units, num_inh = len(exc) // copies, len(inh) // copies
    found = {}
    for name, source, target, sends, receives, effect in (
        ("exc_to_inh", exc, inh, num_units, num_inh, EXCITES),
        ("inh_to_exc", inh, exc, num_inh, num_units, INHIBITS),
    ):
        synapses = b2.Synapses(
            source, target, SYNAPSE, on_pre=effect, clock=clock, name=name
        )
        if circuit.num_inh is not None or name == "inh_to_exc":
            others = "" if circuit.num_inh is not None else " if k != i"
            first = f"(i//{sends})*{receives}"
            synapses.connect(j=f"k for k in range({first}, {first} + {receives}){others}")
        else:
            synapses.connect(j="i")
        found[name] = synapses
    return found


def namespace_of(rule: "SpikeRule | None", timeline: Timeline) -> dict[str, Any]:
    """Return the values of a rule's parameters, with times as the simulation has them."""
    if rule is None:
        return {}
    values: Mapping[str, Any] = rule.parameters
    return {name: timeline.stretched(value) for name, value in values.items()}


def names_of(equations: str) -> list[str]:
    """Return the states of differential equations."""
    import brian2 as b2

    return sorted(b2.Equations(equations).diff_eq_names)


def zeroed(equations: str) -> str:
    """Return code that sets the states of differential equations to 0."""
    return "".join(f"{name} = 0\n" for name in names_of(equations))
