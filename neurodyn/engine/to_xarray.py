"""Label the records of a simulation: arrays into one Dataset."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import times
from neurodyn.engine.execute import Records
from neurodyn.engine.network import IMAGE_TRACES
from neurodyn.engine.spec import Spec, rounded
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
    num_presentations = sum(part.num_presentations for part in parts)
    variables, coords = _with_dims(spec, variables, start, num_presentations)
    coords |= {"unit": np.arange(num_units), "pixel": np.arange(num_pixels)}
    coords |= {name: np.arange(size) for name, size in spec.circuit.populations.items()}
    for name, values in _joined([part.snapshots for part in parts]).items():
        variables[f"{weight_traces[name]}_snapshots"] = _matrix(spec, name, values)
        stride = spec.recording.weights_every or 1
        before = 0 if start == 0 else start // stride + 1
        coords["snapshot"] = stride * (before + np.arange(len(values)))
    variables["weights"] = spec.weights
    for name, matrix in spec.circuit.matrices(num_units).items():
        if matrix.any():
            variables[weight_traces[name]] = rounded(matrix, spec.weight_dtype)
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
    if "time" in coords and "presentation" not in coords:
        result["time"].attrs["long_name"] = "time since the start of the presentation"
    result.attrs["dt_ms"] = spec.dt_ms
    result.attrs["run_seconds"] = sum(part.seconds for part in parts)
    result.attrs["presentations"] = len(spec.order)
    return result


def _joined(
    parts: Sequence[dict[str, NDArray[np.float64]]],
) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _with_dims(
    spec: Spec,
    samples: dict[str, NDArray[np.float64]],
    start: int,
    num_presentations: int,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, ArrayLike]]:
    """Return samples with the dims of their traces, and their coordinates."""
    over_time = [name for name in samples if name not in IMAGE_TRACES]
    by_image = bool(over_time) and spec.recording.by_image
    coords: dict[str, ArrayLike] = {}
    if by_image:
        samples |= {name: _by_image(spec, samples[name], start) for name in over_time}
        count = np.arange(1, samples[over_time[0]].shape[1] + 1)
        coords["time"] = times.multiples(spec.recording.activity_ms or 0.0, count)
    elif over_time:
        coords |= _times(spec, len(samples[over_time[0]]), start)
    if by_image or "drive" in samples:
        stride = spec.recording.images_every or 1
        image = start + np.arange(stride - 1, num_presentations, stride)
        coords |= {"image": image, "shown": spec.order[image]}
    return samples, coords


def _by_image(spec: Spec, samples: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """Return samples (time, cell) of a run as (image, time, cell).

    The sample at time 0 of the run is left out: it is at the start of a presentation.
    """
    interval, stride = spec.recording.sample_steps(spec.dt_ms), spec.recording.images_every
    _, period = spec.stimulus.steps(spec.dt_ms)
    by_presentation = samples[start == 0 :].reshape(
        -1, period // (interval or 1), samples.shape[1]
    )
    return by_presentation[(stride or 1) - 1 :: stride or 1]


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
    num_units, num_pixels = shape = spec.weights.shape
    if name != FEEDFORWARD:
        shape = spec.circuit.matrices(num_units)[name].shape
        receiving, sending = spec.circuit.pairs(num_units, name)
    elif spec.connected is None:
        return flat.reshape(*flat.shape[:-1], num_units, num_pixels)
    else:
        receiving, sending = spec.pairs
    full = np.zeros((*flat.shape[:-1], *shape))
    full[..., receiving, sending] = flat
    return full
