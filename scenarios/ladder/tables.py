"""The results as tables of text."""

import numpy as np
import xarray as xr

from scenarios.support.statistics import mean_sd

DELTA = 0.4
ROWS = ("continuous", "gated", "settled")


def published(result: xr.Dataset, k: int | None = 2) -> xr.Dataset:
    """Return the results for the Δ nearest to the published 0.4, and for a rank k."""
    at_delta = result.sel(delta=DELTA, method="nearest")
    return at_delta if k is None else at_delta.sel(k=k, method="nearest")


def trained(result: xr.Dataset) -> list[int]:
    """Return the sizes of networks that were trained in mini-batches."""
    chosen = result["full_w_inh"].dropna("num_units")
    return [int(num_units) for num_units in chosen["num_units"].values]


def shown_w_inh(result: xr.Dataset) -> list[float]:
    """Return the strengths of inhibition to draw: the first, and the nearest to 0.9."""
    below = [float(w) for w in result["w_inh"].values if w < 1]
    middle = min(below, key=lambda w: abs(w - 0.9))
    return list(dict.fromkeys([below[0], middle]))


def best_share(result: xr.Dataset) -> str:
    """Return the largest h* that is a share of the winner's activity."""
    return str(result["h_star"].values[-1])


def step_tables(result: xr.Dataset) -> list[str]:
    """Return a table of one step of learning for each size of network."""
    return [step_table(result, int(n)) for n in result["num_units"].values]


def step_table(result: xr.Dataset, num_units: int) -> str:
    """Return the cosines of ΔW with that of the equilibrium, by w_inh."""
    view = published(result).sel(num_units=num_units, stage="late", images="raw")
    view = view.sel(reference="equilibrium")
    computed = view["active_units_settled"].dropna("w_inh", how="all")
    strengths = computed["w_inh"].values
    durations = view["duration"].values
    picked = [float(durations[len(durations) // 2 - 1]), 100.0]
    picked = [float(durations[abs(durations - t).argmin()]) for t in dict.fromkeys(picked)]
    lines = [
        f"One step of learning, {num_units} units, late weights, raw pixels, Δ = "
        f"{float(view['delta']):g}",
        f"{'':<46}" + "".join(f"{f'w = {w:g}':>14}" for w in strengths),
    ]

    def row(label: str, values: xr.DataArray, form: str = ".2f") -> None:
        entries = [mean_sd(values.sel(w_inh=w), form) for w in strengths]
        lines.append(f"{label:<46}" + "".join(f"{entry:>14}" for entry in entries))

    last = view.sel(duration=picked[-1])
    row("active units, equilibrium", view["active_units_settled"], ".1f")
    row(f"order of h = order of I, T = {picked[-1]:g} τ", last["order_equal"])
    row(f"same active set, T = {picked[-1]:g} τ", last["active_sets_equal"])
    lines.append("cos(ΔW, ΔW equilibrium), fixed h*:")
    fixed = view["cosine"].sel(h_star="fixed")
    for level in ROWS:
        for duration in picked:
            values = fixed.sel(level=level, duration=duration)
            row(f"  {level} circuit, T = {duration:g} τ", values)
    for h_star in ("fixed", best_share(result)):
        name = "fixed h*" if h_star == "fixed" else f"h* = {h_star} of the winner's"
        at_h = view.isel(duration=0).sel(h_star=h_star)
        lines.append(f"cos(ΔW, ΔW equilibrium), {name}:")
        for level in ("ranking", "ranks 2..m", "Hebb only", "random"):
            row(f"  {level}", at_h["cosine"].sel(level=level))
        row("images with the ranking's g", at_h["same_g"].sel(level="ranking"))
    return "\n".join(lines)


def training_table(result: xr.Dataset) -> str:
    """Return errors, norms and similarities of features of whole trainings."""
    first = result.isel(num_units=0)
    head = f"{'':<22}{'test error %':>16}{'norm':>8}{'winless':>9}{'active':>9}"
    lines = [
        f"Whole trainings, batch 1, {int(first['num_units'])} units, one start, one order; "
        f"w_inh = {float(first['train_w_inh']):g}, h* = {float(first['train_h_star']):g}",
        f"{head}{'cos, same unit':>18}{'cos, matched':>16}{'|W - W_eq|/|W_eq|':>20}",
    ]
    for rule in result["rule"].values:
        row = first.sel(rule=rule)
        alike = row["feature_cosine"].sel(other_rule="equilibrium").median("unit")
        lines.append(
            f"{rule:<22}{mean_sd(row['train_error']):>16}"
            f"{float(row['train_norm'].median()):>8.2f}"
            f"{float(row['train_winless'].mean()):>9.1f}"
            f"{float(row['train_active'].mean()):>9.2f}"
            f"{mean_sd(row['same_unit_cosine'].isel(snapshot=-1), '.3f'):>18}"
            f"{mean_sd(alike, '.3f'):>16}"
            f"{float(row['weight_distance'].mean()):>20.1e}"
        )
    other = first["other_seed_cosine"].sel(rule="equilibrium").median("unit")
    lines.append(f"equilibrium, cos with another seed, matched: {mean_sd(other, '.3f')}")
    for num_units in trained(result):
        at_size = result.sel(num_units=num_units)
        lines += [
            "",
            f"Mini-batches, {num_units} units; w_inh = {float(at_size['full_w_inh']):g}, "
            f"h* = {float(at_size['full_h_star']):g}",
        ]
        for name in result["network"].values:
            row = at_size.sel(network=name)
            line = f"{name:<22}{mean_sd(row['full_error']):>16}"
            if np.isfinite(row["full_norm"]).all():
                line += f"{float(row['full_norm'].mean()):>8.2f}"
                line += f"{float(row['full_winless'].mean()):>9.1f}"
                line += f"{float(row['full_active'].mean()):>9.2f}{'':>18}"
                line += f"{mean_sd(row['full_feature_cosine'], '.3f'):>16}"
            lines.append(line)
        other = at_size["full_other_seed_cosine"].sel(network="equilibrium")
        lines.append(
            f"equilibrium, cos with another seed, matched: {mean_sd(other, '.3f')}"
        )
    return "\n".join(lines)


def cost_table(result: xr.Dataset) -> str:
    """Return seconds per 1000 images, their parts, and memory."""
    parts = ("dynamics", "drive_and_plasticity", "drive", "competition", "plasticity")
    lines = ["Cost: seconds of learning from 1000 images (circuit: T = 100 τ)"]
    for num_units in trained(result):
        for way in result["way"].values:
            row = result.sel(num_units=num_units, way=way)
            total = float(row["seconds_per_1000"])
            shares = [
                f"{name.replace('_', ' ')} {float(row[name]) / total:.0%}"
                for name in parts
                if name in row and np.isfinite(row[name])
            ]
            memory = float(row["memory_mb"]) if "memory_mb" in row else np.nan
            taken = f"; {memory:.0f} MiB" if np.isfinite(memory) else ""
            lines.append(
                f"{num_units:>6}  {way:<24}{total:>10.2g}  ({', '.join(shares)}{taken})"
            )
    return "\n".join(lines)
