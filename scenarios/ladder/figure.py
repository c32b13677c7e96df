"""The figure of the ladder, and a file for each of its panels."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scenarios.ladder.networks import STAGES
from scenarios.ladder.tables import best_share, published, shown_w_inh, trained
from scenarios.support import statistics

COLORS = {
    "continuous": "C3",
    "gated": "C1",
    "settled": "C0",
    "settled circuit": "C0",
    "continuous circuit": "C3",
    "equilibrium": "C2",
    "ranking": "C4",
    "ranks 2..m": "C5",
    "Hebb only": "0.45",
    "random": "0.75",
}
DASHES = ("-", "--", ":", "-.")
CAPTION_WIDTH = 280  # characters of a line that fit into the width of the figure


def band(ax: Axes, values: xr.DataArray, dim: str, **style: object) -> None:
    """Draw mean ± sd over seeds along a dim."""
    middle, sd = values.mean("seed"), statistics.sd(values)
    [line] = ax.plot(middle[dim], middle, **style)  # type: ignore[arg-type]
    ax.fill_between(
        middle[dim], middle - sd, middle + sd, color=line.get_color(), alpha=0.15, lw=0
    )


def late(result: xr.Dataset) -> xr.Dataset:
    """Return the results with published k and Δ, from late weights and raw images."""
    return published(result).sel(stage="late", images="raw")


def circuit_to_equilibrium(result: xr.Dataset, ax: Axes) -> None:
    """Draw cos(ΔW) of circuit and equilibrium against T, for all timings of learning."""
    view = late(result).isel(num_units=0).sel(reference="equilibrium", h_star="fixed")
    for dash, w_inh in zip(DASHES, shown_w_inh(result), strict=False):
        for level in ("continuous", "gated", "settled"):
            values = view["cosine"].sel(level=level, w_inh=w_inh).dropna("duration")
            label = f"{level}, w = {w_inh:g}"
            style = {"color": COLORS[level], "ls": dash, "marker": "o", "ms": 3}
            band(ax, values, "duration", label=label, **style)
    ax.set_xscale("log")
    durations = result["duration"].values
    ax.set_xticks(durations, [f"{t:g}" for t in durations])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="cos(ΔW, ΔW equilibrium)", ylim=(None, 1.03))
    ax.set_title(f"circuit to equilibrium, {int(view['num_units'])} units")
    ax.legend(fontsize=6)


def equilibrium_to_ranking(result: xr.Dataset, ax: Axes) -> None:
    """Draw cos(ΔW) of ranking and controls with the equilibrium, against w_inh."""
    view = late(result).isel(num_units=0, duration=0).sel(reference="equilibrium")
    for dash, h_star in zip(DASHES, ("fixed", best_share(result)), strict=False):
        kind = "fixed h*" if h_star == "fixed" else f"h* = {h_star} of the winner"
        for level in ("ranking", "ranks 2..m", "Hebb only", "random"):
            values = (
                view["cosine"].sel(level=level, h_star=h_star).dropna("w_inh", how="all")
            )
            style = {"color": COLORS[level], "ls": dash, "marker": "o", "ms": 3}
            band(ax, values, "w_inh", label=f"{level}, {kind}", **style)
    ax.set(xlabel="w_inh", ylabel="cos(ΔW, ΔW equilibrium)", ylim=(None, 1.03))
    ax.set_title(f"equilibrium to ranking, {int(view['num_units'])} units")
    ax.legend(fontsize=5.5)


def identical_g(result: xr.Dataset, ax: Axes) -> None:
    """Draw the share of images on which all units have the equilibrium's g."""
    view = late(result).isel(duration=0).sel(reference="equilibrium")
    for dash, num_units in zip(DASHES, result["num_units"].values, strict=False):
        for level in ("ranking", "ranks 2..m"):
            values = view["same_g"].sel(
                level=level, num_units=num_units, h_star=best_share(result)
            )
            values = values.dropna("w_inh", how="all")
            style = {"color": COLORS[level], "ls": dash, "marker": "o", "ms": 3}
            band(ax, values, "w_inh", label=f"{level}, {num_units} units", **style)
    ax.set(xlabel="w_inh", ylabel="share of images", ylim=(-0.03, 1.03))
    ax.set_title(f"images with identical g, h* = {best_share(result)} of the winner")
    ax.legend(fontsize=6)


