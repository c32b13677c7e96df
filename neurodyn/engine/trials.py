"""Run circuit after circuit from one build."""

from collections.abc import Iterator, Sequence

import numpy as np

from neurodyn.engine.execute import Advance, Execution, Records, timeline_of
from neurodyn.engine.spec import Spec


def records(specs: Sequence[Spec], advance: Advance) -> Iterator[list[Records]]:
    """Build once, run circuit after circuit, and yield the records of each, in memory."""
    _check_alike(specs)
    execution = Execution(specs[0])
    try:
        for spec in specs:
            yield list(execution.records(spec, advance))
    finally:
        execution.close()


def _check_alike(specs: Sequence[Spec]) -> None:
    timeline = timeline_of(specs[0], 1)
    sets = [spec.circuit.parameters(timeline, len(spec.weights)) for spec in specs]
    shapes = [{key: np.shape(value) for key, value in values.items()} for values in sets]
    kinds = {
        (type(spec.circuit), spec.circuit.p, spec.circuit.input_sign) for spec in specs
    }
    synapses = [_synapses(spec) for spec in specs]
    if (
        len(kinds) > 1
        or any(shape != shapes[0] for shape in shapes)
        or any(found != synapses[0] for found in synapses)
    ):
        raise ValueError(
            "the circuits of a sweep may differ only in the values of parameters: give the "
            "same class, sizes, p, input_sign and synapses, and noise in all or none"
        )


def _synapses(spec: Spec) -> dict[str, bytes]:
    """Return which cells are connected, by the synapses' names."""
    number = len(spec.weights)
    return {
        name: np.stack(spec.circuit.pairs(number, name)).tobytes()
        for name in spec.circuit.matrices(number)
    }
