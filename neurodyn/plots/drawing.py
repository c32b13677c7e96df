"""Shared parts of plots: lines, bands, histograms, checks of dims."""

import math

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurodyn import analysis


def lines(array: xr.DataArray, dim: str, ax: Axes | None) -> Axes:
    """Draw lines along a dim: several lines are gray, with their mean."""
    if dim not in array.dims:
        raise ValueError(f"the array has dims {array.dims}, {dim} is needed too")
    array = flat(array, dim)
    lines = array.transpose(dim, ...).values.reshape(array.sizes[dim], -1)
    ax = ax or plt.subplots()[1]
    if lines.shape[1] > 1:
        ax.plot(array[dim], lines, color="0.75", lw=0.6)
    ax.plot(array[dim], lines.mean(1), color="0.2", lw=1.2)
    return ax


def band(array: xr.DataArray, dim: str, ax: Axes | None) -> Axes:
    """Draw median and quartiles over units along a dim."""
    array = only(array, dim, "unit")
    low, median, high = np.quantile(array, [0.25, 0.5, 0.75], axis=1)
    ax = ax or plt.subplots()[1]
    ax.fill_between(array[dim], low, high, color="0.8", lw=0, label="quartiles of units")
    ax.plot(array[dim], median, color="0.2", lw=1.2, label="median")
    ax.legend(frameon=False)
    return ax


def histogram(
    array: xr.DataArray, edges: list[float] | None, mark: float, label: str, ax: Axes | None
) -> Axes:
    """Draw how often values occur, with a dashed line at `mark`."""
    ax = ax or plt.subplots()[1]
    values = present(array)
    bins = edges or min(50, math.ceil(math.sqrt(values.size)))
    ax.hist(values, bins=bins, color="0.6")
    if missing := array.size - values.size:
        label += f" (without {missing} missing)"
    ax.axvline(mark, ls="--", color="C3", lw=1, label=label)
    ax.set(ylabel="number")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax


def present(array: xr.DataArray) -> NDArray:
    """Return the finite values.

    Raises
    ------
    ValueError
        If there are none.
    """
    values = array.values.ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        raise ValueError(
            f"none of the {array.size} values is finite: there is nothing to draw"
        )
    return values


def flat(array: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return traces (image, time, ...) along the time of the run, if `dims` lack image."""
    along_run = "time" in dims and "image" not in dims
    by_image = {"image", "time"} <= set(array.dims)
    return analysis.over_run(array) if along_run and by_image else array


def only(array: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return an array with exactly these dims, in this order.

    Traces by image are put along one time axis.
    """
    array = flat(array, *dims)
    if sorted(map(str, array.dims)) != sorted(dims):
        raise ValueError(
            f"the array has dims {array.dims}: {' and '.join(dims)} needed, and no other "
            "(select one trial)"
        )
    return array.transpose(*dims)


def last(weights: xr.DataArray) -> xr.DataArray:
    """Return the last snapshot, or weights without snapshots unchanged."""
    return weights.isel(snapshot=-1) if "snapshot" in weights.dims else weights


def time_label(array: xr.DataArray) -> str:
    """Return the label of an axis of times."""
    return f"time [{array['time'].attrs.get('units', 'ms')}]"
