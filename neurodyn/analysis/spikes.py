"""Analyses of spike trains: smoothed rates, intervals between spikes and their variability.

Spike times [ms] since the start of the run have the dim `spike` and, for each spike, the
coordinates `spike_unit` (number of the cell in its population), `spike_population` (such as
exc) and `spike_image` (presentation). Where images were shown again, `spike_attempt` counts
how often. Take one population of several by `spikes[spikes.spike_population == "exc"]`.
"""

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.analysis.checks import named, need_spikes
from neurodyn.checks import at_least_one, positive, time_ms, whole
from neurodyn.times import is_multiple, multiples

type Window = Literal["gaussian", "flat"]

# Brian2's tolerance, in time steps: the quotient of two rounded times may lie below a step.
ROUNDING = 1e-3


def smooth_rate(
    spikes: xr.DataArray,
    *,
    num_cells: int,
    duration_ms: float,
    dt_ms: float,
    width_ms: float,
    window: Window = "gaussian",
) -> xr.DataArray:
    """Return the firing rate of a population [Hz per cell], smoothed over time.

    It equals `PopulationRateMonitor.smooth_rate` of Brian2 2.10. Before the first step and
    after the last there are no spikes, so the rate falls at both ends.

    Parameters
    ----------
    spikes
        Spike times of one population [ms] (spike).
    num_cells
        Cells of the population, silent ones included.
    duration_ms, dt_ms
        Length of the run and its time step [ms].
    width_ms
        Gaussian window: standard deviation [ms]; it ends at two of them on either side.
        Flat window: its length [ms], rounded to an odd number of time steps.

    Returns
    -------
    DataArray
        (time): the start of each time step [ms].

    Raises
    ------
    ValueError
        If the spikes are of several populations, lack a coordinate, lie outside the run or
        are of a cell beyond `num_cells`; if the run is not a whole number of time steps, a
        time is not positive or the window is unknown.
    """
    num_cells = _need_cells(spikes, num_cells)
    duration_ms, dt_ms = time_ms("duration_ms", duration_ms), time_ms("dt_ms", dt_ms)
    width_ms = time_ms("width_ms", width_ms)
    times = {"duration_ms": duration_ms, "dt_ms": dt_ms, "width_ms": width_ms}
    for name, length in times.items():
        positive(name, length)
    number = _per_step(spikes, duration_ms=duration_ms, dt_ms=dt_ms)
    weights = _weights(window, width_ms / dt_ms)
    rate = number * 1000 / (num_cells * dt_ms)
    # "same" would return the longer of the two; this is right for long windows too.
    first = len(weights) // 2
    smoothed = np.convolve(rate, weights)[first : first + len(rate)]
    attrs = {"units": "ms", "long_name": "time since the start of the run"}
    time = ("time", multiples(dt_ms, np.arange(len(rate))), attrs)
    result = xr.DataArray(smoothed, dims="time", coords={"time": time})
    return named(result, "smooth_rate", "Hz", "smoothed firing rate of a cell")


def inter_spike_intervals(spikes: xr.DataArray) -> xr.DataArray:
    """Return the times between successive spikes of each cell, within a presentation [ms].

    An image that was shown again has several presentations, told apart by the coordinate
    `spike_attempt`. Select the last ones, as in counts, by
    `spikes[spikes.spike_attempt == attempts[spikes.spike_image]]`.

    Returns
    -------
    DataArray
        (interval), ordered by population, cell and time, with the coordinates
        `interval_unit`, `interval_population`, `interval_image`, and `interval_attempt` if
        the spikes have it.

    Raises
    ------
    ValueError
        If the spikes lack a coordinate, have other dims, or a time is not finite.
    """
    need_spikes(spikes)
    names = ["image", "unit"]
    if "spike_attempt" in spikes.coords:
        names.insert(0, "attempt")
    keys = {name: spikes[f"spike_{name}"].values for name in names}
    keys["population"] = spikes["spike_population"].values.astype(str)  # not objects
    order = np.lexsort((spikes.values, *keys.values()))  # by the last key first
    times = spikes.values[order]
    keys = {name: values[order] for name, values in keys.items()}
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys.values()])
    coords = {f"interval_{name}": ("interval", key[1:][same]) for name, key in keys.items()}
    result = xr.DataArray(np.diff(times)[same], dims="interval", coords=coords)
    return named(result, "inter_spike_intervals", "ms", "time between spikes of a cell")


