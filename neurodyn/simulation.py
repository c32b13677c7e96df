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
from neurodyn.progress import shown as shown_progress
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
    """Show images to a circuit, one after another, while its synapses learn or rest.

    Parameters
    ----------
    circuit
        The equations of the hidden units and their parameters.
    images
        The bank: input rates (image, pixel), or (image, height, width[, channel]),
        preprocessed as they were when the weights were learned.
    weights
        Feed-forward weights at the start (unit, pixel).
    plasticity
        A rule for the feed-forward weights, or rules by the synapses' names:
        {"feedforward": KrotovHopfield(...), "inh_to_exc": Homeostatic(...)}. None: static.
    stimulus
        How long each image is shown, and the rest between (default: `Presentation()`).
    order
        Numbers of the images in the bank, in the order of presentation, any of them any
        number of times (`stimulus.epochs`); default: each once.
    recording
        Which traces are kept at which stride (default: `Recording()`).
    backend
        "numpy", "cython", "cpp" (a standalone program, compiled in each call), "cuda" (the
        same on a GPU), or "auto": cython if there is a compiler, else numpy. All give the
        same traces, noise included.
    dt_ms
        Time step of Euler's method [ms]. By default τ/20, or less, so that it divides the
        presentation. A step is accepted if it is proved to settle, or tried with these
        images and weights (`circuits.stability`). The first steps may overshoot when many
        units are active; where weights learn continuously, the default is short enough
        that they do not.
    batch_size
        Images shown side by side, in copies of the circuit: faster, same traces. For static
        weights and images that each start from rest.
    seed
        Of the noise, 0 to 2^64 − 1: the same seed is the same noise on every backend, in
        chunks, in a sweep, and with images side by side (`circuits/noise.py`).
    out
        A netCDF file to which the traces go by and by. It appears when the simulation ends,
        or is interrupted: with the presentations finished by then.
    progress
        Show how far it is: a bar in terminals and notebooks, else a line once a minute.

    Returns
    -------
    xr.Dataset
        activity (image, time, unit), the state at each sampled time since the start of the
        presentation: `traces.activity.sel(image=0)` is one time course. Or (time, unit)
        over the run, with `Recording(by_image=False)`; a sample on the boundary of two
        presentations is the end of the first. final_activity and drive (image, unit), at
        the end of each presentation; weights (unit, pixel) at the end; and what else
        `recording` asks for. Attributes: `dt_ms`, the time step; `run_seconds`, the time it
        took, code generation and compilation apart; `config`, all settings. Given `out`,
        the data stay in the file until used.

    Raises
    ------
    ValueError
        If shapes or signs do not fit, a value is not finite, the time step is unstable or
        does not divide the presentation, a rule does not suit the circuit or overshoots,
        the traces would be too large, weights diverge, or the backend cannot run here.
    """
    path = None if out is None else checks.path("out", out)
    shown = checks.flag("progress", progress)
    with usual_errors():
        spec = validate(
            circuit,
            images,
            weights,
            plasticity=plasticity,
            stimulus=stimulus,
            order=order,
            recording=recording,
            backend=backend,
            dt_ms=dt_ms,
            batch_size=batch_size,
            seed=seed,
        )
        with _shown([spec], wanted=shown) as advance:
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


def _shown(specs: Sequence[Spec], *, wanted: bool) -> AbstractContextManager[Any]:
    """Return the progress of simulations, in simulated milliseconds."""
    total = sum(len(spec.order) * spec.stimulus.period_ms for spec in specs)
    return shown_progress(total, what="simulation", unit=" ms", wanted=wanted)


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
    """Run circuits that differ in their parameters, all from one build.

    As `simulate`, for each of `circuits` from the same start; all with one time step, by
    default the shortest that one of them needs. The traces have a dim `trial`.

    Raises
    ------
    ValueError
        As `simulate`, or if the circuits differ in more than the values of parameters.
    """
    shown = checks.flag("progress", progress)
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
        with _shown(specs, wanted=shown) as advance:
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
    result.attrs["run_seconds"] = sum(one.attrs["run_seconds"] for one in datasets)
    return result
