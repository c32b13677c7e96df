"""The table, the figure and the animation of `diehl_cook`."""

import math
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neurodyn
from neurodyn import plots
from scenarios.diehl_cook.experiment import RANDOM, STDP
from scenarios.support import study
from scenarios.support.spikes import READOUTS
from scenarios.support.statistics import entry

COLORS = dict(zip(READOUTS, ("C0", "C2", "C1"), strict=True))
CELLS = "E cells"
# Of the sizes of networks, from the smallest; a fourth one looks like the first.
STYLES = (
    {STDP: "--s", RANDOM: "x"},
    {STDP: "-o", RANDOM: "+"},
    {STDP: "-.d", RANDOM: "*"},
)


def last(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return a measure after all images that a network has seen."""
    values = result[name]
    seen = values.notnull()
    index = (seen * np.arange(1, values.sizes["seen"] + 1)[_along(values)]).argmax("seen")
    return values.isel(seen=index)


def _along(values: xr.DataArray) -> Any:
    """Return an index that puts an array along the dim `seen`."""
    return tuple(slice(None) if dim == "seen" else None for dim in values.dims)


def table(result: xr.Dataset) -> str:
    """Return accuracy [%] by each readout (mean ± sd over seeds), and the cost."""
    lines = [f"{'':<44}" + "".join(f"{name:>18}" for name in READOUTS)]
    for network in (STDP, RANDOM):
        if network not in result["network"]:
            continue
        at = result.sel(network=network)
        for units in result["num_units"].values:
            for seen in result["seen"].values:
                row = at["accuracy"].sel(num_units=units, seen=seen)
                if row.isnull().all():
                    continue
                values = (entry(row.sel(readout=name).values) for name in READOUTS)
                label = f"{network}, {units} {CELLS}, {seen:,} images"
                lines.append(f"{label:<44}" + "".join(f"{each:>18}" for each in values))
    return "\n".join([*lines, "", *costs(result)])


def costs(result: xr.Dataset) -> list[str]:
    """Return lines with the speed of training and the number of synaptic events."""
    lines = []
    for units in result["num_units"].values:
        one = result.sel(network=STDP, num_units=units)
        shown, seconds = one["presentations"].values, one["train_seconds"].values
        lines.append(
            f"{units} {CELLS}: {entry(1e3 * seconds / shown)} ms for each presentation in "
            f"training, {entry(1e-3 * one['synaptic_events'].values / shown)} thousand "
            "synaptic events, "
            f"{entry(one['spikes'].values / shown)} spikes"
        )
    return lines


def draw(result: xr.Dataset) -> Figure:
    """Draw receptive fields, accuracy against images seen, and the confusion matrix."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(15, 5.4), layout="constrained"
    )
    units = int(result["num_units"].values[-1])
    fields = fields_of(result, units)
    plots.receptive_fields(fields.isel(snapshot=-1), side(fields), left)
    left.set_title(f"fields of {fields.sizes['unit']} of {units} cells")
    draw_accuracy(middle, result)
    confusion = last(result.sel(network=STDP, num_units=units), "confusion").sum("seed")
    plots.confusion(confusion.astype(int), right)
    right.set_title(f"vote of {units} cells, all seeds")
    study.caption(figure, result)
    return figure


def fields_of(result: xr.Dataset, units: int) -> xr.DataArray:
    """Return the receptive fields (snapshot, unit, pixel) of the first seed."""
    kept = result["fields"].sel(network=STDP, num_units=units).isel(seed=0)
    kept = kept.dropna("cell", how="all").dropna("snapshot", how="all")
    kept = kept.rename(cell="unit").transpose("snapshot", "unit", "pixel")
    return kept.assign_attrs(units="1", long_name="weights W")


def side(fields: xr.DataArray) -> tuple[int, int]:
    """Return height and width of square images."""
    length = math.isqrt(fields.sizes["pixel"])
    return length, length


def draw_accuracy(ax: Axes, result: xr.Dataset) -> None:
    """Draw accuracy against the number of images seen, with that of random weights."""
    for units, style in zip(result["num_units"].values, cycle(STYLES), strict=False):
        for network in (STDP, RANDOM):
            if network not in result["network"]:
                continue
            at = result["accuracy"].sel(num_units=units, network=network)
            for name in READOUTS:
                values = at.sel(readout=name).dropna("seen", how="all")
                values = values.dropna("seed", how="all")
                ax.errorbar(
                    values["seen"],
                    values.mean("seed"),
                    values.std("seed", ddof=min(1, values.sizes["seed"] - 1)),
                    fmt=style[network],
                    color=COLORS[name],
                    label=f"{name}, {units} {CELLS}" if network == STDP else None,
                    ms=5,
                )
    seen = [int(number) for number in result["seen"].values]
    ax.set_xscale("log")
    ax.set_xticks(seen, [f"{number:,}" for number in seen], rotation=30, fontsize=8)
    ax.xaxis.minorticks_off()
    ax.set_xlabel("training images seen")
    ax.set_ylabel("test accuracy [%]")
    ax.set_title("accuracy; without lines: random weights")
    ax.legend(fontsize=8, handlelength=4)


def movie(result: xr.Dataset, path: Path) -> Path:
    """Write the forming of receptive fields to an animated GIF."""
    fields = fields_of(result, int(result["num_units"].values[-1]))
    return neurodyn.animation.weight_evolution(
        fields, side(fields), path, frames_per_second=2.0
    )