def stages(result: xr.Dataset, ax: Axes) -> None:
    """Draw cos(ΔW) of ranking and equilibrium by stage of training, and the floor."""
    view = published(result).isel(duration=0, num_units=0)
    view = view.sel(reference="equilibrium", w_inh=shown_w_inh(result)[-1])
    x, ticks = 0.0, {}
    for images in result["images"].values:
        for stage in STAGES:
            ticks[x] = f"{stage}\n{images}"
            for level, shift in (("ranking", -0.2), ("Hebb only", 0.2)):
                for h_star, filled in (("fixed", "none"), (best_share(result), None)):
                    values = view["cosine"].sel(
                        images=images, stage=stage, level=level, h_star=h_star
                    )
                    ax.errorbar(
                        x + shift,
                        float(values.mean("seed")),
                        yerr=float(statistics.sd(values)),
                        fmt="o",
                        mfc=filled or COLORS[level],
                        color=COLORS[level],
                        label=f"{level}, h* {h_star}" if x == 0 else None,
                    )
            x += 1
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize=6)
    ax.set(ylabel="cos(ΔW, ΔW equilibrium)", ylim=(None, 1.03))
    ax.set_title(
        f"stages of training, w_inh = {float(view['w_inh']):g}, "
        f"{int(view['num_units'])} units"
    )
    ax.legend(fontsize=6)


def imitation(result: xr.Dataset, ax: Axes) -> None:
    """Draw cos(ΔW) of each ranking and the closest equilibrium, and the floor."""
    view = published(result, k=None).sel(images="raw")
    width = 0.8 / (len(result["threshold"]) + 1)
    labels = []
    for group, (num_units, k) in enumerate(
        (n, k) for n in result["num_units"].values for k in result["k"].values
    ):
        at_k = view.sel(num_units=num_units, k=k)
        labels.append(f"k = {k}\n{num_units}")
        for i, kind in enumerate(result["threshold"].values):
            at_kind = at_k.sel(threshold=kind)
            values, w_inh = at_kind["mimic_cosine"], at_kind["mimic_w_inh"]
            x = group + (i - 1) * width
            ax.bar(
                x,
                float(values.mean()),
                width,
                yerr=float(statistics.sd(values)),
                color=f"C{i}",
                label=str(kind) if group == 0 else None,
            )
            note = f"{float(w_inh.mean()):.2f}"
            ax.text(x, 0.03, note, fontsize=5, ha="center", rotation=90, color="w")
        floor = at_k["mimic_floor"]
        ax.bar(
            group + 2 * width,
            float(floor.mean()),
            width,
            yerr=float(statistics.sd(floor)),
            color=COLORS["Hebb only"],
            label="winner alone" if group == 0 else None,
        )
    ax.set_xticks(range(len(labels)), labels, fontsize=7)
    ax.set(ylabel="cos(ΔW, ΔW ranking)", ylim=(0, 1.35))
    ax.set_title("best imitation of a ranking (in the bars: its w_inh)")
    ax.legend(fontsize=6, ncols=2)


def following(result: xr.Dataset, ax: Axes) -> None:
    """Draw the cosine of each unit's weights with the equilibrium's during training."""
    for rule in result["rule"].values:
        if rule != "equilibrium":
            values = result["same_unit_cosine"].sel(rule=rule)
            band(ax, values, "snapshot", color=COLORS[rule], label=rule, marker="o", ms=3)
    ax.set(xlabel="presentations", ylabel="cosine, mean of units", ylim=(None, 1.03))
    ax.set_title("same unit, same images: likeness to equilibrium")
    ax.legend(fontsize=6)


