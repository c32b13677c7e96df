"""How `faces` shows its results: a table, bars and receptive fields."""

from collections.abc import Mapping
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastpath.datasets import Images
from neurodyn import plots

COLORS = {
    "local rule": "C0",
    "back-propagation": "C3",
    "random weights": "0.6",
    "k-means": "C2",
    "pixels": "0.25",
}
CHANCE = "largest class"  # what saying the same of every image is worth


def table(result: xr.Dataset) -> str:
    """Return mean ± sd of the accuracy in percent, a line for each method."""
    sets = list(result["data"].values)
    lines = [f"{'':<18}" + "".join(f"{data:>22}" for data in sets)]
    for method in result["network"].values:
        values = accuracy(result).sel(network=method)
        entries = [entry(values.sel(data=data)) for data in sets]
        lines.append(f"{method:<18}" + "".join(f"{text:>22}" for text in entries))
    return "\n".join(lines)


def accuracy(result: xr.Dataset) -> xr.DataArray:
    """Return the accuracy in percent."""
    return 100 - result["error"]


def entry(values: xr.DataArray) -> str:
    """Return mean ± sd over the seeds."""
    mean = f"{float(values.mean()):.1f}"
    many = int(values.count()) > 1
    return f"{mean} ± {float(values.std(ddof=1)):.1f}" if many else mean


def draw(result: xr.Dataset, images: Mapping[str, Images], protocol: str) -> Figure:
    """Return, for each data set, bars of the accuracy above receptive fields.

    `images` are the data sets by their labels: their classes and the number of test images
    are named in the figure.
    """
    sets = list(result["data"].values)
    figure, axes = plt.subplots(
        2,
        len(sets),
        figsize=(3.2 * len(sets), 7.4),
        height_ratios=(1.15, 1),
        squeeze=False,
        layout="constrained",
    )
    for data, (bars, fields) in zip(sets, axes.T, strict=True):
        here = result.sel(data=data)
        draw_bars(bars, here, images[data])
        draw_fields(fields, here, images[data])
    axes[0, 0].set_ylabel("accuracy on the test set [%]")
    axes[1, 0].set_title("receptive fields, local rule", fontsize=9, loc="left")
    caption = (
        f"{protocol} Bars: mean; circles: seeds; grey band: ± 1 sd of so many test images."
    )
    figure.supxlabel(fill(caption, max(50, 46 * len(sets))), fontsize=8, color="0.3")
    return figure


def draw_bars(ax: Axes, result: xr.Dataset, images: Images) -> None:
    """Draw the mean accuracy of each method with each seed, from the largest class up."""
    values = accuracy(result)
    chance = float(values.sel(network=CHANCE).mean())
    methods = [method for method in COLORS if method in result["network"]]
    for place, method in enumerate(methods):
        seeds = values.sel(network=method).dropna("seed")
        mean = float(seeds.mean())
        ax.bar(place, mean, color=COLORS[method], width=0.75)
        ax.plot(np.full(seeds.size, place), seeds, "o", mfc="w", mec="k", ms=4)
        ax.annotate(
            f"{mean:.1f}", (place, max(mean, float(seeds.max()))), (0, 5),
            textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
    noise = 100 * np.sqrt(chance / 100 * (1 - chance / 100) / len(images.x_test))
    ax.axhspan(chance - noise, chance + noise, color="k", alpha=0.12, lw=0, zorder=0)
    ax.axhline(chance, color="k", ls="--", lw=1)
    ax.text(
        len(methods) - 0.55, chance, "largest class", fontsize=8, ha="right", va="bottom"
    )
    top = min(100.0, float(values.max()) + 5)
    ax.set(xlim=(-0.5, len(methods) - 0.5), ylim=(max(0.0, chance - 10), top))
    ax.set_xticks(range(len(methods)), methods, rotation=35, ha="right", fontsize=8)
    ax.set_title(title(str(result["data"].item()), images), fontsize=10)


def title(data: str, images: Images) -> str:
    """Return what a panel shows: the set, its classes, the number of test images."""
    classes = " or ".join(images.classes)
    if len(images.classes) > 2:
        classes = f"{len(images.classes)} classes"
    return f"{data}\n{classes}, {len(images.x_test)} test images"


def draw_fields(ax: Axes, result: xr.Dataset, images: Images) -> None:
    """Draw the receptive fields that were kept, each on its own scale."""
    if "fields" not in result:
        ax.set_axis_off()
        return
    fields = result["fields"].sel(network="local rule", seed=0).dropna("unit", how="all")
    plots.receptive_fields(fields[:, : images.num_pixels], images.shape, ax)
