"""Put one network together, run it, return its traces."""

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import backends
from neurodyn.circuits.feedforward import drive as drive_of
from neurodyn.circuits.feedforward import feedforward
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.stimulus import Presentation, is_multiple, pixels

if TYPE_CHECKING:
    import brian2 as b2
    import xarray as xr

MAX_TRACE_BYTES = 2**31


def simulate(
    circuit: LateralInhibition,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    stimulus: Presentation | None = None,
    backend: str = "cython",
    dt_ms: float | None = None,
    record_ms: float | None = 1.0,
) -> "xr.Dataset":
    """Show images to a circuit with fixed weights, one after another.

    Parameters
    ----------
    circuit
        The equations of the hidden units and their parameters.
    images
        Input rates (image, pixel), or (image, height, width[, channel]), preprocessed as
        they were when the weights were learned.
    weights
        (unit, pixel).
    stimulus
        How long each image is shown, and the rest between (default: `Presentation()`).
    backend
        "numpy", "cython", "cpp" (a standalone program, compiled in each call), or "auto":
        cython if there is a compiler, else numpy. All give the same traces.
    dt_ms
        Time step of Euler's method [ms]. By default the largest one that is stable for
        these images, resolves the transient (τ/20) and divides the presentation.
    record_ms
        Sampling interval of `activity` [ms]; None records only its final values.

    Returns
    -------
    xr.Dataset
        activity (time, unit), the state at each sampled time; final_activity (image,
        unit), at the end of each presentation; drive (image, unit); weights (unit,
        pixel). A sample on the boundary of two presentations is the end of the first.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite, the time step is unstable or does
        not divide the presentation, the traces would be too large, or the backend cannot
        run here.
    """
    stimulus = stimulus or Presentation()
    images, weights = _checked(images, weights)
    backend = backends.resolve(backend)
    expected = drive_of(images, weights, p=circuit.p)
    dt_ms = _time_step(circuit, stimulus, expected, dt_ms, record_ms)
    _check_size(stimulus, record_ms, num_images=len(images), num_units=len(weights))
    with backends.activated(backend) as run:
        recorded = _run(run, circuit, stimulus, images, weights, dt_ms, record_ms)
    config = {
        "circuit": {"name": type(circuit).__name__, **asdict(circuit)},
        "stimulus": asdict(stimulus),
        "backend": backend,
        "dt_ms": dt_ms,
        "record_ms": record_ms,
    }
    return _labelled(recorded, weights, stimulus, config)


def _run(
    run: backends.Run,
    circuit: LateralInhibition,
    stimulus: Presentation,
    images: NDArray[np.float64],
    weights: NDArray[np.float64],
    dt_ms: float,
    record_ms: float | None,
) -> dict[str, NDArray[np.float64]]:
    """Build and run the network, and read its monitors.

    "before_start" samples the state that the last step left, before a new presentation
    resets it. The run takes one step more than the presentations need, so that the end of
    the last one is sampled too.
    """
    import brian2 as b2

    inputs = pixels(images, stimulus)
    drive, synapses = feedforward(inputs, weights, p=circuit.p)
    hidden, *others = circuit.build(drive, stimulus, dt_ms)
    period = stimulus.period_ms * b2.ms
    monitors = {
        "drive": b2.StateMonitor(drive, "I", record=True, dt=period, when="end"),
        "final_activity": _activity(hidden, stimulus.period_ms),
    }
    if record_ms is not None:
        monitors["activity"] = _activity(hidden, record_ms)
    network = b2.Network(inputs, drive, synapses, hidden, *others, *monitors.values())
    run(network, len(images) * stimulus.period_ms + dt_ms)
    recorded = {
        name: np.array(getattr(monitor, monitor.record_variables[0])).T
        for name, monitor in monitors.items()
    }
    recorded["drive"] = recorded["drive"][: len(images)]
    recorded["final_activity"] = recorded["final_activity"][1:]
    if record_ms is not None:
        recorded["time"] = record_ms * np.arange(len(recorded["activity"]))
    return recorded