def features(result: xr.Dataset, ax: Axes) -> None:
    """Draw the cumulative distribution of cosines of matched features."""
    rules = [rule for rule in result["rule"].values if rule != "equilibrium"]
    alike = result["feature_cosine"].sel(other_rule="equilibrium")
    for rule in rules:
        values = np.sort(alike.sel(rule=rule).values.ravel())
        share = np.arange(1, len(values) + 1) / len(values)
        ax.plot(values, share, color=COLORS[rule], label=rule)
    other = np.sort(result["other_seed_cosine"].sel(rule="equilibrium").values.ravel())
    share = np.arange(1, len(other) + 1) / len(other)
    ax.plot(other, share, color="k", ls=":", label="equilibrium, another seed")
    ax.set(xlabel="cosine with the match", ylabel="share of units below", xlim=(None, 1.02))
    ax.set_title("matched features beside equilibrium's, batch 1")
    ax.legend(fontsize=6)


def fields(result: xr.Dataset, ax: Axes) -> None:
    """Draw the weights of the same units trained by each rule."""
    weights = result["train_weights"].isel(seed=0)
    height, width, channel = map(int, result.attrs["image_shape"])
    order = weights.sel(rule="equilibrium").values
    units = np.argsort(np.linalg.norm(order, axis=1))[:8]
    rows = [weights.sel(rule=rule).values[units] for rule in result["rule"].values]
    chosen = xr.DataArray(np.concatenate(rows), dims=("unit", "pixel"))
    size = abs(chosen.values).max(axis=1, keepdims=True)
    pictures = (chosen.values / np.where(size > 0, size, 1)).reshape(
        len(rows), len(units), height, width, channel
    )[..., 0]
    mosaic = pictures.swapaxes(1, 2).reshape(len(rows) * height, len(units) * width)
    ax.imshow(mosaic, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set_yticks(
        height * (np.arange(len(rows)) + 0.5), list(result["rule"].values), fontsize=7
    )
    ax.set_xticks([])
    ax.set_title("the same 8 units, batch 1")


def errors(result: xr.Dataset, ax: Axes) -> None:
    """Draw the test errors of all trainings and controls."""
    first = result.isel(num_units=0)
    bars: list[tuple[str, xr.DataArray, str]] = [
        (f"{rule}", first["train_error"].sel(rule=rule), COLORS[rule])
        for rule in result["rule"].values
    ]
    for num_units in trained(result):
        error = result["full_error"].sel(num_units=num_units)
        bars += [
            (f"{name} {num_units}", error.sel(network=name), COLORS.get(name, "0.85"))
            for name in result["network"].values
        ]
    for x, (_, values, color) in enumerate(bars):
        middle = float(values.mean())
        ax.bar(x, middle, yerr=float(statistics.sd(values)), color=color, capsize=2)
        ax.text(
            x,
            middle,
            f" {middle:.1f}",
            rotation=90,
            fontsize=6,
            va="bottom",
            ha="center",
        )
    ax.axvline(len(result["rule"]) - 0.5, color="k", lw=0.6)
    ax.set_xticks(
        range(len(bars)), [name for name, _, _ in bars], rotation=90, fontsize=5.5
    )
    ax.set(ylabel="test error [%]")
    ax.margins(y=0.18)
    ax.set_title("batch 1 | mini-batches and controls")


def thresholds(result: xr.Dataset, ax: Axes) -> None:
    """Draw the validation errors by which w_inh and h* were chosen."""
    tables = {"batch 1": result["tried_error"]}
    for num_units in trained(result):
        name = f"mini-batches, {num_units}"
        tables[name] = result["tried_full_error"].sel(num_units=num_units)
    for dash, (name, table) in zip(DASHES, tables.items(), strict=False):
        for color, w_inh in enumerate(table["tried_w_inh"].values):
            values = table.sel(tried_w_inh=w_inh)
            ax.plot(
                values["tried_h_star"],
                values,
                f"o{dash}",
                color=f"C{color}",
                ms=3,
                label=f"{name}, w = {w_inh:g}",
            )
    ax.set_yscale("log")
    for which in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        which("{x:g}")
    ax.tick_params(axis="y", which="both", labelsize=6)
    ax.set(xlabel="h* (unit-norm images)", ylabel="validation error [%]")
    ax.set_title("choice of w_inh and h* for training")
    ax.legend(fontsize=5)


def exc_inh(result: xr.Dataset, ax: Axes) -> None:
    """Draw the agreement of the E/I circuit with eq. 8 against τ_I."""
    view = result.isel(dale_duration=-1)
    for color, w_inh in enumerate(result["dale_w_inh"].values):
        for name, dash, label in (
            ("ei_same_g", "-", "identical g"),
            ("ei_cosine_continuous", "--", "cos ΔW, continuous"),
        ):
            values = view[name].sel(dale_w_inh=w_inh)
            style = {"color": f"C{color}", "ls": dash, "marker": "o", "ms": 3}
            band(ax, values, "tau_inh", label=f"{label}, w = {w_inh:g}", **style)
    ax.set_xscale("log")
    ax.set(xlabel="τ_I / τ_E", ylim=(min(0.5, ax.get_ylim()[0]), 1.03))
    ax.set_title(f"E/I circuit beside eq. 8, T = {float(view['dale_duration']):g} τ")
    ax.legend(fontsize=6)


def cost(result: xr.Dataset, ax: Axes) -> None:
    """Draw the seconds of learning from 1000 images."""
    ways, sizes = result["way"].values, trained(result)
    height = 0.8 / len(sizes)
    for i, num_units in enumerate(sizes):
        seconds = result["seconds_per_1000"].sel(num_units=num_units)
        drawn = ax.barh(
            np.arange(len(ways)) + i * height, seconds, height, label=f"{num_units} units"
        )
        ax.bar_label(drawn, fmt=" %.2g", fontsize=6)
    middle = (len(sizes) - 1) * height / 2
    ax.set_yticks(np.arange(len(ways)) + middle, list(ways), fontsize=7)
    ax.set_xscale("log")
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set_xlabel("seconds of learning from 1000 images")
    ax.set_title("cost on one core (circuit: T = 100 τ)")
    ax.legend(fontsize=6)


PANELS: dict[str, Callable[[xr.Dataset, Axes], None]] = {
    "circuit_to_equilibrium": circuit_to_equilibrium,
    "equilibrium_to_ranking": equilibrium_to_ranking,
    "identical_g": identical_g,
    "stages": stages,
    "imitation": imitation,
    "following": following,
    "features": features,
    "fields": fields,
    "thresholds": thresholds,
    "errors": errors,
    "exc_inh": exc_inh,
    "cost": cost,
}


def draw(result: xr.Dataset, path: Path) -> list[Path]:
    """Write the figure, and each panel to a folder beside it; return both paths."""
    whole = Figure(figsize=(17, 13), layout="constrained")
    for ax, panel in zip(whole.subplots(3, 4).flat, PANELS.values(), strict=True):
        panel(result, ax)
        ax.title.set_fontsize(9)
    whole.supxlabel(caption(result), fontsize=8)
    whole.savefig(path, dpi=90)
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, panel in PANELS.items():
        single = Figure(figsize=(5.2, 4), layout="constrained")
        ax = single.subplots()
        panel(result, ax)
        ax.title.set_fontsize(9)
        single.savefig(folder / f"{name}.png", dpi=90)
    return [path, folder]


def caption(result: xr.Dataset) -> str:
    """Return the protocol, wrapped to the width of the figure."""
    config = json.loads(result.attrs["config"])
    num_images = ", ".join(map(str, config["num_images"]))
    sizes = ", ".join(map(str, config["units"]))
    one_step = (
        f"{config['data']}; mean ± sd of {config['seeds']} seeds. One step: {num_images} "
        f"validation images for {sizes} units, weights learned by ranking (k = 2, Δ = "
        "0.4), raw pixels unless said; fixed h*: the h* that exactly one unit reaches on "
        "most other validation images; all levels have Δ = 0.4."
    )
    whole = (
        f"Whole trainings: unit-norm images; batch 1: {config['presentations']} "
        f"presentations, ε = {config['rate']:g}, no max-normalisation, circuit settled at "
        f"T = {2 * config['train_duration']:g} τ or continuous at "
        f"{config['train_duration']:g} τ, w_inh = {float(result['train_w_inh']):g} and "
        f"h* = {float(result['train_h_star']):g}; "
        f"mini-batches: {config['epochs']} epochs (larger networks: twice). "
        "w_inh and h* were chosen on validation images; test images were used for the "
        "errors alone."
    )
    return "\n".join(textwrap.fill(text, CAPTION_WIDTH) for text in (one_step, whole))
