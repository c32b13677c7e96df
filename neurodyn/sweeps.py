"""Simulate several circuits from one build."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neurodyn import checks
from neurodyn.circuits.base import Circuit
from neurodyn.engine import to_xarray, trials
from neurodyn.engine.ambient import usual_errors
from neurodyn.engine.backends import Backend
from neurodyn.engine.execute import Advance
from neurodyn.engine.rules import Rule
from neurodyn.engine.spec import Spec, validate
from neurodyn.recording import Recording
from neurodyn.simulation import simulated_time
from neurodyn.stimulus import Stimulus

if TYPE_CHECKING:
    import xarray as xr


def sweep(
    circuits: Sequence[Circuit],
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None = None,
    stimulus: Stimulus | None = None,
    order: ArrayLike | None = None,
    recording: Recording | None = None,
    backend: str | Backend = "cython",
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
        with simulated_time(specs, show=show) as advance:
            return _side_by_side(specs, advance)


def _side_by_side(specs: Sequence[Spec], advance: Advance) -> "xr.Dataset":
    import xarray as xr

    from neurodyn import traces

    datasets = [
        to_xarray.dataset(spec, parts)
        for spec, parts in zip(specs, trials.records(specs, advance), strict=True)
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
