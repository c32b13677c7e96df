"""Plots of spike trains, spike counts and what is read out from them."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from neurodyn import analysis
from neurodyn.analysis.checks import need_dims, need_spikes
from neurodyn.plots import drawing

COLORS = {"input": "0.5", "exc": "C3", "inh": "C0"}  # from the bottom of a raster
MOST_NUMBERS = 20  # classes whose confusions are printed as numbers


def spike_raster(spikes: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw spike times (spike), one row per cell and one block per population.

    Blocks reach to the last cell that fires. Cells are numbered within their population.

    Raises
    ------
    ValueError
        If there are other dims, a coordinate of the spikes is missing, or a time is not
        finite.
    """
    need_spikes(spikes)
    ax = ax or plt.subplots()[1]
    populations = spikes["spike_population"].values.astype(str)
    names = [name for name in COLORS if name in populations]
    names += sorted(set(populations) - set(COLORS))
    blocks = [spikes[populations == name] for name in names]
    heights = [int(block["spike_unit"].max()) + 1 for block in blocks]
    size = np.clip(300 / max(sum(heights), 1), 2, 8)  # points; the axes have about 300
    ticks, bottom = {}, 0
    for name, block, height in zip(names, blocks, heights, strict=True):
        color, rows = COLORS.get(name), bottom + block["spike_unit"].values
        ax.plot(block.values, rows, "|", color=color, ms=size, mew=0.8, label=name)
        ax.axhline(bottom - 0.5, color="0.8", lw=0.6, zorder=0)
        ticks[bottom + (height - 1) / 2] = f"0–{height - 1}" if height > 1 else "0"
        bottom += height
    if not names:
        ax.plot([], [], "|", color="0.2", label="no spikes")
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="time [ms]", ylabel="cells of each population")
    ax.set_ylim(-0.5, max(bottom, 1) - 0.5)
    legend = ax.legend(loc="upper left", frameon=False, reverse=True, markerscale=8 / size)
    legend.set_bbox_to_anchor((1, 1))  # beside the axes
    return ax


def firing_rates(rates: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the cells' mean firing rates, from rates (image, unit) or (unit).

    With the mean over cells as a dashed line.

    Raises
    ------
    ValueError
        If there is no dim `unit`, or no rate is finite.
    """
    need_dims(rates, "unit")
    others = [dim for dim in rates.dims if dim != "unit"]
    rates = rates.mean(others, skipna=False)
    mean = float(drawing.present(rates).mean())
    ax = drawing.histogram(rates, None, mean, f"mean {mean:.3g} Hz", ax)
    ax.set(xlabel="firing rate [Hz]", ylabel="number of cells")
    return ax


def smooth_rate(rate: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the smoothed firing rate (time) against time; of several also their mean."""
    ax = drawing.lines(rate, "time", ax)
    ax.set(xlabel=drawing.time_label(rate), ylabel="firing rate of a cell [Hz]")
    ax.set_ylim(bottom=0)
    return ax


def intervals(intervals: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of inter-spike intervals [ms], with their mean as a dashed line.

    The label has the coefficient of variation of all intervals together. It exceeds those
    of single cells (`analysis.cv`) if the cells fire at different rates.

    Raises
    ------
    ValueError
        If no interval is finite.
    """
    values = drawing.present(intervals)
    mean = float(values.mean())
    label = f"mean {mean:.3g} ms"
    if len(values) > 1:
        label += f", CV {values.std(ddof=1) / mean:.2f}"
    ax = drawing.histogram(intervals, None, mean, label, ax)
    ax.set(xlabel="interval between spikes [ms]")
    return ax


def fano_factor(counts: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the variance of each cell's count over images against its mean.

    With the line of a Poisson distribution, variance = mean.

    Parameters
    ----------
    counts
        Spikes of each cell in each presentation (image, unit).

    Raises
    ------
    ValueError
        As `analysis.fano_factor`, or if no cell fires.
    """
    counts = drawing.only(counts, "image", "unit")
    factor = analysis.fano_factor(counts)
    median = np.median(drawing.present(factor))
    mean = counts.mean("image", skipna=False)
    ax = ax or plt.subplots()[1]
    label = f"cells, median Fano factor {median:.3g}"
    ax.plot(mean, factor * mean, "o", color="0.2", ms=4, alpha=0.6, label=label)
    end = float(mean.max()) * 1.05
    ax.plot([0, end], [0, end], "--", color="C3", lw=1, label="Poisson")
    ax.set(xlabel="mean count", ylabel="variance of the count")
    ax.set_xlim(0, end)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def pairwise_correlation(correlation: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the correlations (unit, unit_) of all pairs, with their mean.

    Raises
    ------
    ValueError
        If there are other dims, or no correlation of two cells is finite.
    """
    matrix = drawing.only(correlation, "unit", "unit_").values
    pairs = xr.DataArray(matrix[np.triu_indices(len(matrix), k=1)], dims="pair")
    mean = float(drawing.present(pairs).mean())
    ax = drawing.histogram(pairs, None, mean, f"mean {mean:.3g}", ax)
    ax.set(xlabel="correlation of spike counts", ylabel="number of pairs")
    return ax


def confusion(matrix: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix (label, predicted), in percent of each label's images.

    Colours rise with the root of the percentage, so that rare errors are visible too. With
    up to 20 classes the percentages are printed. The column "none" is drawn if there are
    images without a prediction.

    Parameters
    ----------
    matrix
        Numbers of images, of `analysis.confusion_matrix`.

    Raises
    ------
    ValueError
        If there are other dims.
    """
    matrix = drawing.only(matrix, "label", "predicted")
    shown = matrix if matrix.sel(predicted=-1).any() else matrix.drop_sel(predicted=-1)
    percent = (100 * shown / matrix.sum("predicted").clip(min=1)).values
    ax = ax or plt.subplots()[1]
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    image = ax.imshow(percent, cmap="Blues", norm=norm, origin="upper", aspect="equal")
    ax.figure.colorbar(image, ax=ax, label="images of the label [%]", shrink=0.8)
    if len(percent) <= MOST_NUMBERS:
        names = [str(name) if name >= 0 else "none" for name in shown["predicted"].values]
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(len(percent)), matrix["label"].values)
        for (row, column), share in np.ndenumerate(percent):
            if share >= 0.5:
                color = "white" if share > 35 else "0.2"
                at = {"ha": "center", "va": "center", "fontsize": "small"}
                ax.text(column, row, f"{share:.0f}", color=color, **at)
    ax.set(xlabel="predicted class", ylabel="label")
    return ax
