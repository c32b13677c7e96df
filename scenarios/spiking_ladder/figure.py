"""The tables and the figure of `spiking_ladder`."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.spiking_ladder.parts import FIRST, KNOBS, MOST, TOP_3
from scenarios.spiking_ladder.weights import LEARNED, RANDOM
from scenarios.support import study
from scenarios.support.spikes import READOUTS
from scenarios.support.statistics import entry

LABELS = {
    "rate_hz": "rate of a white pixel [Hz]",
    "image_ms": "presentation time [ms]",
    "w_ie": "inhibition w_ie",
    "noise_mv": "noise of cells [mV]",
}
DEFAULTS = {"rate_hz": 63.75, "image_ms": 350.0, "w_ie": 17.0, "noise_mv": 0.0}
LEVELS = ["spiking, STDP", "spiking, frozen", "circuit, T = 100 τ"]
LEVELS += ["equilibrium", "ranking"]  # from the lowest level
SHARES = {FIRST: "C0", TOP_3: "C2", MOST: "C1"}


def part(result: xr.Dataset, name: str, network: str, dim: str) -> xr.Dataset:
    """Return the results of a part, of the size of network that has them."""
    found = result.sel(part=name, network=network)
    return found.dropna("num_units", how="all", subset=[dim]).isel(num_units=0)


def table(result: xr.Dataset) -> str:
    """Return all measures, mean ± sd over seeds."""
    return "\n\n".join(
        "\n".join(lines)
        for lines in (winners(result), changes(result), transfer(result), costs(result))
    )


def winners(result: xr.Dataset) -> list[str]:
    """Return the share of images in which the cell of the largest drive fires first."""
    at = part(result, "Winners", LEARNED, FIRST)
    names = (*SHARES, "spikes per image")
    lines = [
        f"{'share of images: cell of the largest drive':<44}"
        + "".join(f"{name[-19:]:>22}" for name in names)
    ]
    for setting in at["setting"].values:
        values = (entry(at[name].sel(setting=setting).values) for name in names)
        lines.append(f"{setting:<44}" + "".join(f"{value:>22}" for value in values))
    return lines


def changes(result: xr.Dataset) -> list[str]:
    """Return the cosines of weight changes."""
    at = part(result, "Changes", LEARNED, "cosine")
    lines = [
        f"{'cosine of one weight change (shuffled images)':<50}"
        + "".join(f"{rule:>32}" for rule in at["rule"].values)
    ]
    for change in at["change"].values:
        row = f"{change:<50}"
        for rule in at["rule"].values:
            same, shuffled = (
                entry(at[name].sel(change=change, rule=rule).values)
                for name in ("cosine", "shuffled_cosine")
            )
            row += f"{f'{same} ({shuffled})':>32}"
        lines.append(row)
    return lines


def transfer(result: xr.Dataset) -> list[str]:
    """Return the accuracy of weights in spikes and in `fastpath` [%]."""
    names = ("fastpath", *READOUTS)
    lines = [f"{'accuracy [%]':<30}" + "".join(f"{name:>20}" for name in names)]
    for network in (LEARNED, RANDOM):
        at = part(result, "Transfer", network, "accuracy")
        values = [at["fastpath_accuracy"].values]
        values += [at["accuracy"].sel(readout=name).values for name in READOUTS]
        lines.append(f"{network:<30}" + "".join(f"{entry(each):>20}" for each in values))
    return lines


def costs(result: xr.Dataset) -> list[str]:
    """Return the time of each level for an image."""
    at = part(result, "Cost", LEARNED, "level_ms")
    lines = [f"{'level':<30}{'ms per image':>20}"]
    return lines + [
        f"{level:<30}{float(at['level_ms'].sel(level=level).mean()):>20.3g}"
        for level in LEVELS
    ]


def draw(result: xr.Dataset) -> Figure:
    """Draw who fires first, what is learned, and accuracy."""
    knobs = [knob for knob in KNOBS if f"{knob} {KNOBS[knob][0]:g}" in settings(result)]
    figure = plt.figure(figsize=(15, 7.2), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1)
    places = upper.subgridspec(1, len(knobs))
    for column, knob in enumerate(knobs):
        draw_knob(figure.add_subplot(places[0, column]), result, knob)
    first = figure.axes[0]
    first.set_ylabel("share of images: the cell\nof the largest drive")
    first.legend(fontsize=8)
    places = lower.subgridspec(1, 3)
    for column, draw_part in enumerate((draw_changes, draw_transfer, draw_costs)):
        draw_part(figure.add_subplot(places[0, column]), result)
    study.caption(figure, result)
    return figure


def settings(result: xr.Dataset) -> list[str]:
    """Return the settings of the winners that are on record."""
    return [str(name) for name in result["setting"].values]


def draw_knob(ax: Axes, result: xr.Dataset, knob: str) -> None:
    """Draw the shares against the values of one knob."""
    at = part(result, "Winners", LEARNED, FIRST)
    names = [f"{knob} {value:g}" for value in KNOBS[knob]]
    for share, color in SHARES.items():
        values = at[share].sel(setting=names)
        mean, sd = mean_sd(values)
        ax.errorbar(KNOBS[knob], mean, sd, fmt="o-", ms=4, color=color, label=share)
    ax.axvline(DEFAULTS[knob], color="0.8", zorder=0)
    if knob in ("rate_hz", "image_ms"):
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=-0.1)
    ax.set_xticks(KNOBS[knob], [f"{value:.4g}" for value in KNOBS[knob]], fontsize=8)
    ax.xaxis.minorticks_off()
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(LABELS[knob])


def mean_sd(values: xr.DataArray) -> tuple[Any, Any]:
    """Return mean and standard deviation over seeds, 0 for one seed."""
    kept = values.dropna("seed", how="all")
    return kept.mean("seed"), kept.std("seed", ddof=min(1, kept.sizes["seed"] - 1))


def draw_changes(ax: Axes, result: xr.Dataset) -> None:
    """Draw the cosines of weight changes, and those of shuffled images."""
    at = part(result, "Changes", LEARNED, "cosine")
    rules = list(at["rule"].values)
    place = np.arange(len(rules))
    for shift, change in zip((-0.2, 0.2), at["change"].values, strict=True):
        mean, sd = mean_sd(at["cosine"].sel(change=change))
        ax.bar(place + shift, mean, 0.38, yerr=sd, capsize=3, label=change)
        shuffled, _ = mean_sd(at["shuffled_cosine"].sel(change=change))
        ax.bar(place + shift, shuffled, 0.38, color="0.6")
    ax.bar([0], [0], color="0.6", label="of shuffled images")
    ax.set_xticks(place, rules)
    ax.set_ylabel("cosine with ΔW of eq. 3")
    ax.set_ylim(top=1)
    ax.legend(fontsize=8, loc="upper left")


def draw_transfer(ax: Axes, result: xr.Dataset) -> None:
    """Draw the accuracy of the same weights in `fastpath` and in spikes."""
    names = ("fastpath", *READOUTS)
    for shift, network, color in ((-0.2, LEARNED, "C0"), (0.2, RANDOM, "0.6")):
        at = part(result, "Transfer", network, "accuracy")
        values = [at["fastpath_accuracy"]]
        values += [at["accuracy"].sel(readout=name) for name in READOUTS]
        means, sds = zip(*(map(float, mean_sd(each)) for each in values), strict=True)
        label = "trained weights" if network == LEARNED else network
        ax.bar(
            np.arange(len(names)) + shift, means, 0.38, yerr=sds, color=color, label=label
        )
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_ylim(0, 118)
    ax.set_yticks(range(0, 101, 20))
    ax.set_ylabel("test accuracy [%]")
    ax.legend(fontsize=8, loc="upper right", ncols=2)


def draw_costs(ax: Axes, result: xr.Dataset) -> None:
    """Draw the time of each level for an image."""
    at = part(result, "Cost", LEARNED, "level_ms")
    values = at["level_ms"].mean("seed").sel(level=LEVELS)
    ax.barh(np.arange(len(LEVELS)), values, color="C0")
    ax.set_yticks(np.arange(len(LEVELS)), LEVELS)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel("ms per image")
