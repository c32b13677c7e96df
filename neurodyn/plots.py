"""Pictures of traces and weights: functions from DataArray and Axes to Axes."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurodyn import analysis

__all__ = [
    "active_units",
    "activity_traces",
    "e_i_balance",
    "participation",
    "phase_portrait",
    "population_rate",
    "raster",
    "receptive_field_similarity",
    "receptive_fields",
    "ringing",
    "selectivity",
    "settling_time",
    "sign_violations",
    "spectrum",
    "weight_norms",
    "winners",
]


def activity_traces(
    activity: xr.DataArray, ax: Axes | None = None, *, settled: xr.DataArray | None = None
) -> Axes:
    """Draw activity (time, unit) against time, one line a unit, darker for the winner.

    Parameters
    ----------
    settled
        Values (unit) to which the activity should settle, drawn as dashes over the time.
    """
    ax = ax or plt.subplots()[1]
    last = activity.isel(time=-1)
    for rank, unit in enumerate(last.sortby(last.fillna(-np.inf))["unit"].values, start=1):
        color = plt.get_cmap("viridis_r")(rank / activity.sizes["unit"])
        trace = activity.sel(unit=unit)
        ax.plot(activity["time"], trace, color=color, lw=1)
        if settled is not None:
            level = float(settled.sel(unit=unit))
            ax.plot(activity["time"][[0, -1]], [level, level], "--", color=color, lw=0.8)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(xlabel=_time_label(activity), ylabel="activity h")
    return ax


def receptive_fields(
    weights: xr.DataArray,
    image_shape: tuple[int, ...],
    ax: Axes | None = None,
    *,
    scale: xr.DataArray | None = None,
) -> Axes:
    """Draw weights (unit, pixel) as a mosaic of images, each unit on its own scale.

    Gray images: diverging colours, red for positive and blue for negative weights, white
    for 0. Three channels: RGB, with 0 as mid gray.

    Parameters
    ----------
    scale
        Size of weight (unit) that has the fullest colour, so that several pictures can be
        compared; by default the largest of each unit.

    Raises
    ------
    ValueError
        If the image shape (height, width[, channel]) does not have as many pixels.
    """
    scale = abs(weights).max("pixel") if scale is None else scale
    mosaic = _mosaic(weights / scale.clip(min=1e-30), image_shape)
    ax = ax or plt.subplots()[1]
    if mosaic.shape[2] == 1:
        ax.imshow(mosaic[..., 0], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    else:
        ax.imshow(np.nan_to_num((mosaic + 1) / 2, nan=1.0), interpolation="nearest")
    ax.set_axis_off()
    return ax


def population_rate(rate: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the population rate (time) against time; of several trials, their mean too."""
    ax = _lines(rate, "time", ax)
    ax.set(xlabel=_time_label(rate), ylabel="mean rate r of the units")
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
    activity = _only(activity, dim, "unit")
    fractions = analysis.explained_variance(activity, dim=dim)
    ratio = float(analysis.participation_ratio(activity, dim=dim))
    ax = ax or plt.subplots()[1]
    ax.plot(fractions["component"], fractions.cumsum(), "o-", color="0.2", ms=3, lw=1)
    ax.axvline(ratio, ls="--", color="C3", lw=1, label=f"participation ratio {ratio:.3g}")
    ax.set(xlabel="components", ylabel="variance explained", ylim=(0, 1.05))
    ax.legend(loc="lower right", frameon=False)
    return ax


