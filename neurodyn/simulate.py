"""Put one network together, run it, return its traces."""

import math
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import backends
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.clocks import Clocks, clocks
from neurodyn.feedforward import drive as drive_of
from neurodyn.feedforward import feedforward
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
        Time step of Euler's method [ms]. By default τ/20, which resolves the transient, or
        less: as much as is stable for these images, and divides the presentation.
    record_ms
        Sampling interval of `activity` [ms]; None records only its final values.

    Returns
    -------
    xr.Dataset
        activity (time, unit), the state at each sampled time; final_activity (image,
        unit), at the end of each presentation; drive (image, unit); weights (unit,
        pixel). A sample on the boundary of two presentations is the end of the first. The
        attribute `run_seconds` is the time it took, code generation and compilation apart.

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
        recorded, seconds = _run(run, circuit, stimulus, images, weights, dt_ms, record_ms)
    config = {
        "circuit": {"name": type(circuit).__name__, **asdict(circuit)},
        "stimulus": asdict(stimulus),
        "backend": backend,
        "dt_ms": dt_ms,
        "record_ms": record_ms,
    }
    result = _labelled(recorded, weights, stimulus, config)
    result.attrs["run_seconds"] = seconds
    return result


def _run(
    run: backends.Run,
    circuit: LateralInhibition,
    stimulus: Presentation,
    images: NDArray[np.float64],
    weights: NDArray[np.float64],
    dt_ms: float,
    record_ms: float | None,
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Build and run the network, read its monitors; return also the seconds it ran.

    "before_start" samples the state that the last step left, before a new presentation
    resets it. The run goes on for a little longer than the presentations, so that the end
    of the last one is sampled too; by more than the 1e-4 of a period that Brian2 ignores.
    """
    import brian2 as b2

    rest_steps, period_steps = stimulus.steps(dt_ms)
    sample_steps = period_steps if record_ms is None else round(record_ms / dt_ms)
    ticks = clocks(
        dt_ms=dt_ms,
        rest_steps=rest_steps,
        period_steps=period_steps,
        sample_steps=sample_steps,
    )
    inputs = pixels(images, ticks)
    drive, synapses = feedforward(inputs, weights, p=circuit.p)
    hidden, others = circuit.build(drive, ticks, reset=stimulus.reset)
    monitors = _monitors(drive, hidden, ticks)
    num_steps = len(images) * period_steps
    seconds = run(
        [inputs, drive, synapses, hidden, *others, *monitors.values()],
        b2.Quantity((num_steps + 1 + period_steps // 1000) * ticks.steps.dt),
    )
    recorded = {
        name: np.array(getattr(monitor, monitor.record_variables[0])).T
        for name, monitor in monitors.items()
    }
    recorded["drive"] = recorded["drive"][: len(images)]
    recorded["final_activity"] = recorded["final_activity"][1 : len(images) + 1]
    if record_ms is None:
        del recorded["activity"]
    else:
        recorded["activity"] = recorded["activity"][: num_steps // sample_steps + 1]
        recorded["time"] = record_ms * np.arange(len(recorded["activity"]))
    return recorded, seconds


def _monitors(
    drive: "b2.NeuronGroup", hidden: "b2.NeuronGroup", ticks: Clocks
) -> "dict[str, b2.StateMonitor]":
    import brian2 as b2

    state: dict[str, Any] = {"variables": "h", "record": True, "when": "before_start"}
    return {
        "drive": b2.StateMonitor(
            drive, "I", record=True, clock=ticks.presentations, when="end"
        ),
        "final_activity": b2.StateMonitor(hidden, clock=ticks.presentations, **state),
        "activity": b2.StateMonitor(hidden, clock=ticks.samples, **state),
    }


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
    sampled = () if record_ms is None else (record_ms,)
    if not all(0 < interval < math.inf for interval in sampled):
        raise ValueError(f"record_ms is {record_ms}: a positive, finite interval is needed")
    reset = stimulus.reset
    if dt_ms is None:
        bound = circuit.default_step_ms(drive, reset=reset)
        dt_ms = stimulus.fitting_step(bound, *sampled)
    elif not (dt_ms > 0 and circuit.is_stable(drive, dt_ms, reset=reset)):
        safe = float(f"{0.995 * circuit.safe_step_ms(drive, reset=reset):.3g}")
        raise ValueError(
            f"dt_ms is {dt_ms:g}: Euler's method is not stable with that step for this "
            f"circuit and these images; steps above 0 and up to {safe:g} ms always are. "
            "Leave it out to have one chosen"
        )
    stimulus.steps(dt_ms)
    if not all(is_multiple(interval, dt_ms) for interval in sampled):
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