def cv(spikes: xr.DataArray, *, num_cells: int) -> xr.DataArray:
    """Return the coefficient of variation of each cell's inter-spike intervals.

    Their standard deviation over their mean, pooled over presentations: 0 if regular, 1 for
    a Poisson process (Softky & Koch 1993, J. Neurosci. 13:334). The standard deviation is
    that of a sample, with n − 1, as in `fano_factor`.

    Parameters
    ----------
    spikes
        Spike times of one population [ms] (spike).
    num_cells
        Cells of the population, silent ones included.

    Returns
    -------
    DataArray
        (unit), NaN for cells with fewer than 2 intervals.

    Raises
    ------
    ValueError
        If the spikes are of several populations or of a cell beyond `num_cells`, or as
        `inter_spike_intervals`.
    """
    num_cells = _need_cells(spikes, num_cells)
    intervals = inter_spike_intervals(spikes)
    cell = intervals["interval_unit"].values.astype(int)

    def per_cell(values: NDArray | None = None) -> NDArray:
        return np.bincount(cell, values, minlength=num_cells)

    number = per_cell()
    mean = per_cell(intervals.values) / np.maximum(number, 1)
    squares = per_cell((intervals.values - mean[cell]) ** 2)
    enough = number > 1
    values = np.full(num_cells, np.nan)
    values[enough] = np.sqrt(squares[enough] / (number[enough] - 1)) / mean[enough]
    result = xr.DataArray(values, dims="unit", coords={"unit": np.arange(num_cells)})
    return named(result, "cv", "1", "coefficient of variation of inter-spike intervals")


def _need_cells(spikes: xr.DataArray, num_cells: int) -> int:
    """Return the number of cells; refuse spikes of several populations, or of others."""
    need_spikes(spikes)
    num_cells = whole("num_cells", num_cells)
    at_least_one("num_cells", num_cells)
    populations = np.unique(spikes["spike_population"].values)
    if len(populations) > 1:
        raise ValueError(
            f"the spikes are of {', '.join(map(str, populations))}: select one population, "
            f'such as spikes[spikes.spike_population == "{populations[0]}"]'
        )
    cells = spikes["spike_unit"].values
    if len(cells) and not 0 <= cells.min() <= cells.max() < num_cells:
        raise ValueError(
            f"num_cells is {num_cells}, the spikes are of cells {cells.min()} to "
            f"{cells.max()}: give the size of the population; cells are numbered from 0"
        )
    return num_cells


def _per_step(spikes: xr.DataArray, *, duration_ms: float, dt_ms: float) -> NDArray:
    """Return the number of spikes in each time step of a run."""
    if not is_multiple(duration_ms, dt_ms):
        raise ValueError(
            f"duration_ms is {duration_ms:g}, not a whole number of time steps of "
            f"{dt_ms:g} ms: give the dt_ms of the run"
        )
    num_steps = round(duration_ms / dt_ms)
    step = np.floor(spikes.values / dt_ms + ROUNDING).astype(int)
    if outside := int(((step < 0) | (step >= num_steps)).sum()):
        raise ValueError(
            f"{outside} of {spikes.size} spikes lie outside the run of {duration_ms:g} ms: "
            "give the duration_ms of the whole run, and times since its start"
        )
    return np.bincount(step, minlength=num_steps)


def _weights(window: Window, width: float) -> NDArray:
    """Return the weights of a window, an odd number with sum 1; `width` in time steps."""
    if window == "gaussian":
        half = round(2 * width)
        weights = np.exp(-((np.arange(-half, half + 1) / width) ** 2) / 2)
    elif window == "flat":
        weights = np.ones(2 * round(width / 2) + 1)
    else:
        raise ValueError(f"window is {window!r}: give 'gaussian' or 'flat'")
    return weights / weights.sum()
