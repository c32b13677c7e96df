"""The table and the figure of `settling`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neurodyn import equilibrium, plots
from scenarios.settling.experiment import KINDS, TOLERANCE, Config
from scenarios.support.circuit import RANKING, TAU_MS


def table(result: xr.Dataset) -> str:
    """Return the results as text."""
    lines = [
        f"{result.sizes['image']} held-out images of {result.attrs['data']}, T in τ = "
        f"{TAU_MS:g} ms"
    ]
    for kind in KINDS:
        chosen = result.sel(weights=kind)
        lines += ["", f"{kind} weights: mean number of active units"]
        lines.append(row("w_inh", [f"T = {t:g}" for t in result["duration"].values], "eq."))
        for w_inh, at_w in chosen.groupby("w_inh"):
            means = at_w["active_units"].mean("image").values.ravel()
            closed = float(at_w["settled_units"].mean())
            lines.append(row(f"{w_inh:g}", [f"{m:.2f}" for m in means], f"{closed:.2f}"))
        lines.append("median / largest |h(T) - h_eq| / I_max; share of equal active sets")
        for w_inh, at_w in chosen.groupby("w_inh"):
            entries = [
                f"{float(away.median()):.0e}/{float(away.max()):.0e} "
                f"{float(same.mean()):.2f}"
                for (_, away), (_, same) in zip(
                    at_w["distance"].groupby("duration"),
                    at_w["same_set"].groupby("duration"),
                    strict=True,
                )
            ]
            lines.append(row(f"{w_inh:g}", entries))
        lines.append(f"time to stay within {TOLERANCE:g} I_max, in τ (median, 90 %)")
        for w_inh, at_w in chosen.groupby("w_inh"):
            middle, late = quantiles(at_w["settling_ms"].values.ravel() / TAU_MS)
            slow = 1 / (1 - w_inh)
            lines.append(
                row(f"{w_inh:g}", [f"{middle:.3g}, {late:.3g}"], f"1/(1-w) {slow:.3g}")
            )
    return "\n".join(lines)


def row(first: str, entries: list[str], last: str = "") -> str:
    """Return a line of a table."""
    return (
        f"  {first:<6}" + "".join(f"{entry:>19}" for entry in entries) + f"{last:>14}"
    ).rstrip()


def quantiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the 90 % quantile without interpolation: values may be inf."""
    middle, late = np.quantile(values, [0.5, 0.9], method="higher")
    return float(middle), float(late)


def draw(result: xr.Dataset, examples: dict[float, xr.Dataset], config: Config) -> Figure:
    """Draw the results, and the traces of two examples."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    draw_active(axes[0, 0], result)
    draw_distance(axes[0, 1], result.sel(weights="trained"))
    draw_agreement(axes[0, 2], result.sel(weights="trained"))
    draw_settling(axes[1, 0], result)
    for ax, wanted in zip(axes[1, 1:], (0.5, 0.9), strict=True):
        w_inh = min(examples, key=lambda w: abs(w - wanted))
        draw_example(ax, examples[w_inh], w_inh)
    steps_ms = ", ".join(f"{step:g}" for step in np.unique(result["dt_ms"].values))
    figure.supxlabel(
        f"{result.attrs['data']}: {config.units} units, trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}) or random N(0, 1), seed {config.seed}; "
        f"{config.num_images} held-out images, each from h = 0; τ = {TAU_MS:g} ms; "
        f"Brian2 ({result.attrs['backend']}), Euler dt = {steps_ms} ms.\n"
        "Closed form: neurodyn.equilibrium. Error: the unit that is furthest from the "
        "fixed point, relative to the image's largest drive.",
        fontsize=8,
    )
    return figure


def draw_active(ax: Axes, result: xr.Dataset) -> None:
    """Draw the number of active units against inhibition."""
    last = float(result["duration"][-1])
    for kind, color in zip(KINDS, ("C0", "C1"), strict=True):
        means = result.sel(weights=kind).mean("image")
        w_inh = means["w_inh"]
        ax.plot(w_inh, means["settled_units"], color=color, lw=1.5, label=f"{kind}, eq.")
        at_last = means["active_units"].sel(duration=last)
        ax.plot(w_inh, at_last, "o", color=color, ms=5, label=f"{kind}, T = {last:g} τ")
        for duration in result["duration"].values[:-1]:
            early = means["active_units"].sel(duration=duration)
            ax.plot(w_inh, early, ":", color=color, lw=0.8)
            if kind == "trained":
                end = (float(w_inh[-1]), float(early[-1]))
                ax.annotate(
                    f"{duration:g}",
                    end,
                    xytext=(3, -2),
                    textcoords="offset points",
                    fontsize=7,
                )
    ax.set_yscale("log")
    ax.set_xlim(right=1.08)
    ax.set(xlabel="inhibition w_inh", ylabel="active units, mean")
    ax.set_title("competitors left (dotted: at shorter T / τ)", fontsize=10)
    ax.legend(fontsize=7)


def draw_distance(ax: Axes, trained: xr.Dataset) -> None:
    """Draw the distance from the fixed point against T, with the slow mode's slope."""
    duration = trained["duration"].values
    chosen = [w for w in (0.5, 0.8, 0.9, 0.99) if w in trained["w_inh"].values]
    for number, w_inh in enumerate(chosen or list(trained["w_inh"].values)):
        distance = trained["distance"].sel(w_inh=w_inh)
        color = f"C{number}"
        ax.plot(
            duration, distance.median("image"), "o-", color=color, ms=4, label=f"{w_inh:g}"
        )
        ax.plot(duration, distance.max("image"), "-", color=color, lw=0.6)
        fine = np.linspace(0, duration[-1], 200)
        ax.plot(fine, np.exp(-(1 - w_inh) * fine), "--", color=color, lw=0.8)
    ax.set_yscale("log")
    ax.set_ylim(1e-16, 3)
    ax.set(xlabel="T / τ", ylabel="|h(T) − h_eq| / I_max")
    ax.set_title("error: median, largest (thin), exp(−(1 − w) T / τ) (dashes)", fontsize=10)
    ax.legend(title="w_inh (trained)", fontsize=7, title_fontsize=7)


