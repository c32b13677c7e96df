"""The figure of `dale_oscillations`."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from neurodyn import plots
from neurodyn.circuits.dale import oscillation
from scenarios.dale_oscillations.experiment import CUT_W, EXAMPLES, GROUP_W, Config


def draw(config: Config, found: dict[str, Any], summary: dict[str, Any]) -> Figure:
    """Draw the maps, a cut, the regimes and a phase portrait."""
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    top = [figure.add_subplot(grid[0, 4 * i : 4 * i + 4]) for i in range(3)]
    largest = float(found["map"]["frequency_theory"].max())
    titles = {
        "frequency_theory": "frequency [Hz], linear theory",
        "frequency": "frequency [Hz], measured",
    }
    for ax, (name, title) in zip(top, titles.items(), strict=False):
        draw_map(ax, config, found["map"][name], limits=(0, largest), cmap="viridis")
        ax.set_title(title, fontsize=10)
    draw_damping(top[2], config, found["map"])
    draw_cut(figure.add_subplot(grid[1, :4]), config, found)
    inner = grid[1, 4:9].subgridspec(2, 2)
    for panel, name in enumerate(EXAMPLES):
        ax = figure.add_subplot(inner[divmod(panel, 2)])
        draw_regime(ax, config, name, found["traces"][panel])
    ax = figure.add_subplot(grid[1, 9:])
    run = found["traces"][list(EXAMPLES).index("oscillates")]
    plots.phase_portrait(run["activity"], run["inh_activity"], ax)
    ax.set_title("the circuit that oscillates", fontsize=10)
    figure.supxlabel(caption(config, summary), fontsize=8)
    return figure


def draw_map(
    ax: Axes,
    config: Config,
    values: xr.DataArray,
    *,
    limits: tuple[float, float],
    cmap: str,
) -> None:
    """Draw values over τ_I and w, with the borders of linear theory."""
    w, tau_inh = config.map_values()
    ax.set_facecolor("0.85")
    low, high = limits
    image = ax.pcolormesh(
        tau_inh,
        w,
        values.values.reshape(len(w), len(tau_inh)),
        cmap=cmap,
        vmin=low,
        vmax=high,
        shading="nearest",
    )
    ax.figure.colorbar(image, ax=ax)
    fine = np.geomspace(tau_inh[0], tau_inh[-1], 300)
    ax.set(xscale="log", xlabel="τ_I [ms]", ylabel="w", ylim=ax.get_ylim())
    decades(ax)
    root = (config.tau_exc_ms / fine) ** 0.5
    ax.plot(fine, 1 + root**2, color="C3", lw=1.5, label="Hopf: τ_I = τ_E / (w − 1)")
    ax.plot(fine, (1 - root) ** 2, ":", color="w", lw=1.5)
    ax.plot(fine, (1 + root) ** 2, "--", color="k", lw=1, label="runs away above")


def decades(ax: Axes) -> None:
    """Label a logarithmic axis at 1, 2, 5 times powers of 10."""
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def draw_damping(ax: Axes, config: Config, measured: xr.Dataset) -> None:
    """Draw the measured damping, its zero contour and the Hopf curve."""
    w, tau_inh = config.map_values()
    damping = measured["damping"]
    draw_map(ax, config, damping, limits=(-60, 60), cmap="RdBu_r")
    ax.contour(
        tau_inh,
        w,
        damping.values.reshape(len(w), -1),
        levels=[0.0],
        colors="k",
        linestyles=":",
        linewidths=2.5,
    )
    ax.plot([], [], ":", color="k", lw=2.5, label="measured damping = 0")
    ax.legend(fontsize=7, loc="lower left")
    ax.set_title("damping rate [1/s], measured", fontsize=10)


def draw_cut(ax: Axes, config: Config, found: dict[str, Any]) -> None:
    """Draw frequencies along τ_I for one E cell, its limit cycle, and several E cells."""
    for name, color, label in (
        ("cut", "C0", f"w = {CUT_W:g}"),
        ("group", "C2", f"w = {GROUP_W:g}, {config.num_active} active cells"),
    ):
        cut = found[name]
        tau_inh = cut["tau_inh"]
        fine = np.geomspace(tau_inh[0], tau_inh[-1], 300)
        theory = [
            oscillation(
                tau_exc_ms=config.tau_exc_ms,
                tau_inh_ms=float(tau),
                w=float(cut["w"][0]),
                num_active=int(cut["num_active"][0]),
            )[0]
            for tau in fine
        ]
        ax.plot(fine, theory, color=color, lw=1, label=f"linear theory, {label}")
        ax.plot(tau_inh, cut["frequency"], "o", color=color, ms=4, label="measured")
    cycle = found["cut"]["cycle_frequency"]
    ax.plot(
        found["cut"]["tau_inh"],
        cycle,
        "s",
        color="C3",
        ms=4,
        mfc="none",
        label=f"limit cycle, w = {CUT_W:g}",
    )
    ax.axvline(config.onset_ms(CUT_W), color="0.6", lw=0.8, ls="--")
    ax.set(xscale="log", xlabel="τ_I [ms]", ylabel="frequency [Hz]", ylim=(0, None))
    decades(ax)
    ax.set_title("along a cut; dashed: onset of oscillation", fontsize=10)
    ax.legend(fontsize=7)


def draw_regime(ax: Axes, config: Config, name: str, run: xr.Dataset) -> None:
    """Draw the E and I activity at the start of one example."""
    w, ratio = EXAMPLES[name]
    shown_ms = 60.0 if name in ("settles", "runs away") else 300.0
    run = run.sel(time=slice(0, shown_ms))
    for trace, color, label in (("activity", "C3", "E"), ("inh_activity", "C0", "I")):
        ax.plot(run["time"], run[trace].clip(min=0).squeeze(), color, lw=1, label=label)
    if name == "runs away":
        ax.set_yscale("symlog", linthresh=1)
    ax.set_title(f"{name}: w = {w:g}, τ_I = {ratio * config.tau_exc_ms:g} ms", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_xlabel("time [ms]", fontsize=8)
    ax.legend(fontsize=7, frameon=False)


def caption(config: Config, summary: dict[str, Any]) -> str:
    """Return the protocol and the measured onsets."""
    onsets = ", ".join(
        f"{row['measured_ms']:.4g} ({row['theory_ms']:.4g}) ms at w = {row['w']:g}"
        for row in summary["onset"]
    )
    return (
        f"One I cell, W_EI = 1, W_IE = w_self = w, τ_E = {config.tau_exc_ms:g} ms; drive 1 "
        f"from rest for {config.duration_ms:g} ms, Euler dt = {config.dt_ms:g} ms. "
        "Ringing: fit by Prony to the trace until a rate first is 0 again. "
        "Gray: not simulated. Outside the white dots it does not ring.\n"
        f"Measured onset τ_I (theory): {onsets}. Limit cycles: peak of the I cell's "
        "spectrum; they are slower than linear theory as rates are clipped at 0."
    )
