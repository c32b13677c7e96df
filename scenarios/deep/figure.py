"""The figure of the study: a panel for each question, four for robustness."""

import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scenarios.deep import tables
from scenarios.deep.plan import (
    BACKPROP,
    BRIEF,
    FIRST,
    KMEANS,
    LEARNED,
    PATCHES,
    RANDOM,
)
from scenarios.deep.robust import DESCRIBED, STRENGTHS
from scenarios.support import study
from scenarios.support.statistics import sd

MARKERS = {"": "o", "mirror mean": "s", "mirror images drawn": "^"}
COLORS = {
    LEARNED: "C0",
    FIRST: "C9",
    RANDOM: "0.6",
    KMEANS: "C2",
    PATCHES: "C1",
    BACKPROP: "C3",
    BRIEF: "C4",
}


def draw(result: xr.Dataset) -> Figure:
    """Draw what is on record of each question."""
    figure = plt.figure(figsize=(12, 13), layout="constrained")
    parts = np.asarray(figure.subfigures(3, 1, height_ratios=(1, 1.25, 0.85)))
    top, middle, bottom = parts.tolist()
    panels: list[tuple[Axes, str, Callable[[Axes, xr.Dataset, str], None]]] = [
        *zip(top.subplots(1, 2), ("records", "faces"), (points, points), strict=True),
        *zip(
            middle.subplots(1, 3, width_ratios=(1.6, 1, 1)),
            ("ablation", "layers", "dale"),
            (gains, by_layer, gains),
            strict=True,
        ),
    ]
    for ax, question, panel in panels:
        if tables.data_of(result, question):
            panel(ax, result, question)
        else:
            ax.axis("off")
    for ax, name in zip(
        bottom.subplots(1, len(STRENGTHS), sharey=True), STRENGTHS, strict=True
    ):
        if tables.data_of(result, "layers"):
            robustness(ax, result, name)
        else:
            ax.axis("off")
    study.caption(figure, result)
    return figure


def last(result: xr.Dataset) -> tuple[str, np.ndarray]:
    """Return the last view of a network, and its accuracies in percent."""
    name, seen = list(tables.views_of(result))[-1]
    return name, 100 - np.atleast_1d(seen["error"].values)


def points(ax: Axes, result: xr.Dataset, question: str) -> None:
    """Draw the accuracy of each network on each data set, as its last view sees it."""
    sets = tables.data_of(result, question)
    networks = {data: tables.networks_of(result, question, data) for data in sets}
    names = list(dict.fromkeys(name for data in sets for name in networks[data]))
    for x, data in enumerate(sets):
        first = tables.of(result, question, data, networks[data][0])
        reference = tables.PUBLISHED.get(data)
        if question == "faces":
            reference = float(first["largest_class"].mean())
        for name in networks[data]:
            _, found = last(tables.of(result, question, data, name))
            at = x + 0.8 * ((names.index(name) + 0.5) / len(names) - 0.5)
            style = styled(name)
            below = reference is not None and found.mean() < reference
            ax.plot(np.full(len(found), at), found, **style, mfc="w", ms=3)
            ax.plot(at, found.mean(), **style, ms=6)
            ax.annotate(
                f"{found.mean():.1f}",
                (at, found.min() if below else found.max()),
                # Off the line, and above the point if others are beside it.
                (0, 6) if len(names) > 2 else (6, -8 if below else 2),
                textcoords="offset points",
                ha="center" if len(names) > 2 else "left",
                fontsize=6,
            )
        if reference is not None:
            ax.plot([x - 0.45, x + 0.45], [reference] * 2, "k--", lw=1)
    for name in names:
        ax.plot([], [], **styled(name), label=name)
    line = "largest class" if question == "faces" else "published, local rules"
    ax.plot([], [], "k--", lw=1, label=line)
    ax.set_xticks(range(len(sets)), sets)
    ax.set_xlim(-0.5, len(sets) - 0.5)
    low, high = limits(ax)
    ax.set_ylim(low, high)  # room for the legend above 100 %
    ax.set_yticks([y for y in ax.get_yticks() if low <= y <= 100])
    ax.set_ylabel("accuracy on the test set [%]")
    ax.set_title(f"{question}, read from all layers")
    ax.legend(fontsize=7, frameon=False, ncols=3, loc="upper left")


