"""Build the cells of a spiking circuit, and the synapses between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodyn.circuits import noise
from neurodyn.circuits.spiking import (
    ADAPTED,
    ADAPTIVE_THETA,
    BEGIN,
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


# Noise is numbered by what is shown, so that it does not depend on when it is shown.
PRESENTED = """
population : integer (shared, constant)
presented : integer (linked)
"""
# Names in the code of cells besides those of their equations.
NAMES = {"normal", "num_cells", "period_steps", "running"}


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
    chooser: "b2.NeuronGroup",
    timeline: Timeline,
    *,
    reset: bool,
    rule: "SpikeRule | None" = None,
    adapts: bool = False,
) -> BuiltSpiking:
    """Build the circuit, a copy for each presenter, in Brian2's current device.

    Parameters
    ----------
    chooser
        The presenter, which numbers what is shown to each copy (`engine.poisson`).
    reset
        Whether presentations start from rest; θ stays.
    rule
        The rule whose traces E cells carry.
    adapts
        Whether θ grows and decays; False: it is frozen.
    """
    copies = len(chooser)
    theta = (ADAPTIVE_THETA, ADAPTED) if adapts else (FIXED_THETA, "")
    traces = (rule.post_traces, rule.at_post) if rule else ("", "")
    exc = _population(
        circuit,
        "exc",
        copies * num_units,
        (CELL, COUNT, TOTAL, theta[0], traces[0]),
        (SPIKE, COUNTED, theta[1], traces[1]),
        chooser,
        timeline,
        threshold=FIRES_ABOVE_THETA,
        namespace=namespace_of(rule, timeline),
        reset=FROM_REST + zeroed(traces[0]) if reset else "",
    )
    inh = _population(
        circuit,
        "inh",
        copies * circuit.num_inhibitory(num_units),
        (CELL, COUNT),
        (SPIKE, COUNTED),
        chooser,
        timeline,
        threshold=FIRES,
        namespace={},
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
    chooser: "b2.NeuronGroup",
    timeline: Timeline,
    *,
    threshold: str,
    namespace: dict[str, Any],
    reset: str,
) -> "b2.NeuronGroup":
    """Return cells that follow the equations, and do `spike` when they fire."""
    import brian2 as b2

    noisy = circuit.noise_mv > 0
    if noisy:
        namespace = namespace | {
            "normal": noise.normal(),
            "num_cells": size // len(chooser),
            "period_steps": timeline.period_steps,
            "running": 1,
        }
    group = b2.NeuronGroup(
        size,
        "".join(equations) + (noise.EQUATIONS + PRESENTED if noisy else noise.SILENCE),
        threshold=threshold,
        reset="".join(spike),
        refractory=REFRACTORY,
        method="exponential_euler",
        clock=timeline.steps,
        name=name,
        namespace=namespace,
    )
    start: dict[str, Any] = {"clock": timeline.presentations, "when": "start"}
    group.run_regularly(BEGIN + reset, **start)
    if noisy:
        index = np.repeat(np.arange(len(chooser)), size // len(chooser))
        group.presented = b2.linked_var(chooser, "presented", index=index)
        group.run_regularly(noise.start("presented", of_each=bool(reset)), **start)
        code = noise.step("presented")
        group.run_regularly(code, clock=timeline.steps, when="groups", order=GAINS)
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
