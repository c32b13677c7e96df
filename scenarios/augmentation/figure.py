"""The table and the figure of `augmentation`."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.support import study
from scenarios.support.searches import Found
from scenarios.support.statistics import entry, sd

# The magnitudes that a probability of 0 leaves without effect.
MAGNITUDES = {
    "affine": ("rotate", "zoom", "shear"),
    "jitter": ("contrast", "brightness"),
    "erase": ("erase_size",),
}
# The networks and their colours: what is augmented, and by what its policy was scored.
COLORS = {
    "none": "0.2",
    "features (rotation)": "C0",
    "features (labels)": "C9",
    "readout (labels)": "C1",
    "both (rotation)": "C4",
    "both (labels)": "C6",
    "random weights, none": "0.6",
    "random weights, readout (labels)": "0.8",
}


def table(result: xr.Dataset, found: Mapping[str, Found]) -> str:
    """Return tables of errors in percent (mean ± sd), and of the policies found."""
    sets = [str(name) for name in result["data"].values]
    lines = []
    for name, title in (("error", "test error"), ("train_error", "training error")):
        lines.append(f"{title + ' [%]':<34}" + "".join(f"{data:>17}" for data in sets))
        for network in COLORS:
            if network not in result["network"]:
                continue
            values = result[name].sel(network=network).max("num_units")
            entries = [entry(values.sel(data=data).values) for data in sets]
            lines.append(f"{network:<34}" + "".join(f"{text:>17}" for text in entries))
        lines.append("")
    lines.append("-: no policy was better than none\n")
    for name, each in found.items():
        policy = ", ".join(f"{k} {v:.2g}" for k, v in drawn(each["best"]).items()) or "none"
        held_out = f"{each['error']:.2f} % held-out, without {each['defaults']:.2f} %"
        lines.append(f"{name}: {held_out}; {policy}")
    return "\n".join(lines)


def drawn(settings: Mapping[str, Any]) -> dict[str, float]:
    """Return probabilities and magnitudes of the changes that a policy makes."""
    policy = {
        key.removeprefix("augment_"): value
        for key, value in settings.items()
        if key.startswith("augment_") and not isinstance(value, str)
    }
    for probability, names in MAGNITUDES.items():
        if not policy.get(probability, 1):
            for name in names:
                policy.pop(name, None)
    return {name: value for name, value in policy.items() if value}


def logarithmic(ax: Axes) -> None:
    """Make x logarithmic: one policy multiplies the error, another hardly changes it."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ticks = np.geomspace(low, high, 7)[1:-1].round(1)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def draw(result: xr.Dataset) -> Figure:
    """Draw test errors, and crosses for training errors, a panel a data set."""
    sets = [str(name) for name in result["data"].values]
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(1.5 + 3.2 * len(sets), 4.6),
        squeeze=False,
        layout="constrained",
    )
    networks = [name for name in COLORS if name in result["network"]]
    for ax, data in zip(axes[0], sets, strict=True):
        for y, network in enumerate(networks):
            here = result.sel(data=data, network=network).max("num_units")
            error, color = here["error"], COLORS[network]
            if error.isnull().all():  # its policy was none
                continue
            ax.errorbar(error.mean(), y, xerr=sd(error), fmt="o", color=color, ms=7)
            ax.plot(error, np.full(error.size, y), "|", color=color, ms=9)
            ax.plot(here["train_error"].mean(), y, "x", color=color, ms=7)
        base = result["error"].sel(data=data, network="none").max("num_units").mean()
        ax.axvline(float(base), color="0.2", lw=0.8, ls=":")
        ax.set_yticks(range(len(networks)), networks if ax is axes[0, 0] else [])
        ax.set_ylim(len(networks) - 0.5, -0.5)
        if all(
            (result[name].sel(data=data) != 0).all() for name in ("error", "train_error")
        ):
            logarithmic(ax)
        ax.set_title(data)
        ax.set_xlabel("error [%], test (dots), training (crosses)")
    study.caption(figure, result)
    return figure
