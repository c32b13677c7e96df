"""The table and the figure of `continuous_plasticity`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from scenarios.continuous_plasticity.config import RELATIVE_CHANGE, TIMINGS, Config
from scenarios.support.circuit import RANKING, TAU_MS
from scenarios.support.statistics import sd


def table(result: xr.Dataset) -> str:
    """Return the results as text."""
    sizes = result.sizes
    lines = [
        f"Summed weight change of held-out images of {result.attrs['data']}, "
        f"{sizes['seed']} networks",
        "cosine with the weight change of the settled activity, mean ± sd (relative size)",
    ]
    for w_inh, at_w in result.groupby("w_inh"):
        view = at_w.squeeze("w_inh")
        floor = view["floor"]
        lines += [
            "",
            f"w_inh = {w_inh:g}; floor, nothing unlearned: {float(floor.mean()):.3f} ± "
            f"{float(sd(floor)):.3f}",
            f"  {'T / τ':<8}" + "".join(f"{name:>26}" for name in TIMINGS),
        ]
        for duration in result["duration"].values:
            entries = []
            for timing in TIMINGS:
                values = view["cosine"].sel(timing=timing, duration=duration)
                size = float(view["norm"].sel(timing=timing, duration=duration).mean())
                entries.append(
                    f"{float(values.mean()):.3f} ± {float(sd(values)):.3f} ({size:.2f})"
                )
            lines.append(f"  {duration:<8g}" + "".join(f"{entry:>26}" for entry in entries))
        wasted = view["wasted"].sel(timing="continuous").mean("seed").values
        lines.append(
            "  share of unlearning by units that end inactive, continuous, by T: "
            + ", ".join(f"{share:.2f}" for share in wasted)
        )
    error, halved = result["plastic_error"].max(), result["plastic_error_halved"].max()
    lines.append(
        f"\nPlastic synapses against traces: ΔW differs by {float(error):.1e} at most, "
        f"{float(halved):.1e} with half the rate"
    )
    return "\n".join(lines)


def draw(result: xr.Dataset, config: Config) -> Figure:
    """Draw the results, and the learning from one image in time."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    w_inh = config.w_inh[-1]
    main_result = result.sel(w_inh=w_inh)
    draw_cosine(axes[0, 0], main_result, plastic=config.plastic_duration)
    draw_cosine(axes[0, 1], result.sel(w_inh=config.w_inh[0]))
    draw_norm(axes[0, 2], result)
    draw_example(axes[1, 0], main_result.isel(seed=0))
    draw_learners(axes[1, 1], main_result)
    draw_wasted(axes[1, 2], result)
    steps = ", ".join(f"{step:g}" for step in np.unique(result["dt_ms"].values))
    figure.supxlabel(
        f"{result.attrs['data']}: {config.units} units trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}); ΔW summed over {config.num_images} held-out "
        f"images, each from h = 0; mean ± sd of {config.seeds} networks; τ = {TAU_MS:g} "
        f"ms; Brian2 ({result.attrs['backend']}), Euler dt = {steps} ms.\n"
        "Reference: ΔW with g of the closed form. h*: chosen on training images, for each "
        "network and w_inh. Floor: the reference without −Δ. Crosses: plastic synapses, "
        f"first network, {config.plastic_images} images, weights moved by less than "
        f"{RELATIVE_CHANGE:g}.",
        fontsize=8,
    )
    return figure


COLORS = dict(zip(TIMINGS, ("C3", "C1", "C0"), strict=True))
LABELS = {
    "continuous": "all the time",
    "gated": "last half of T",
    "settled": "once, at the end of T",
}