def styled(network: str) -> dict[str, Any]:
    """Return the color of a kind of filters, and a square where its number is another."""
    kind, *settings = network.split(", ")
    return {"color": COLORS[kind], "marker": "s" if settings else "o", "ls": ""}


def limits(ax: Axes) -> tuple[float, float]:
    """Return a range from below the lowest point to above the highest, for a legend."""
    heights = [y for line in ax.lines for y in np.atleast_1d(line.get_ydata())]
    low, high = min(heights), max(heights)
    margin = 0.15 * (high - low) + 1
    return max(0.0, low - margin), high + 2.5 * margin


def gains(ax: Axes, result: xr.Dataset, question: str) -> None:
    """Draw a line for each network, with the accuracy of each of its views."""
    [data, *_] = tables.data_of(result, question)
    networks = tables.networks_of(result, question, data)
    drawn: dict[str, Line2D] = {}
    for y, network in enumerate(networks):
        for view, seen in tables.views_of(tables.of(result, question, data, network)):
            found = 100 - np.atleast_1d(seen["error"].values)
            style: dict[str, Any] = {
                "marker": MARKERS[view.partition(", ")[2]],
                "color": "C1" if view.startswith("all") else "C0",
                "ls": "",
            }
            ax.plot(found, np.full(len(found), y), ms=2, mfc="w", **style)
            [drawn[view]] = ax.plot(found.mean(), y, ms=5, **style)
    ax.set_yticks(range(len(networks)), networks, fontsize=7)
    ax.grid(axis="y", lw=0.3)
    ax.set_ylim(len(networks) + 2.5, -0.5)
    ax.legend(drawn.values(), drawn, fontsize=6, loc="lower center", ncols=2, frameon=False)
    held_out = question == "ablation"
    ax.set_xlabel(f"accuracy on {'held-out images' if held_out else 'the test set'} [%]")
    ax.set_title(f"{question}, {data}")


def by_layer(ax: Axes, result: xr.Dataset, question: str) -> None:
    """Draw the accuracy read from each layer, a line for each kind of filters."""
    [data, *_] = tables.data_of(result, question)
    for network in tables.networks_of(result, question, data):
        views = dict(tables.views_of(tables.of(result, question, data, network)))
        means = [100 - float(seen["error"].mean()) for seen in views.values()]
        sds = [float(sd(seen["error"])) for seen in views.values()]
        ax.errorbar(
            range(len(views)),
            means,
            sds,
            fmt="o-",
            color=COLORS[network],
            label=network,
            capsize=2,
        )
        ax.set_xticks(range(len(views)), list(views), rotation=20)
    ax.set_ylabel("accuracy on the test set [%]")
    ax.set_title(f"{question}, {data}")
    ax.legend(fontsize=7, frameon=False)


def robustness(ax: Axes, result: xr.Dataset, name: str) -> None:
    """Draw accuracy against the strength of a perturbation, a line for each network."""
    variable, values = f"{name}_error", STRENGTHS[name]
    for data in tables.data_of(result, "layers"):
        for network in tables.networks_of(result, "layers", data):
            mine = tables.of(result, "layers", data, network)
            clean = last(mine)[1].mean()
            found = 100 - mine[variable].mean("seed").values
            ax.plot([0, *values], [clean, *found], "o-", color=COLORS[network], ms=3)
    ax.set_title(name)
    ax.set_xlabel(textwrap.fill(DESCRIBED[name], 36), fontsize=7)
