"""Name what a simulation recorded: arrays into one labelled Dataset."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import times
from neurodyn.engine.execute import Records
from neurodyn.engine.spec import Spec
from neurodyn.plasticity.protocols import FEEDFORWARD

if TYPE_CHECKING:
    import xarray as xr


def dataset(spec: Spec, parts: Sequence[Records], *, start: int = 0) -> "xr.Dataset":
    """Return the traces of consecutive chunks, the first after `start` presentations."""
    from importlib.metadata import version

    from neurodyn import traces

    num_units, num_pixels = spec.weights.shape
    weight_traces = {FEEDFORWARD: "weights", **spec.circuit.synapses}
    variables = _joined([part.samples for part in parts])
    if spec.recording.inhibition and "inhibition" not in variables:
        variables["inhibition"] = spec.circuit.inhibition(variables)
    coords: dict[str, ArrayLike] = {
        "unit": np.arange(num_units),
        "pixel": np.arange(num_pixels),
    }
    for name, size in spec.circuit.populations.items():
        coords[name] = np.arange(size)
    if "activity" in variables:
        coords |= _times(spec, len(variables["activity"]), start)
    if "drive" in variables:
        stride = spec.recording.images_every or 1
        image = start + stride * np.arange(1, len(variables["drive"]) + 1) - 1
        coords |= {"image": image, "shown": spec.order[image]}
    for name, values in _joined([part.snapshots for part in parts]).items():
        variables[f"{weight_traces[name]}_snapshots"] = _matrix(spec, name, values)
        stride = spec.recording.weights_every or 1
        before = 0 if start == 0 else start // stride + 1
        coords["snapshot"] = stride * (before + np.arange(len(values)))
    variables["weights"] = spec.weights
    for name, matrix in spec.circuit.matrices(num_units).items():
        if matrix.any():
            variables[weight_traces[name]] = matrix
    for name, values in parts[-1].weights.items():
        variables[weight_traces[name]] = _matrix(spec, name, values)
    result = traces.assemble(
        dict(variables),
        coords,
        title="Activity of competing hidden units",
        history=f"simulate, neurodyn {version('neurodyn')}, Brian2 {version('brian2')}",
        references="Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        config=spec.config,
        own=spec.circuit.traces,
    )
    result.attrs["run_seconds"] = sum(part.seconds for part in parts)
    result.attrs["presentations"] = len(spec.order)
    return result


def _joined(
    parts: Sequence[dict[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _times(spec: Spec, num_samples: int, start: int) -> dict[str, ArrayLike]:
    """Return the times of samples; one on a boundary belongs to the presentation before."""
    interval = spec.recording.sample_steps(spec.dt_ms)
    assert interval is not None
    assert spec.recording.activity_ms is not None
    _, period = spec.stimulus.steps(spec.dt_ms)
    before = 0 if start == 0 else start * period // interval + 1
    sample = before + np.arange(num_samples)
    ended = -(-sample * interval // period) - 1
    return {
        "time": times.multiples(spec.recording.activity_ms, sample),
        "presentation": ended.clip(min=0),
    }


def _matrix(spec: Spec, name: str, flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (..., receiving, sending) of flat synapses (..., synapse)."""
    num_units, num_pixels = spec.weights.shape
    if name == FEEDFORWARD:
        return flat.reshape(*flat.shape[:-1], num_pixels, num_units).swapaxes(-1, -2)
    receiving, sending = spec.circuit.pairs(num_units, name)
    full = np.zeros((*flat.shape[:-1], *spec.circuit.matrices(num_units)[name].shape))
    full[..., receiving, sending] = flat
    return full