def winners(winner: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the winner against time, as a step, or against image, as a point each.

    Where no unit is active nothing is drawn but a gray tick below.

    Raises
    ------
    ValueError
        If the only dim is neither time nor image.
    """
    dim = "time" if "time" in winner.dims else "image"
    winner = _only(winner, dim)
    ax = ax or plt.subplots()[1]
    names = winner.values.astype(float)
    shown = np.where(names < 0, np.nan, names)
    if dim == "time":
        ax.step(winner[dim], shown, where="post", color="0.2", lw=1)
    else:
        ax.plot(winner[dim], shown, ".", color="0.2")
    silent = winner[dim][names < 0]
    marks = ax.get_xaxis_transform()  # the height as a fraction of the axes
    heights = np.full(len(silent), 0.01)
    ax.plot(silent, heights, "|", color="0.6", transform=marks, label="none active")
    if len(silent):
        ax.legend(frameon=False)
    label = _time_label(winner) if dim == "time" else "presentation"
    ax.set(xlabel=label, ylabel="winner (unit)")
    return ax


def active_units(count: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the numbers of active units, with their mean as a dashed line."""
    present = _present(count)
    low, high = int(present.min()), int(present.max())
    width = math.ceil((high - low + 1) / 50)
    edges = [
        x - 0.5 for x in range(low, high + width + 1, width)
    ]  # of `width` whole numbers each
    mean = float(count.mean())
    ax = _histogram(count, edges, mean, f"mean {mean:.3g}", ax)
    ax.set(xlabel="active units")
    return ax


def settling_time(times: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the times to settle, with their median as a dashed line."""
    median = float(times.median())
    ax = _histogram(times, None, median, f"median {median:.3g} ms", ax)
    ax.set(xlabel="settling time [ms]")
    return ax


def selectivity(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw selectivity (unit), sorted, in the colour of the preferred class.

    Raises
    ------
    ValueError
        If the only dim is not unit, or there is no coordinate `preferred`.
    """
    values = _only(values, "unit")
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
    for place, name in enumerate(classes):
        its = preferred == name
        ax.plot(
            ranks[its], values[its], "o", color=colors(place), ms=4, label=f"class {name:g}"
        )
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
    ax = _band(balance, "time", ax)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(
        xlabel=_time_label(balance), ylabel="balance (E − I) / (E + I)", ylim=(-1.05, 1.05)
    )
    return ax


def spectrum(activity: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the power spectrum of each unit of activity (time, unit), and its peak.

    Constant units have none and are left out.

    Raises
    ------
    ValueError
        As `analysis.dominant_frequency`, or if there are other dims.
    """
    activity = _only(activity, "time", "unit")
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
    """Draw the frequency of ringing against the damping rate, a point a trace.

    Points left of the line at 0 grow, those on the line of 0 Hz are overdamped. Rates that
    are infinite, and constant traces, which have none, are left out.

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


def weight_norms(norms: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw norms (image, unit) against presentation, or a histogram of norms (unit).

    Against presentation, the median and the quartiles over units.

    Raises
    ------
    ValueError
        If the dims are not unit, or image and unit.
    """
    label = norms.attrs.get("long_name", "norm of the weights")
    if "image" in norms.dims:
        ax = _band(norms, "image", ax)
        ax.set(xlabel="presentation", ylabel=label)
        return ax
    norms = _only(norms, "unit")
    median = float(norms.median())
    ax = _histogram(norms, None, median, f"median {median:.3g}", ax)
    ax.set(xlabel=label)
    return ax


def sign_violations(violations: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the number of weights of the wrong sign against presentation, largest stated.

    Raises
    ------
    ValueError
        If there is no dim `image`.
    """
    ax = _lines(violations, "image", ax)
    largest = int(_present(violations).max())
    found = "0, at every presentation" if largest == 0 else f"up to {largest}"
    ax.set_title(f"weights of the wrong sign: {found}", fontsize="medium")
    ax.set(xlabel="presentation", ylabel="weights of the wrong sign")
    ax.set_ylim(-0.05 * max(largest, 1), 1.1 * max(largest, 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def receptive_field_similarity(similarity: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the cosines of matched receptive fields (unit), sorted, with their mean.

    Raises
    ------
    ValueError
        If the only dim is not unit.
    """
    values = np.sort(_present(_only(similarity, "unit")))[::-1]
    mean = float(values.mean())
    ax = ax or plt.subplots()[1]
    ax.plot(1 + np.arange(len(values)), values, "o-", color="0.2", ms=3, lw=1)
    ax.axhline(mean, ls="--", color="C3", lw=1, label=f"mean {mean:.3g}")
    ax.set(xlabel="matched units, sorted", ylabel="cosine of receptive fields")
    ax.set_ylim(min(0.0, float(values.min())) - 0.03, 1.03)
    ax.legend(frameon=False)
    return ax


def raster(
    activity: xr.DataArray,
    ax: Axes | None = None,
    *,
    order: xr.DataArray | Sequence[int] | None = None,
) -> Axes:
    """Draw rates r = max(h, 0) of activity (time, unit) as an image, a row a unit.

    Parameters
    ----------
    order
        Units to show, from the top. By default all: by the time at which each first wins,
        then those that never do.

    Raises
    ------
    ValueError
        If the dims are not time and unit, the samples are not equally far apart, or the
        order names an unknown unit.
    """
    activity = _only(activity, "time", "unit")
    time = activity["time"].values
    steps = np.diff(time)
    if not (len(steps) and steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.mean()):
        raise ValueError(
            "a raster needs two samples or more, equally far apart in time: select or "
            "interpolate such times"
        )
    if "unit" not in activity.coords:
        activity = activity.assign_coords(unit=np.arange(activity.sizes["unit"]))
    shown = _by_first_win(activity) if order is None else np.asarray(order)
    unknown = shown[~np.isin(shown, activity["unit"])]
    if not len(shown) or len(unknown):
        raise ValueError(
            f"order names {', '.join(map(str, unknown)) or 'no unit'}: give units of the "
            f"activity, {activity['unit'].values.min()} to {activity['unit'].values.max()}"
        )
    rates = activity.sel(unit=shown).clip(min=0)
    ax = ax or plt.subplots()[1]
    edges = (time[0] - steps[0] / 2, time[-1] + steps[0] / 2)
    image = ax.imshow(
        rates.T,
        aspect="auto",
        cmap="magma",
        vmin=0,
        interpolation="nearest",
        extent=(*edges, len(shown) + 0.5, 0.5),
    )
    ax.figure.colorbar(image, ax=ax, label="rate r")
    ax.set(xlabel=_time_label(activity), ylabel="units, in order")
    return ax


def phase_portrait(exc: xr.DataArray, inh: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the mean rate of one population against that of another, over time.

    Parameters
    ----------
    exc, inh
        Activity (time, unit) and (time, inh), or of any one other dim besides time.

    Raises
    ------
    ValueError
        If there are further dims, or the times differ.
    """
    rates = []
    for activity in (exc, inh):
        if activity.ndim != 2 or "time" not in activity.dims:
            raise ValueError(
                f"the array has dims {activity.dims}: time and one of units are needed, "
                "and no other (select one trial)"
            )
        others = set(activity.dims) - {"time"}
        rates.append(activity.clip(min=0).mean(others, skipna=False))
    if not np.array_equal(exc["time"], inh["time"]):
        raise ValueError(
            f"exc has {exc.sizes['time']} times, inh {inh.sizes['time']} or others: give "
            "both at the same times"
        )
    ax = ax or plt.subplots()[1]
    ax.plot(*rates, color="0.2", lw=1)
    for at, marker, label in ((0, "o", "start"), (-1, "s", "end")):
        point = [rate.values[at] for rate in rates]
        ax.plot(*[[value] for value in point], marker, color="C3", ms=6, label=label)
    ax.set(xlabel="mean rate of E", ylabel="mean rate of I")
    ax.legend(frameon=False)
    return ax


def _mosaic(fields: xr.DataArray, image_shape: tuple[int, ...]) -> NDArray:
    """Return fields (unit, pixel) side by side, a line of NaN between: (y, x, channel)."""
    num_units, num_pixels = fields.sizes["unit"], fields.sizes["pixel"]
    height, width, channels = (*image_shape, 1, 1, 1)[:3]
    fits = height * width * channels == num_pixels and channels in (1, 3)
    if len(image_shape) not in (2, 3) or not fits:
        raise ValueError(
            f"image_shape is {image_shape}: weights with {num_pixels} pixels need height x "
            "width x channels (1 or 3) of that product"
        )
    images = fields.transpose("unit", "pixel").values.reshape(-1, height, width, channels)
    columns = math.ceil(math.sqrt(num_units))
    rows = math.ceil(num_units / columns)
    mosaic = np.full((rows * (height + 1), columns * (width + 1), channels), np.nan)
    for unit, image in enumerate(images):
        top, left = (height + 1) * (unit // columns), (width + 1) * (unit % columns)
        mosaic[top : top + height, left : left + width] = image
    return mosaic[:-1, :-1]


def _by_first_win(activity: xr.DataArray) -> NDArray:
    """Return the units by the time of their first win, then those that never win."""
    won, first = np.unique(analysis.winners(activity), return_index=True)
    won = won[np.argsort(first)]
    units = activity["unit"].values
    won = won[~np.isnan(won) & (won != -1)].astype(units.dtype)
    return np.concatenate([won, units[~np.isin(units, won)]])


def _lines(array: xr.DataArray, dim: str, ax: Axes | None) -> Axes:
    """Draw lines along a dim; of several, all in gray and their mean."""
    if dim not in array.dims:
        raise ValueError(f"the array has dims {array.dims}, {dim} is needed too")
    lines = array.transpose(dim, ...).values.reshape(array.sizes[dim], -1)
    ax = ax or plt.subplots()[1]
    if lines.shape[1] > 1:
        ax.plot(array[dim], lines, color="0.75", lw=0.6)
    ax.plot(array[dim], lines.mean(1), color="0.2", lw=1.2)
    return ax


def _band(array: xr.DataArray, dim: str, ax: Axes | None) -> Axes:
    """Draw median and quartiles over units along a dim."""
    array = _only(array, dim, "unit")
    low, median, high = np.quantile(array, [0.25, 0.5, 0.75], axis=1)
    ax = ax or plt.subplots()[1]
    ax.fill_between(array[dim], low, high, color="0.8", lw=0, label="quartiles of units")
    ax.plot(array[dim], median, color="0.2", lw=1.2, label="median")
    ax.legend(frameon=False)
    return ax


def _histogram(
    array: xr.DataArray, edges: list[float] | None, mark: float, label: str, ax: Axes | None
) -> Axes:
    ax = ax or plt.subplots()[1]
    present = _present(array)
    bins = edges or min(50, math.ceil(math.sqrt(present.size)))
    ax.hist(present, bins=bins, color="0.6")
    if missing := array.size - present.size:
        label += f" (without {missing} missing)"
    ax.axvline(mark, ls="--", color="C3", lw=1, label=label)
    ax.set(ylabel="number")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax


def _present(array: xr.DataArray) -> NDArray:
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


def _only(array: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return the array with its dims in this order, if it has these alone."""
    if sorted(map(str, array.dims)) != sorted(dims):
        raise ValueError(
            f"the array has dims {array.dims}: {' and '.join(dims)} needed, and no other "
            "(select one trial)"
        )
    return array.transpose(*dims)


def _time_label(array: xr.DataArray) -> str:
    return f"time [{array['time'].attrs.get('units', 'ms')}]"
