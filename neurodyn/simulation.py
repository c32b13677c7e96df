"""Run a simulation and return its traces."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neurodyn import checks
from neurodyn.circuits.base import Circuit
from neurodyn.engine import execute, to_xarray
from neurodyn.engine.ambient import usual_errors
from neurodyn.engine.spec import Rule, Spec, validate
from neurodyn.progress import progress_bar
from neurodyn.recording import Recording
from neurodyn.stimulus import Presentation

if TYPE_CHECKING:
    import xarray as xr


def simulate(
    circuit: Circuit,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None = None,
    stimulus: Presentation | None = None,
    order: ArrayLike | None = None,
    recording: Recording | None = None,
    backend: str = "cython",
    dt_ms: float | None = None,
    batch_size: int = 1,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool = True,
) -> "xr.Dataset":
    """Present images to a circuit, one after another, and return its traces.

    Parameters
    ----------
    circuit, images, weights
        The circuit; input rates (image, pixel) or (image, height, width[, channel]),
        preprocessed as for training; feed-forward weights at the start (unit, pixel). Of a
        sparse array of SciPy, only the stored entries are synapses.
    plasticity
        Rule of the feed-forward weights, or rules by the synapses' names; None: static.
    stimulus, order
        Timing of presentations; indices of the images, in order (default: each once).
    recording
        Which traces to record, and how often.
    backend, dt_ms
        "numpy", "cython", "cpp", "cuda" or "auto"; time step of Euler's method [ms]
        (default: τ/20, or a shorter one that is stable and divides a presentation).
    batch_size, seed
        Number of images shown side by side, in copies of the circuit; seed of the noise.
    out, progress
        netCDF file to write traces to as they are computed; whether to show progress.

    Returns
    -------
    xr.Dataset
        activity (image, time, unit); final_activity and drive (image, unit); weights (unit,
        pixel) at the end; further traces by `recording`. docs/circuits.md has the details.

    Raises
    ------
    ValueError
        If arguments do not fit each other, a value is not finite, the time step is unstable
        or a rule overshoots, traces are too large, or the backend cannot run here.
    """
    path = None if out is None else checks.path("out", out)
    show = checks.flag("progress", progress)
    settings: dict[str, Any] = {"plasticity": plasticity, "stimulus": stimulus}
    settings |= {"order": order, "recording": recording, "backend": backend}
    settings |= {"dt_ms": dt_ms, "batch_size": batch_size, "seed": seed}
    with usual_errors():
        spec = validate(circuit, images, weights, **settings)
        with _progress([spec], show=show) as advance:
            if path is None:
                return _in_memory(spec, advance)
            return _in_file(spec, path, advance)


def _in_memory(spec: Spec, advance: execute.Advance) -> "xr.Dataset":
    return to_xarray.dataset(spec, list(execute.chunks(spec, advance, in_memory=True)))


def _in_file(spec: Spec, path: Path, advance: execute.Advance) -> "xr.Dataset":
    from neurodyn import traces

    with traces.Writer(path) as writer:
        for part in execute.chunks(spec, advance, in_memory=False):
            chunk = to_xarray.dataset(spec, [part], start=writer.num_presentations)
            writer.append(chunk, num_presentations=part.num_presentations)
    return traces.open_lazily(path)


def _progress(specs: Sequence[Spec], *, show: bool) -> AbstractContextManager[Any]:
    """Return the progress bar of simulations, in simulated milliseconds."""
    total = sum(len(spec.order) * spec.stimulus.period_ms for spec in specs)
    return progress_bar(total, what="simulation", unit=" ms", show=show)


def sweep(
    circuits: Sequence[Circuit],
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None = None,
    stimulus: Presentation | None = None,
    order: ArrayLike | None = None,
    recording: Recording | None = None,
    backend: str = "cython",
    dt_ms: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> "xr.Dataset":
    """Simulate circuits that differ in their parameters, all from one build.

    Each circuit is simulated as by `simulate`, from the same start. All have one time step,
    by default the shortest default of the circuits. The traces have a dim `trial`.

    Raises
    ------
    ValueError
        As `simulate`, or if the circuits differ in more than the values of parameters.
    """
    show = checks.flag("progress", progress)
    if not isinstance(circuits, Iterable):
        raise ValueError(f"circuits is {circuits!r}: a list of circuits is needed")
    settings: dict[str, Any] = {
        "plasticity": plasticity,
        "stimulus": stimulus,
        "order": order,
        "recording": recording,
        "backend": backend,
        "dt_ms": dt_ms,
        "batch_size": 1,
        "seed": seed,
    }
    with usual_errors():
        specs = [validate(circuit, images, weights, **settings) for circuit in circuits]
        if not specs:
            raise ValueError("no circuits were given: at least one is needed")
        specs[0].check_size(trials=len(specs))
        shortest = min(spec.dt_ms for spec in specs)
        specs = [replace(spec, dt_ms=shortest) for spec in specs]
        with _progress(specs, show=show) as advance:
            return _side_by_side(specs, advance)


def _side_by_side(specs: Sequence[Spec], advance: execute.Advance) -> "xr.Dataset":
    import xarray as xr

    from neurodyn import traces

    datasets = [
        to_xarray.dataset(spec, parts)
        for spec, parts in zip(specs, execute.trials(specs, advance), strict=True)
    ]
    result = xr.concat(
        datasets,
        dim="trial",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="override",
    )
    result = result.assign_coords(trial=np.arange(len(specs)))
    result["trial"].attrs = {"units": "1", "long_name": "circuit of the sweep"}
    result.attrs["config"] = traces.as_json([spec.config for spec in specs])
    result.attrs["run_seconds"] = sum(trial.attrs["run_seconds"] for trial in datasets)
    return result
