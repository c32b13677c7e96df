"""The table and the figure of `dale_learns`."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurodyn import plots
from scenarios.dale_learns.experiment import (
    BACKPROP,
    DALE,
    POWER,
    RANDOM,
    RANKED,
    TAU_MS,
    Config,
)
from scenarios.dale_learns.summary import balance, labelled, late_samples, matched, verdict


def table(summary: dict[str, Any]) -> str:
    """Return the results as text."""
    config, lines = summary["config"], []
    lines.append(
        f"digits, {config['units']} E and {config['num_inh']} I cells, "
        f"{summary['presentations']} presentations of {config['image_ms']:g} ms"
    )
    for name, error in summary["error"].items():
        power = "" if name == BACKPROP else f", n = {config['power'] or POWER[name]:g}"
        label = f"{summary['scored_on']} error, {name}{power}"
        lines.append(
            f"{label:<44}{error['mean']:5.2f} +- {error['sd']:.2f} %  "
            f"({len(error['seeds'])} seeds)"
        )
    lines.append(verdict(summary))
    lines.append("")
    for name, count in summary["sign_violations"].items():
        kind = {"weights": "pixels to E", "weights_ie": "I to E"}[name]
        label = f"weights of the wrong sign, {kind}"
        lines.append(f"{label:<44}{count:5d} in {summary['snapshots_checked']} snapshots")
    for key, label in (
        ("zero_weights", "share of feed-forward weights at 0"),
        ("active_units", "active E cells per image"),
        ("hebbian_units", "of them above h*"),
        ("units_that_never_win", "E cells that were never above h*"),
        ("balance_of_active_units", "(E - I)/(E + I) of active cells, median"),
        ("norm_median", "norm of a cell's weights, median"),
    ):
        lines.append(f"{label:<44}{summary[key]:5.2f}")
    for name, value in summary["similarity"].items():
        label = f"similarity of fields {name}"
        lines.append(f"{label:<54}{value['mean']:5.2f} +- {value['sd']:.2f}")
    return "\n".join(lines)


def draw(
    config: Config,
    run: xr.Dataset,
    weights: dict[str, list[torch.Tensor]],
    summary: dict[str, Any],
    image_shape: tuple[int, ...],
) -> Figure:
    """Draw receptive fields, norms, errors, signs, rates, balance and similarities."""
    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 4)
    snapshots = run["weights_snapshots"]
    fields = [
        (snapshots.isel(snapshot=0), "Dale circuit, at the start"),
        (snapshots.isel(snapshot=-1), "Dale circuit, at the end"),
        (labelled(weights[RANKED][0]), "ranking, weights >= 0"),
    ]
    for ax, (field, title) in zip(axes[0], fields, strict=False):
        plots.receptive_fields(field, image_shape, ax)
        ax.set_title(title, fontsize=10)
    draw_errors(axes[0, 3], summary)
    plots.weight_norms(run["weight_norm"], axes[1, 0])
    axes[1, 0].axhline(1, color="C3", lw=0.8, ls="--")
    axes[1, 0].locator_params(axis="x", nbins=4)
    count = sum(summary["sign_violations"].values())
    axes[1, 0].set_title(
        f"norms; weights of the wrong sign: {count}\n(pixels→E and I→E, "
        f"{summary['snapshots_checked']} snapshots)",
        fontsize=10,
    )
    late = late_samples(run)
    draw_rates(axes[1, 1], config, late)
    shares = balance(config, late).values.ravel()
    axes[1, 2].hist(shares[np.isfinite(shares)], bins=40, color="0.6")
    axes[1, 2].axvline(0, color="C3", lw=0.8, ls="--")
    axes[1, 2].set(xlabel="balance (E − I) / (E + I)", ylabel="number")
    axes[1, 2].set_title("currents into active E cells", fontsize=10)
    draw_similarity(axes[1, 3], weights)
    figure.supxlabel(caption(config, summary), fontsize=8)
    return figure


def draw_errors(ax: Axes, summary: dict[str, Any]) -> None:
    """Draw the readout errors of circuit and controls."""
    errors = summary["error"]
    means, sds = ([error[key] for error in errors.values()] for key in ("mean", "sd"))
    colors = ["C2", "C0", "0.6", "0.6", "0.6"]
    drawn = ax.bar(range(len(errors)), means, yerr=sds, capsize=4, color=colors)
    ax.bar_label(drawn, fmt="%.1f", fontsize=8, padding=2)
    labels = [name.replace(" ", "\n", 1) for name in errors]
    ax.set_xticks(range(len(errors)), labels, fontsize=8)
    for x, error in enumerate(errors.values()):
        ax.plot([x] * len(error["seeds"]), error["seeds"], ".", color="0.2", ms=4)
    num_seeds = len(next(iter(errors.values()))["seeds"])
    title = f"{summary['scored_on']} error [%], mean ± sd of {num_seeds} seeds"
    ax.set_title(title, fontsize=10)
    ax.margins(y=0.15)


def draw_rates(ax: Axes, config: Config, late: xr.Dataset) -> None:
    """Draw the rates of E cells at the ends of presentations."""
    rates = late["activity"].values
    rates = rates[rates > 0]
    ax.hist(rates, bins=40, color="0.6")
    ax.axvline(config.h_star, color="C3", lw=1, ls="--", label=f"h* = {config.h_star:g}")
    ax.set(xlabel="rate of active E cells", ylabel="number", yscale="log")
    silent = 1 - len(rates) / late["activity"].size
    ax.set_title(f"rates; {silent:.0%} of cells are silent", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def draw_similarity(ax: Axes, weights: dict[str, list[torch.Tensor]]) -> None:
    """Draw the cosines of matched receptive fields, with floor and ceiling."""
    dale, ranked = weights[DALE][0], weights[RANKED]
    lines = {"Dale, ranking >= 0": matched(dale, ranked[0])}
    lines["floor: Dale, random >= 0"] = matched(dale, weights[RANDOM][0])
    if len(ranked) > 1:
        lines["ceiling: ranking >= 0, two seeds"] = matched(*ranked[:2])
    for color, (name, values) in zip(("C2", "0.6", "C0"), lines.items(), strict=False):
        label = f"{name}: {float(values.mean()):.2f}"
        ax.plot(np.sort(values.values)[::-1], color=color, label=label)
    ax.set(xlabel="matched units, sorted", ylabel="cosine, mean field removed")
    ax.set_title("similarity of receptive fields", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def caption(config: Config, summary: dict[str, Any]) -> str:
    """Return the protocol and the conclusion."""
    learning = (
        f"I→E learn too, target {config.target_rate:g}"
        if config.target_rate
        else "I→E are fixed"
    )
    powers = ", ".join(f"{config.power or power:g}" for power in POWER.values())
    return (
        f"Digits, unit norm; {config.units} E and {config.num_inh} I cells, τ_E = "
        f"{TAU_MS:g} ms, τ_I = {TAU_MS / 10:g} ms, w = {config.w_inh:g} ± "
        f"{config.spread:.0%}; {summary['presentations']} presentations of "
        f"{config.image_ms:g} ms, dt = {config.dt_ms:g} ms; one update per presentation, "
        f"T/τ_L = {config.rate:g}, h* = {config.h_star:g}, Δ = {config.delta:g}; "
        f"{learning}.\nChosen on validation splits of the training set, as n of the "
        f"features ({powers}). Others: {config.units} units, {config.fast_epochs} epochs. "
        "Rates and balance: last quarter of the presentations. Fields, norms: first seed.\n"
        + verdict(summary)
    )
