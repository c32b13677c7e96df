"""The table and the figure of `faces`."""

from collections.abc import Mapping
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastpath.data.datasets import Images
from neurodyn import plots
from scenarios.support.statistics import entry

COLORS = {
    "local rule": "C0",
    "back-propagation": "C3",
    "random weights": "0.6",
    "k-means": "C2",
    "pixels": "0.25",
}
CHANCE = "largest class"  # the accuracy of assigning every image to one class


def table(result: xr.Dataset) -> str:
    """Return a table of accuracies in percent (mean ± sd), a line for each method."""
    sets = list(result["data"].values)
    lines = [f"{'':<18}" + "".join(f"{data:>22}" for data in sets)]
    for method in result["network"].values:
        values = accuracy(result).sel(network=method)
        entries = [entry(values.sel(data=data).values) for data in sets]
        lines.append(f"{method:<18}" + "".join(f"{text:>22}" for text in entries))
    return "\n".join(lines)


def accuracy(result: xr.Dataset) -> xr.DataArray:
    """Return the accuracy in percent."""
    return 100 - result["error"]


def draw(result: xr.Dataset, images: Mapping[str, Images], protocol: str) -> Figure:
    """Draw bars of the accuracy above receptive fields, a column for each data set.

    `images` are the data sets by label; titles name their classes and numbers of images.
    """
    sets = list(result["data"].values)
    rows = 2 if any(kept_fields(result.sel(data=data)).size for data in sets) else 1
    figure, axes = plt.subplots(
        rows,
        len(sets),
        figsize=(1 + 3 * len(sets), 0.6 + 3.3 * rows),
        height_ratios=(1.2, 1)[:rows],
        squeeze=False,
        layout="constrained",
    )
    for data, column in zip(sets, axes.T, strict=True):
        here = result.sel(data=data)
        draw_bars(column[0], here, images[data])
        column[0].set_ylim(*limits(accuracy(result)))
        if rows > 1:
            draw_fields(column[1], here, images[data])
    axes[0, 0].set_ylabel("accuracy on the test set [%]")
    axes[0, 0].legend(fontsize=8, loc="upper right", frameon=False)
    if rows > 1:
        title = "fields of the first units, local rule"
        axes[1, 0].set_title(title, fontsize=9, loc="left")
    text = f"{protocol} Bars: mean; circles: seeds; gray band: ± 1 sd of so many answers."
    wrapped = fill(text, int(17 * figure.get_figwidth()))
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=7)
    return figure


def limits(values: xr.DataArray) -> tuple[float, float]:
    """Return one range of accuracies for all panels, so that bars can be compared."""
    low, high = float(values.min()), float(values.max())
    margin = 0.15 * (high - low) + 1
    return max(0.0, low - margin), min(105.0, high + 2 * margin)


def draw_bars(ax: Axes, result: xr.Dataset, images: Images) -> None:
    """Draw the accuracy of each method, mean and seeds, and that of the largest class."""
    values = accuracy(result)
    methods = [method for method in COLORS if method in result["network"]]
    for x, method in enumerate(methods):
        seeds = values.sel(network=method).dropna("seed")
        mean = float(seeds.mean())
        ax.bar(x, mean, color=COLORS[method], width=0.75)
        ax.plot(np.full(seeds.size, x), seeds, "o", mfc="w", mec="k", ms=4)
        ax.annotate(
            f"{mean:.1f}",
            (x, max(mean, float(seeds.max()))),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    chance = float(values.sel(network=CHANCE).mean())
    noise = 100 * np.sqrt(chance / 100 * (1 - chance / 100) / len(images.x_test))
    ax.axhspan(chance - noise, chance + noise, color="k", alpha=0.15, lw=0)
    ax.axhline(chance, color="k", ls="--", lw=1, label=f"always the {CHANCE}")
    ax.set_xticks(range(len(methods)), methods, rotation=35, ha="right", fontsize=8)
    ax.set_title(title(images), fontsize=10)


def title(images: Images) -> str:
    """Return the title of a panel: classes, colours, data set, number of test images."""
    many = len(images.classes) > 2
    classes = f"{len(images.classes)} classes" if many else " or ".join(images.classes)
    colours = "gray" if images.shape[2] == 1 else "colour"
    return f"{classes}, {colours}\n({images.name}, {len(images.x_test)} test images)"


def draw_fields(ax: Axes, result: xr.Dataset, images: Images) -> None:
    """Draw the receptive fields on record, each on its own scale."""
    fields = kept_fields(result)
    if not fields.size:
        ax.axis("off")
        return
    plots.receptive_fields(fields[:, : images.num_pixels], images.shape, ax)


def kept_fields(result: xr.Dataset) -> xr.DataArray:
    """Return the receptive fields of the local rule on record, maybe none."""
    if "fields" not in result or "local rule" not in result["network"]:
        return xr.DataArray(np.zeros((0, 0)), dims=("unit", "pixel"))
    fields = result["fields"].sel(network="local rule", seed=0)
    return fields.dropna("unit", how="all")
