"""The table and the figure of `joint_search`."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from scenarios.support import study
from scenarios.support.searches import Found
from scenarios.support.statistics import entry

COLORS = {
    "its own search": "C0",
    "search over all": "C4",
    "defaults": "C2",
    "published search": "C1",
    "random weights": "0.6",
    "back-propagation": "C3",
}


def table(result: xr.Dataset, found: Mapping[str, Found]) -> str:
    """Return a table of test errors in percent (mean ± sd), and of the searches."""
    sets = [str(name) for name in result["data"].values]
    head = [*sets, "mean"]
    lines = [f"{'test error [%]':<20}" + "".join(f"{name:>17}" for name in head)]
    for method in COLORS:
        if method not in result["network"]:
            continue
        errors = errors_of(result, method)
        entries = [entry(errors.sel(data=name).values) for name in sets]
        entries.append(entry(errors.mean("data", skipna=False).values))
        lines.append(f"{method:<20}" + "".join(f"{text:>17}" for text in entries))
    lines += ["", "held-out error [%]       best   defaults   complete trials   core hours"]
    for name, each in found.items():
        lines.append(
            f"{name:<20}{each['error']:>9.2f}{each['defaults']:>11.2f}"
            f"{each['complete']:>18}{each['core_hours']:>13.1f}"
        )
    return "\n".join(lines)


def errors_of(result: xr.Dataset, method: str) -> xr.DataArray:
    """Return the test errors of a method, (data, seed)."""
    return result["error"].sel(network=method).max("num_units")


def draw(result: xr.Dataset, found: Mapping[str, Found]) -> Figure:
    """Draw test errors by data set above the importances of the settings."""
    sets = [str(name) for name in result["data"].values]
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9, 7), height_ratios=(1.3, 1), layout="constrained"
    )
    methods = [method for method in COLORS if method in result["network"]]
    width = 0.8 / len(methods)
    for i, method in enumerate(methods):
        errors = errors_of(result, method)
        mean = errors.mean("seed").sel(data=sets).values
        at = np.arange(len(sets)) + (i - (len(methods) - 1) / 2) * width
        top.bar(at, mean, width, color=COLORS[method], label=method)
        for seed in errors["seed"].values:
            points = errors.sel(seed=seed, data=sets).values
            top.plot(at, points, "o", mfc="w", mec="k", ms=3)
        for x, value in zip(at, mean, strict=True):
            top.text(x, value, f"{value:.1f}", ha="center", va="bottom", fontsize=7)
    top.set_xticks(range(len(sets)), sets)
    top.set(yscale="log", ylabel="test error [%]")
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside upper center", ncols=6, fontsize=8)
    _importances(bottom, found)
    study.caption(figure, result)
    return figure


def _importances(ax: plt.Axes, found: Mapping[str, Found]) -> None:
    """Draw how important each setting was in each search, as bars."""
    names = sorted({name for each in found.values() for name in each["importances"]})
    if not names:
        ax.axis("off")
        return
    mean = {n: np.mean([e["importances"].get(n, 0) for e in found.values()]) for n in names}
    names.sort(key=lambda name: -mean[name])
    width = 0.8 / len(found)
    for i, (search, each) in enumerate(found.items()):
        at = np.arange(len(names)) + (i - (len(found) - 1) / 2) * width
        values = [each["importances"].get(name, 0) for name in names]
        color = COLORS["search over all"] if search == "all at once" else f"C{5 + i}"
        ax.bar(at, values, width, label=search, color=color)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    ax.set_ylabel("importance (PED-ANOVA)")
    ax.legend(fontsize=8, title="search on", title_fontsize=8)