def draw_cosine(ax: Axes, result: xr.Dataset, *, plastic: float | None = None) -> None:
    """Draw the cosine with the reference against T."""
    duration = result["duration"]
    middle, noise = float(result["floor"].mean()), float(sd(result["floor"]))
    ax.axhspan(middle - noise, middle + noise, color="0.88", lw=0)
    ax.axhline(middle, color="0.5", lw=1, ls="--", label="floor: nothing unlearned")
    for timing, color in COLORS.items():
        values = result["cosine"].sel(timing=timing)
        middle, noise = values.mean("seed"), sd(values)
        ax.fill_between(
            duration, middle - noise, middle + noise, color=color, alpha=0.25, lw=0
        )
        ax.plot(duration, middle, "o-", color=color, ms=4, label=LABELS[timing])
        if plastic is not None:
            checked = float(result["plastic_cosine"].sel(timing=timing))
            ax.plot(plastic, checked, "x", color=color, ms=9, mew=2)
    ax.set_xscale("log")
    ax.set_xticks(duration, [f"{t:g}" for t in duration.values])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="cos(ΔW, ΔW settled)", ylim=(None, 1.03))
    ax.set_title(f"direction of learning, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7, loc="lower right")


def draw_norm(ax: Axes, result: xr.Dataset) -> None:
    """Draw the size of the weight change against T."""
    lines = ("-", "--", ":")
    for number, w_inh in enumerate(result["w_inh"].values):
        for timing, color in COLORS.items():
            values = result["norm"].sel(w_inh=w_inh, timing=timing).mean("seed")
            label = f"{LABELS[timing]}, w = {w_inh:g}"
            style = lines[number % len(lines)]
            ax.plot(values["duration"], values, style, color=color, lw=1.2, label=label)
    ax.axhline(1, color="0.7", lw=0.6, zorder=0)
    ax.set_xscale("log")
    duration = result["duration"].values
    ax.set_xticks(duration, [f"{t:g}" for t in duration])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="|ΔW| / |ΔW settled|, per time of learning")
    ax.set_title("size of the weight change", fontsize=10)
    ax.legend(fontsize=6)


def draw_example(ax: Axes, result: xr.Dataset) -> None:
    """Draw the activity during one image, coloured by the g of each unit at the time."""
    h_star = float(result["h_star"])
    h = result["example"].dropna("time").transpose("time", "unit")
    time = h["time"].values / TAU_MS
    names = {"C3": "g = 1", "C0": "g = −Δ", "0.8": "g = 0"}
    for values in h.values.T:
        middle = (values[1:] + values[:-1]) / 2
        points = np.stack([time, values], axis=1)
        segments = np.stack([points[:-1], points[1:]], axis=1)
        colors = np.where(middle >= h_star, "C3", np.where(middle >= 0, "C0", "0.8"))
        lines = LineCollection(list(segments), colors=list(colors), linewidths=0.9)
        ax.add_collection(lines)
    for color, name in names.items():
        ax.plot([], [], color=color, label=name)
    ax.axhline(h_star, color="k", lw=0.8, ls="--", label="h*")
    ax.set(xlabel="time / τ", ylabel="activity h", xlim=(0, time[-1]))
    low = float(np.quantile(h, 0.1))
    ax.set_ylim(min(low, -0.1 * h_star), 1.05 * float(h.max()))
    ax.set_title(f"who learns, image 0, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7, loc="center right")


def draw_learners(ax: Axes, result: xr.Dataset) -> None:
    """Draw the numbers of units with g = 1 and with g = −Δ against time."""
    for name, color in (("hebbian", "C3"), ("unlearning", "C0")):
        count = result[name].mean("seed", skipna=True).dropna("time")
        settled = float(result[f"{name}_settled"].mean())
        label = "g = 1" if name == "hebbian" else "g = −Δ"
        ax.plot(count["time"] / TAU_MS, count, color=color, label=label)
        ax.axhline(settled, color=color, ls="--", lw=0.8, label=f"settled: {settled:.2f}")
    ax.set_yscale("symlog", linthresh=1)
    ax.set(xlabel="time / τ", ylabel="units, mean over images", ylim=(0, None))
    ax.set_title(f"units that learn, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7)


def draw_wasted(ax: Axes, result: xr.Dataset) -> None:
    """Draw the share of unlearning by units that end inactive."""
    for number, w_inh in enumerate(result["w_inh"].values):
        for timing in ("continuous", "gated"):
            values = result["wasted"].sel(w_inh=w_inh, timing=timing)
            style = ("-", "--", ":")[number % 3]
            label = f"{LABELS[timing]}, w = {w_inh:g}"
            middle, noise = values.mean("seed"), sd(values)
            color, duration = COLORS[timing], values["duration"]
            ax.fill_between(
                duration, middle - noise, middle + noise, color=color, alpha=0.15
            )
            ax.plot(duration, middle, "o" + style, color=color, ms=3, label=label)
    ax.set_xscale("log")
    duration = result["duration"].values
    ax.set_xticks(duration, [f"{t:g}" for t in duration])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="share of all unlearning", ylim=(0, 1.03))
    ax.set_title("unlearning by units that end inactive", fontsize=10)
    ax.legend(fontsize=7)
