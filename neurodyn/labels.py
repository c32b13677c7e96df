"""Name what a simulation recorded: arrays into one labelled Dataset."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import times
from neurodyn.network import INPUT
from neurodyn.request import Request
from neurodyn.running import Records

if TYPE_CHECKING:
    import xarray as xr

WEIGHT_TRACES = {
    INPUT: "weights",
    "exc_to_inh": "weights_ei",
    "inh_to_exc": "weights_ie",
    "exc_to_exc": "weights_ee",
    "inh_to_inh": "weights_ii",
    "lateral": "weights_lateral",
}


def dataset(job: Request, parts: Sequence[Records], *, start: int = 0) -> "xr.Dataset":
    """Return the traces of consecutive chunks, the first after `start` presentations."""
    from importlib.metadata import version

    from neurodyn import traces

    num_units, num_pixels = job.weights.shape
    variables = _joined([part.samples for part in parts])
    if job.recording.inhibition and "inhibition" not in variables:
        h = variables["activity"], variables.get("inh_activity")
        variables["inhibition"] = job.circuit.inhibition(*h)
    coords: dict[str, ArrayLike] = {
        "unit": np.arange(num_units),
        "pixel": np.arange(num_pixels),
    }
    if job.circuit.num_inh:
        coords["inh"] = np.arange(job.circuit.num_inh)
    if "activity" in variables:
        coords |= _times(job, len(variables["activity"]), start)
    if "drive" in variables:
        stride = job.recording.images_every or 1
        image = start + stride * np.arange(1, len(variables["drive"]) + 1) - 1
        coords |= {"image": image, "shown": job.order[image]}
    for name, values in _joined([part.snapshots for part in parts]).items():
        variables[f"{WEIGHT_TRACES[name]}_snapshots"] = _matrix(job, name, values)
        stride = job.recording.weights_every or 1
        before = 0 if start == 0 else start // stride + 1
        coords["snapshot"] = stride * (before + np.arange(len(values)))
    variables["weights"] = job.weights
    for name, matrix in job.circuit.matrices(num_units).items():
        if matrix.any():
            variables[WEIGHT_TRACES[name]] = matrix
    for name, values in parts[-1].weights.items():
        variables[WEIGHT_TRACES[name]] = _matrix(job, name, values)
    result = traces.assemble(
        dict(variables),
        coords,
        title="Activity of competing hidden units",
        history=f"simulate, neurodyn {version('neurodyn')}, Brian2 {version('brian2')}",
        references="Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        config=job.config,
    )
    result.attrs["run_seconds"] = sum(part.seconds for part in parts)
    result.attrs["presentations"] = len(job.order)
    return result


def _joined(
    parts: Sequence[dict[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _times(job: Request, num_samples: int, start: int) -> dict[str, ArrayLike]:
    """Return the times of samples; one on a boundary belongs to the presentation before."""
    interval = job.recording.sample_steps(job.dt_ms)
    assert interval is not None
    assert job.recording.activity_ms is not None
    _, period = job.stimulus.steps(job.dt_ms)
    before = 0 if start == 0 else start * period // interval + 1
    sample = before + np.arange(num_samples)
    ended = -(-sample * interval // period) - 1
    return {
        "time": times.multiples(job.recording.activity_ms, sample),
        "presentation": ended.clip(min=0),
    }


def _matrix(job: Request, name: str, flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (..., receiving, sending) of flat synapses (..., synapse)."""
    num_units, num_pixels = job.weights.shape
    if name == INPUT:
        return flat.reshape(*flat.shape[:-1], num_pixels, num_units).swapaxes(-1, -2)
    receiving, sending = job.circuit.pairs(num_units, name)
    full = np.zeros((*flat.shape[:-1], *job.circuit.matrices(num_units)[name].shape))
    full[..., receiving, sending] = flat
    return full
