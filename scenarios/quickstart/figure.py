"""The table and the figure of the quickstart."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import equilibrium, plots
from scenarios.support.circuit import RANKING, TAU_MS

ROWS = (
    ("order_equal", "order of h = order of I (share of images)", ".3f"),
    ("distance_max", "largest |h_ODE - h_eq| / I_max", ".1e"),
    ("distance_median", "median |h_ODE - h_eq| / I_max", ".1e"),
    ("active_sets_equal", "active sets equal (share of images)", ".3f"),
    ("active_units", "active units per image", ".2f"),
    ("g_circuit", "g(circuit) = g(equilibrium) (share of images)", ".3f"),
    ("g_equal", "g(equilibrium) = g(ranking) (share of images)", ".3f"),
    ("cosine", "cos(dW equilibrium, dW ranking)", ".3f"),
    ("cosine_hebb_only", "  floor: cos(dW Hebb only, dW ranking)", ".3f"),
)


def table(summary: dict[str, Any]) -> str:
    """Return the results as text."""
    ladder = summary["ladder"]
    lines = [
        f"{summary['num_images']} held-out images of {summary['data']}, "
        f"{summary['units']} units, T = {summary['T_over_tau']:g} tau",
        f"{'':<48}" + "".join(f"w_inh = {row['w_inh']:<6g}" for row in ladder),
    ]
    for key, label, form in ROWS:
        lines.append(f"{label:<48}" + "".join(f"{row[key]:<14{form}}" for row in ladder))
    lines.append("")
    for name, error in summary["test_error"].items():
        label = f"test error, {name}"
        lines.append(
            f"{label:<48}{error['mean']:.2f} +- {error['sd']:.2f} %  "
            f"({len(error['seeds'])} seeds)"
        )
    lines.append("")
    for level, seconds in summary["seconds_per_1000_images"].items():
        label = f"seconds per 1000 images, {level}"
        lines.append(f"{label:<48}{seconds:.2g}")
    return "\n".join(lines)


def draw(
    trials: xr.Dataset, summary: dict[str, Any], image_shape: tuple[int, ...]
) -> Figure:
    """Draw traces of three images, the receptive fields, and bars of the results."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    for row, (trial, w_inh) in enumerate(enumerate(trials["w_inh"].values)):
        if row > 1:
            break
        for column in range(min(3, trials.sizes["image"])):
            ax = figure.add_subplot(grid[row, 2 * column : 2 * column + 2])
            draw_settling(ax, trials.isel(trial=trial), column, float(w_inh))
    ax = figure.add_subplot(grid[0, 6:9])
    plots.receptive_fields(trials["weights"].isel(trial=0), image_shape, ax)
    ax.set_title(f"weights of {summary['units']} units", fontsize=10)
    draw_agreement(figure.add_subplot(grid[0, 9:]), summary)
    draw_errors(figure.add_subplot(grid[1, 6:9]), summary)
    draw_cost(figure.add_subplot(grid[1, 9:]), summary)
    figure.supxlabel(caption(summary), fontsize=8)
    return figure


def caption(summary: dict[str, Any]) -> str:
    """Return the protocol."""
    dt = ", ".join(f"{row['dt_ms']:g}" for row in summary["ladder"])
    thresholds = ", ".join(f"{row['h_star']:.2g}" for row in summary["ladder"])
    return (
        f"{summary['data']}: {summary['units']} units trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}); {summary['num_images']} held-out images, "
        f"T = {summary['T_over_tau']:g} τ, Euler dt = {dt} ms. Lines: Brian2, the 12 units "
        "of largest drive; dashes: closed form.\n"
        f"h* = {thresholds}, chosen on training images. Test error of the last epoch; "
        "nothing was chosen on the test set. Features max(W·v, 0)^n, n = "
        f"{summary['power']:g}; random weights n = {summary['random_power']:g}, better for "
        "them."
    )


def draw_settling(ax: Any, run: xr.Dataset, image: int, w_inh: float) -> None:
    """Draw the activity of one presentation, and the closed form as dashes."""
    activity = run["activity"].sel(time=run["presentation"] == image)
    period = float(run["time"][-1]) / run.sizes["image"]
    since = activity["time"] - image * period
    since.attrs["units"] = "ms since onset"
    activity = activity.assign_coords(time=since).sel(
        time=slice(0, 12 * TAU_MS / max(0.1, 1 - w_inh))
    )
    drive = run["drive"].sel(image=image)
    settled = drive.copy(data=equilibrium.settle(drive.values, w_inh=w_inh))
    largest = drive.sortby(-drive)["unit"].values[:12]
    plots.activity_traces(activity.sel(unit=largest), ax, settled=settled.sel(unit=largest))
    ax.set_title(f"image {image}, w_inh = {w_inh:g}", fontsize=10)


def draw_agreement(ax: Any, summary: dict[str, Any]) -> None:
    """Draw the agreement of the levels for each strength of inhibition."""
    bars = {
        "active sets\nODE = eq.": "active_sets_equal",
        "g equal\neq. = ranking": "g_equal",
        "cos ΔW\neq., ranking": "cosine",
        "cos ΔW floor\n(Hebb only)": "cosine_hebb_only",
    }
    width = 0.8 / len(summary["ladder"])
    for i, row in enumerate(summary["ladder"]):
        x = np.arange(len(bars)) + i * width
        drawn = ax.bar(
            x, [row[key] for key in bars.values()], width, label=f"{row['w_inh']:g}"
        )
        ax.bar_label(drawn, fmt="%.2f", fontsize=7)
    ax.set_xticks(np.arange(len(bars)) + 0.4 - width / 2, list(bars), fontsize=6)
    ax.set(ylim=(min(0, ax.get_ylim()[0]), 1.3))
    ax.set_title("agreement of the levels", fontsize=10)
    ax.legend(title="w_inh", fontsize=7, title_fontsize=7, loc="upper right", ncols=2)


def draw_errors(ax: Any, summary: dict[str, Any]) -> None:
    """Draw the readout errors of ranking and controls."""
    errors = summary["test_error"]
    means, sds = ([error[key] for error in errors.values()] for key in ("mean", "sd"))
    drawn = ax.bar(list(errors), means, yerr=sds, capsize=4, color=["C2", "0.6", "0.6"])
    ax.bar_label(drawn, fmt="%.1f", fontsize=8, padding=2)
    num_seeds = len(next(iter(errors.values()))["seeds"])
    ax.set_title(f"test error [%], mean ± sd of {num_seeds} seeds", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.margins(y=0.15)


def draw_cost(ax: Any, summary: dict[str, Any]) -> None:
    """Draw the seconds per 1000 images of each level."""
    cost = summary["seconds_per_1000_images"]
    drawn = ax.bar(list(cost), list(cost.values()), color="C4")
    ax.bar_label(drawn, fmt="%.2g", fontsize=8)
    ax.set_yscale("log")
    ax.set_title("seconds per 1000 images", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.margins(y=0.15)