def _activity(hidden: "b2.NeuronGroup", interval_ms: float) -> "b2.StateMonitor":
    import brian2 as b2

    return b2.StateMonitor(
        hidden, "h", record=True, dt=interval_ms * b2.ms, when="before_start"
    )


def _checked(
    images: ArrayLike, weights: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    images = np.asarray(images, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    if images.ndim < 2 or 0 in images.shape:
        raise ValueError(
            f"images have shape {images.shape}: (image, pixel) or (image, height, width"
            "[, channel]) is needed, none of them 0"
        )
    images = images.reshape(len(images), -1)
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(f"weights have shape {weights.shape}: (unit, pixel) is needed")
    if weights.shape[1] != images.shape[1]:
        raise ValueError(
            f"the weights have {weights.shape[1]} pixels per unit, the images "
            f"{images.shape[1]}: use weights that were trained on images of this size"
        )
    for name, array in (("images", images), ("weights", weights)):
        if bad := np.count_nonzero(~np.isfinite(array)):
            raise ValueError(f"{name} hold {bad} NaN or infinite values")
    return images, weights


def _time_step(
    circuit: LateralInhibition,
    stimulus: Presentation,
    drive: NDArray[np.float64],
    dt_ms: float | None,
    record_ms: float | None,
) -> float:
    stable = circuit.stable_step_ms(drive)
    if record_ms is not None and not record_ms > 0:
        raise ValueError(f"record_ms is {record_ms}: a positive interval is needed")
    if dt_ms is None:
        sampled = () if record_ms is None else (record_ms,)
        return stimulus.fitting_step(min(stable, circuit.accurate_step_ms()), *sampled)
    if not 0 < dt_ms <= stable:
        raise ValueError(
            f"dt_ms is {dt_ms:g}: for this circuit and these images Euler's method is "
            f"stable for steps above 0 and up to {stable:.3g} ms; give at most that, or "
            "leave it out"
        )
    stimulus.steps(dt_ms)
    if record_ms is not None and not is_multiple(record_ms, dt_ms):
        raise ValueError(
            f"record_ms is {record_ms:g}: it must be a multiple of dt_ms, {dt_ms:g} ms"
        )
    return dt_ms


def _check_size(
    stimulus: Presentation, record_ms: float | None, *, num_images: int, num_units: int
) -> None:
    if record_ms is None:
        return
    samples = int(num_images * stimulus.period_ms / record_ms) + 1
    size = 8 * samples * num_units
    if size > MAX_TRACE_BYTES:
        raise ValueError(
            f"the activity trace would take {samples} samples x {num_units} units x 8 "
            f"bytes = {size / 2**30:.1f} GiB, the limit is {MAX_TRACE_BYTES / 2**30:.0f} "
            "GiB: raise record_ms, show fewer images, or give record_ms=None for the "
            "final activity only"
        )


def _labelled(
    recorded: dict[str, NDArray[np.float64]],
    weights: NDArray[np.float64],
    stimulus: Presentation,
    config: dict[str, Any],
) -> "xr.Dataset":
    from neurodyn import traces

    num_images, num_units = recorded["drive"].shape
    coords: dict[str, ArrayLike] = {
        "unit": np.arange(num_units),
        "pixel": np.arange(weights.shape[1]),
        "image": np.arange(num_images),
    }
    if "time" in recorded:
        coords["time"] = time = recorded.pop("time")
        ended = np.ceil(time / stimulus.period_ms - 1e-9).astype(int) - 1
        coords["presentation"] = ended.clip(min=0)
    return traces.assemble(
        {**recorded, "weights": weights},
        coords,
        title="Activity of competing hidden units",
        history=f"simulate, neurodyn {version('neurodyn')}, Brian2 {version('brian2')}",
        references="Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        config=config,
    )
