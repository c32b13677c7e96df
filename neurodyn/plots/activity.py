"""Plots of activity."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurodyn import analysis
from neurodyn.plots import drawing


def activity_traces(
    activity: xr.DataArray, ax: Axes | None = None, *, settled: xr.DataArray | None = None
) -> Axes:
    """Draw activity (time, unit) against time, one line per unit, darker for the winner.

    Parameters
    ----------
    settled
        Values (unit) to which the activity should settle, drawn as dashed lines.
    """
    ax = ax or plt.subplots()[1]
    activity = drawing.only(activity, "time", "unit")
    last = activity.isel(time=-1)
    for rank, unit in enumerate(last.sortby(last.fillna(-np.inf))["unit"].values, start=1):
        color = plt.get_cmap("viridis_r")(rank / activity.sizes["unit"])
        trace = activity.sel(unit=unit)
        ax.plot(activity["time"], trace, color=color, lw=1)
        if settled is not None:
            level = float(settled.sel(unit=unit))
            ax.plot(activity["time"][[0, -1]], [level, level], "--", color=color, lw=0.8)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(xlabel=drawing.time_label(activity), ylabel="activity h")
    return ax


def population_rate(rate: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the population rate (time) against time; of several trials also their mean."""
    ax = drawing.lines(rate, "time", ax)
    ax.set(xlabel=drawing.time_label(rate), ylabel="mean rate r of the units")
    ax.set_ylim(bottom=0)
    return ax


def participation(
    activity: xr.DataArray, ax: Axes | None = None, *, dim: str = "time"
) -> Axes:
    """Draw the variance that the first components of activity (dim, unit) explain.

    With the participation ratio as a dashed line.

    Raises
    ------
    ValueError
        As `analysis.participation_ratio`, or if there are other dims.
    """
    activity = drawing.only(activity, dim, "unit")
    fractions = analysis.explained_variance(activity, dim=dim)
    ratio = float(analysis.participation_ratio(activity, dim=dim))
    ax = ax or plt.subplots()[1]
    ax.plot(fractions["component"], fractions.cumsum(), "o-", color="0.2", ms=3, lw=1)
    ax.axvline(ratio, ls="--", color="C3", lw=1, label=f"participation ratio {ratio:.3g}")
    ax.set(xlabel="components", ylabel="variance explained", ylim=(0, 1.05))
    ax.legend(loc="lower right", frameon=False)
    return ax


