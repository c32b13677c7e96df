"""The table and the figure of `inhibition_learns`."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.support import study
from scenarios.support.statistics import entry

MEASURES = {
    "correlation": "|correlation| of rates",
    "drive_correlation": "|correlation| of drives",
    "dimension": "dimension of rates",
    "nearest": "cos of a field with the nearest",
    "changed": "share of fields that changed",
    "balance": "correlation of drive and inhibition",
    "active": "share of cells active",
}
DRAWN = ("correlation", "dimension", "nearest", "changed", "balance")


def table(result: xr.Dataset, networks: Sequence[str]) -> str:
    """Return the measures (mean ± sd over seeds), a line for each."""
    names = [name for name in networks if name in result["network"]]
    lines = [f"{'':<36}" + "".join(f"{name:>20}" for name in names)]
    for measure, label in MEASURES.items():
        values = (result[measure].sel(network=name).values for name in names)
        entries = "".join(f"{entry(each.ravel()):>20}" for each in values)
        lines.append(f"{label:<36}{entries}")
    return "\n".join(lines)


def draw(result: xr.Dataset, networks: Sequence[str]) -> Figure:
    """Draw receptive fields of the first seed, and the measures of all."""
    names = [name for name in networks if name in result["network"]]
    figure = plt.figure(figsize=(3 * len(names), 6.2), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    above, below = halves
    first = result.isel(seed=0)
    for ax, name in zip(above.subplots(1, len(names)), names, strict=True):
        draw_fields(ax, first["fields"].sel(network=name).dropna("unit").values)
        ax.set_title(name, fontsize=10)
    for ax, measure in zip(below.subplots(1, len(DRAWN)), DRAWN, strict=True):
        draw_measure(ax, result, names, measure)
        if measure != DRAWN[0]:
            ax.set_yticklabels([])
    study.caption(figure, result)
    return figure


def draw_fields(ax: Axes, fields: np.ndarray) -> None:
    """Draw all fields (unit, pixel), each at its own scale: red ON, blue OFF."""
    side, columns = math.isqrt(fields.shape[1]), math.ceil(math.sqrt(len(fields)))
    rows = -(-len(fields) // columns)
    page = np.full((rows * (side + 1), columns * (side + 1)), np.nan)
    for number, field in enumerate(fields):
        top, left = (side + 1) * np.array(divmod(number, columns))
        page[top : top + side, left : left + side] = field.reshape(side, side) / (
            abs(field).max() or 1.0
        )
    # Interpolated, the picture would take three times the bytes.
    ax.imshow(page, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.axis("off")


def draw_measure(ax: Axes, result: xr.Dataset, names: Sequence[str], measure: str) -> None:
    """Draw mean ± sd over seeds, a bar for each network."""
    values = [result[measure].sel(network=name).values.ravel() for name in names]
    values = [each[np.isfinite(each)] for each in values]
    ax.barh(
        range(len(names)),
        [each.mean() for each in values],
        xerr=[each.std(ddof=1) if len(each) > 1 else 0 for each in values],
        color=["0.6" if name == "random fields" else "C0" for name in names],
        capsize=3,
    )
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_title(MEASURES[measure], fontsize=9)
    if measure == "dimension":
        ax.set_xlim(left=0)