def draw_agreement(ax: Axes, trained: xr.Dataset) -> None:
    """Draw the share of images with the active set of the fixed point."""
    share = trained["same_set"].mean("image").transpose("duration", "w_inh")
    ax.imshow(share, cmap="viridis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (y, x), value in np.ndenumerate(share.values):
        color = "w" if value < 0.6 else "k"
        ax.text(x, y, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)
    ax.set_xticks(range(share.sizes["w_inh"]), [f"{w:g}" for w in share["w_inh"].values])
    ax.set_yticks(
        range(share.sizes["duration"]), [f"{t:g}" for t in share["duration"].values]
    )
    ax.set(xlabel="inhibition w_inh", ylabel="T / τ")
    ax.set_title("share of images with the right active set (trained)", fontsize=10)


def draw_settling(ax: Axes, result: xr.Dataset) -> None:
    """Draw the time to settle against the slow time constant."""
    slow = 1 / (1 - result["w_inh"].values)
    longest = float(result["duration"][-1])
    for kind, color in zip(KINDS, ("C0", "C1"), strict=True):
        times = result["settling_ms"].sel(weights=kind).transpose("w_inh", "image") / TAU_MS
        middle, late = np.array([quantiles(values) for values in times.values]).T
        ax.plot(slow, middle, "o-", color=color, ms=4, label=f"{kind}, median")
        ax.plot(slow, late, "^:", color=color, ms=4, label=f"{kind}, 90 %")
    for factor in (1, 5):
        name = "τ / (1 − w)"
        label = name if factor == 1 else f"{factor} {name}"
        ax.plot(
            slow,
            factor * slow,
            "--",
            color=f"{0.2 * factor - 0.2:.1f}",
            lw=0.8,
            label=label,
        )
    ax.axhline(longest, color="0.8", lw=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=1.3 * longest)
    ax.set(xlabel="1 / (1 − w_inh)", ylabel="time to settle / τ")
    ax.set_title(f"time until all within {TOLERANCE:.0%} of I_max, for good", fontsize=10)
    ax.legend(fontsize=7)


def draw_example(ax: Axes, first: xr.Dataset, w_inh: float) -> None:
    """Draw the activity during the first image until it settles."""
    drive = first["drive"]
    settled = drive.copy(data=equilibrium.settle(drive.values, w_inh=w_inh))
    largest = drive.sortby(-drive)["unit"].values[:12]
    end = min(12 / (1 - w_inh) * TAU_MS, float(first["time"][-1]))
    activity = first["activity"].sel(time=slice(0, end), unit=largest)
    plots.activity_traces(activity, ax, settled=settled.sel(unit=largest))
    ax.set_title(f"image 0, w_inh = {w_inh:g}; dashes: closed form", fontsize=10)