def winners(winner: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the winner against time, as steps, or against image, as points.

    Where no unit is active, only a gray tick at the bottom is drawn.

    Raises
    ------
    ValueError
        If there is any dim besides time, or besides image.
    """
    dim = "time" if "time" in winner.dims else "image"
    winner = drawing.only(winner, dim)
    ax = ax or plt.subplots()[1]
    names = winner.values.astype(float)
    values = np.where(names < 0, np.nan, names)
    if dim == "time":
        ax.step(winner[dim], values, where="post", color="0.2", lw=1)
    else:
        ax.plot(winner[dim], values, ".", color="0.2")
    silent = winner[dim][names < 0]
    marks = ax.get_xaxis_transform()  # the height as a fraction of the axes
    heights = np.full(len(silent), 0.01)
    ax.plot(silent, heights, "|", color="0.6", transform=marks, label="none active")
    if len(silent):
        ax.legend(frameon=False)
    label = drawing.time_label(winner) if dim == "time" else "presentation"
    ax.set(xlabel=label, ylabel="winner (unit)")
    return ax


def active_units(count: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the numbers of active units, with their mean as a dashed line."""
    present = drawing.present(count)
    low, high = int(present.min()), int(present.max())
    width = math.ceil((high - low + 1) / 50)
    edges = [x - 0.5 for x in range(low, high + width + 1, width)]
    mean = float(count.mean())
    ax = drawing.histogram(count, edges, mean, f"mean {mean:.3g}", ax)
    ax.set(xlabel="active units")
    return ax


def settling_time(times: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the times to settle, with their median as a dashed line."""
    median = float(times.median())
    ax = drawing.histogram(times, None, median, f"median {median:.3g} ms", ax)
    ax.set(xlabel="settling time [ms]")
    return ax


def selectivity(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw selectivity (unit), sorted, in the colour of the preferred class.

    Raises
    ------
    ValueError
        If there are dims other than unit, or there is no coordinate `preferred`.
    """
    values = drawing.only(values, "unit")
    if "preferred" not in values.coords:
        raise ValueError(
            "the array has no coordinate 'preferred': give the result of "
            "analysis.selectivity"
        )
    values = values.isel(unit=np.argsort(-values.values, kind="stable"))
    preferred, ranks = values["preferred"].values, 1 + np.arange(values.size)
    ax = ax or plt.subplots()[1]
    ax.plot(ranks, values, color="0.8", lw=1, zorder=0)
    classes = np.unique(preferred[preferred >= 0])
    colors = plt.get_cmap("tab10" if len(classes) <= 10 else "turbo", max(len(classes), 1))
    for index, name in enumerate(classes):
        members = preferred == name
        color, label = colors(index), f"class {name:g}"
        ax.plot(ranks[members], values[members], "o", color=color, ms=4, label=label)
    if (silent := preferred < 0).any():
        ax.plot(ranks[silent], values[silent], "o", color="0.6", ms=3, label="silent")
    ax.set(xlabel="units, sorted", ylabel="class selectivity", ylim=(-0.03, 1.03))
    ax.legend(frameon=False, fontsize="small", ncols=math.ceil((len(classes) + 1) / 6))
    return ax


def e_i_balance(balance: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the balance (time, unit) against time: median and quartiles over units.

    Raises
    ------
    ValueError
        If the dims are not time and unit.
    """
    ax = drawing.band(balance, "time", ax)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(
        xlabel=drawing.time_label(balance),
        ylabel="balance (E − I) / (E + I)",
        ylim=(-1.05, 1.05),
    )
    return ax


def spectrum(activity: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the power spectrum of each unit of activity (time, unit), and its peak.

    Constant units have no spectrum, and are left out.

    Raises
    ------
    ValueError
        As `analysis.dominant_frequency`, or if there are other dims.
    """
    activity = drawing.only(activity, "time", "unit")
    power = analysis.power_spectrum(activity).transpose("frequency", "unit")
    peaks = analysis.dominant_frequency(activity).values
    ax = ax or plt.subplots()[1]
    for unit in np.flatnonzero(peaks):
        color = plt.get_cmap("viridis_r")((unit + 1) / len(peaks))
        heights = power.isel(unit=unit).values
        ax.plot(power["frequency"], heights, color=color, lw=0.8)
        ax.plot(peaks[unit], heights[1:].max(), "o", color=color, ms=4)
    label = "no unit varies"
    if peaks.any():
        ax.set_yscale("log")
        ax.set_ylim(float(power.max()) * 1e-8, float(power.max()) * 3)
        label = f"peaks, median {np.median(peaks[peaks > 0]):.3g} Hz"
    ax.plot([], [], "o", color="0.4", ms=4, label=label)
    ax.legend(frameon=False)
    ax.set(xlabel="frequency [Hz]", ylabel="power")
    return ax


def ringing(damping: xr.DataArray, frequency: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the frequency of ringing against the damping rate, one point per trace.

    Traces left of the line at 0 grow; traces at 0 Hz are overdamped. Traces with an
    infinite rate, and constant traces, which have no rate, are left out.

    Raises
    ------
    ValueError
        If the two differ in dims or sizes.
    """
    if damping.sizes != frequency.sizes:
        raise ValueError(
            f"damping has sizes {dict(damping.sizes)}, frequency "
            f"{dict(frequency.sizes)}: give both for the same traces"
        )
    ax = ax or plt.subplots()[1]
    rates = damping.transpose(*frequency.dims).values.ravel()
    ax.plot(rates, frequency.values.ravel(), "o", color="0.2", ms=4, alpha=0.6)
    ax.axvline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(xlabel="damping rate [1/s]", ylabel="ringing frequency [Hz]")
    return ax


def raster(
    activity: xr.DataArray,
    ax: Axes | None = None,
    *,
    order: xr.DataArray | Sequence[int] | None = None,
) -> Axes:
    """Draw rates r = max(h, 0) of activity (time, unit) as an image, one row per unit.

    Parameters
    ----------
    order
        Units to show, from the top. By default all, sorted by the time of their first win;
        units that never win come last.

    Raises
    ------
    ValueError
        If the dims are not time and unit, the samples are not equally far apart, or the
        order names an unknown unit.
    """
    activity = drawing.only(activity, "time", "unit")
    time = activity["time"].values
    steps = np.diff(time)
    if not (len(steps) and steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.mean()):
        raise ValueError(
            "a raster needs two samples or more, equally far apart in time: select or "
            "interpolate such times"
        )
    if "unit" not in activity.coords:
        activity = activity.assign_coords(unit=np.arange(activity.sizes["unit"]))
    rows = _by_first_win(activity) if order is None else np.asarray(order)
    unknown = rows[~np.isin(rows, activity["unit"])]
    if not len(rows) or len(unknown):
        raise ValueError(
            f"order names {', '.join(map(str, unknown)) or 'no unit'}: give units of the "
            f"activity, {activity['unit'].values.min()} to {activity['unit'].values.max()}"
        )
    rates = activity.sel(unit=rows).clip(min=0)
    ax = ax or plt.subplots()[1]
    edges = (time[0] - steps[0] / 2, time[-1] + steps[0] / 2)
    image = ax.imshow(
        rates.T,
        aspect="auto",
        cmap="magma",
        vmin=0,
        interpolation="nearest",
        extent=(*edges, len(rows) + 0.5, 0.5),
    )
    ax.figure.colorbar(image, ax=ax, label="rate r")
    ax.set(xlabel=drawing.time_label(activity), ylabel="units, in order")
    return ax


def phase_portrait(exc: xr.DataArray, inh: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the mean rate of one population against that of another, over time.

    Parameters
    ----------
    exc, inh
        Activity (time, unit) and (time, inh); the dim besides time may have any name.

    Raises
    ------
    ValueError
        If there are further dims, or the times differ.
    """
    rates = []
    for activity in (exc, inh):
        activity = drawing.flat(activity, "time")
        if activity.ndim != 2 or "time" not in activity.dims:
            raise ValueError(
                f"the array has dims {activity.dims}: time and one dim of units are "
                "needed, and no other (select one trial)"
            )
        others = set(activity.dims) - {"time"}
        rates.append(activity.clip(min=0).mean(others, skipna=False))
    if not np.array_equal(exc["time"], inh["time"]):
        raise ValueError(
            f"exc has {exc.sizes['time']} times, inh {inh.sizes['time']}, or the times "
            "differ: give both at the same times"
        )
    ax = ax or plt.subplots()[1]
    ax.plot(*rates, color="0.2", lw=1)
    for index, marker, label in ((0, "o", "start"), (-1, "s", "end")):
        point = [rate.values[index] for rate in rates]
        ax.plot(*[[value] for value in point], marker, color="C3", ms=6, label=label)
    ax.set(xlabel="mean rate of E", ylabel="mean rate of I")
    ax.legend(frameon=False)
    return ax


def _by_first_win(activity: xr.DataArray) -> NDArray:
    """Return the units by the time of their first win, then those that never win."""
    won, first = np.unique(analysis.winners(activity), return_index=True)
    won = won[np.argsort(first)]
    units = activity["unit"].values
    won = won[~np.isnan(won) & (won != -1)].astype(units.dtype)
    return np.concatenate([won, units[~np.isin(units, won)]])
