"""What the numbers say, in tables and in sentences that are made from them."""

import json

import numpy as np
import xarray as xr

NEAR = 0.99  # cosines from which one ΔW stands for another
CLOSE_TIMES = (5.0, 10.0, 15.0, 20.0, 30.0, 50.0)
CONTROLS = ("random weights", "back-propagation")
DELTA = 0.4
ROWS = ("continuous", "gated", "settled")


def spread(values: xr.DataArray) -> xr.DataArray:
    """Return the standard deviation over seeds, 0 of one."""
    return values.std("seed", ddof=min(1, values.sizes["seed"] - 1))


def mean_sd(values: xr.DataArray, form: str = ".2f") -> str:
    """Return mean ± sd over seeds as text."""
    return f"{float(values.mean('seed')):{form}} ± {float(spread(values)):{form}}"


def published(result: xr.Dataset, k: int | None = 2) -> xr.Dataset:
    """Return the results for the Δ nearest to the published 0.4, and for a rank k."""
    one = result.sel(delta=DELTA, method="nearest")
    return one if k is None else one.sel(k=k, method="nearest")


def shown_w_inh(result: xr.Dataset) -> list[float]:
    """Return strengths of inhibition to look at closely: the first, the last, 0.9."""
    below = [float(w) for w in result["w_inh"].values if w < 1]
    middle = min(below, key=lambda w: abs(w - 0.9))
    return list(dict.fromkeys([below[0], middle]))


def best_share(result: xr.Dataset) -> str:
    """Return the largest threshold that is a share of the winner's activity."""
    return str(result["h_star"].values[-1])


def text(result: xr.Dataset) -> str:
    """Return tables and answers."""
    config = json.loads(result.attrs["config"])
    parts = [
        f"The ladder on {config['data']}, {config['seeds']} seeds (mean ± sd)",
        *step_tables(result),
        training_table(result),
        cost_table(result),
        "What follows",
        *(f"- {answer}" for answer in answers(result)),
    ]
    return "\n\n".join(parts)


def step_tables(result: xr.Dataset) -> list[str]:
    """Return one table of one step of learning for each size of network."""
    return [step_table(result, int(n)) for n in result["num_units"].values]


def step_table(result: xr.Dataset, num_units: int) -> str:
    """Return cosines of one step with that of the equilibrium, against w_inh."""
    view = published(result).sel(num_units=num_units, stage="late", images="raw")
    view = view.sel(reference="equilibrium")
    strengths = view["w_inh"].values
    durations = view["duration"].values
    picked = [float(durations[len(durations) // 2 - 1]), 100.0]
    picked = [float(durations[abs(durations - t).argmin()]) for t in dict.fromkeys(picked)]
    lines = [
        f"One step of learning, {num_units} units, late weights, raw pixels, Δ = "
        f"{float(view['delta']):g}",
        f"{'':<46}" + "".join(f"{f'w = {w:g}':>14}" for w in strengths),
    ]

    def row(label: str, values: xr.DataArray, form: str = ".2f") -> None:
        cells = [mean_sd(values.sel(w_inh=w), form) for w in strengths]
        lines.append(f"{label:<46}" + "".join(f"{cell:>14}" for cell in cells))

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
        lines.append(f"the same, {name}:")
        for level in ("ranking", "ranks 2..m", "Hebb only", "random"):
            row(f"  {level}", at_h["cosine"].sel(level=level))
        row("images with the ranking's g", at_h["same_g"].sel(level="ranking"))
    return "\n".join(lines)


def training_table(result: xr.Dataset) -> str:
    """Return what whole trainings come to."""
    first = result.isel(num_units=0)
    head = f"{'':<22}{'test error %':>16}{'norm':>8}{'dead':>7}{'active':>9}"
    lines = [
        f"Whole trainings, batch 1, {int(first['num_units'])} units, one start, one order; "
        f"w_inh = {float(first['train_w_inh']):g}, h* = {float(first['train_h_star']):g}",
        f"{head}{'cos, same unit':>18}{'cos, matched':>16}{'|W - W_eq|/|W_eq|':>20}",
    ]
    for rule in result["rule"].values:
        one = first.sel(rule=rule)
        alike = one["feature_cosine"].sel(other_rule="equilibrium").median("unit")
        lines.append(
            f"{rule:<22}{mean_sd(one['train_error']):>16}"
            f"{float(one['train_norm'].median()):>8.2f}{float(one['train_dead'].mean()):>7.1f}"
            f"{float(one['train_active'].mean()):>9.2f}"
            f"{mean_sd(one['same_unit_cosine'].isel(snapshot=-1), '.3f'):>18}"
            f"{mean_sd(alike, '.3f'):>16}"
            f"{float(one['weight_distance'].mean()):>20.1e}"
        )
    other = first["other_seed_cosine"].sel(rule="equilibrium").median("unit")
    lines.append(f"matched with another seed's: {mean_sd(other, '.3f')}")
    for num_units in result["num_units"].values:
        at_size = result.sel(num_units=num_units)
        lines += [
            "",
            f"Mini-batches, {num_units} units; w_inh = {float(at_size['full_w_inh']):g}, "
            f"h* = {float(at_size['full_h_star']):g}",
        ]
        for name in result["network"].values:
            one = at_size.sel(network=name)
            line = f"{name:<22}{mean_sd(one['full_error']):>16}"
            if np.isfinite(one["full_norm"]).all():
                line += f"{float(one['full_norm'].mean()):>8.2f}"
                line += f"{float(one['full_dead'].mean()):>7.1f}"
                line += f"{float(one['full_active'].mean()):>9.2f}{'':>18}"
                line += f"{mean_sd(one['full_feature_cosine'], '.3f'):>16}"
            lines.append(line)
        other = at_size["full_other_seed_cosine"].sel(network="equilibrium")
        lines.append(f"matched with another seed's: {mean_sd(other, '.3f')}")
    return "\n".join(lines)


def cost_table(result: xr.Dataset) -> str:
    """Return seconds per 1000 images, their parts, and memory."""
    parts = ("dynamics", "drive_and_plasticity", "drive", "competition", "plasticity")
    lines = ["Cost: seconds of learning from 1000 images (circuit: T = 100 τ)"]
    for num_units in result["num_units"].values:
        for way in result["way"].values:
            one = result.sel(num_units=num_units, way=way)
            total = float(one["seconds_per_1000"])
            known = [
                f"{name.replace('_', ' ')} {float(one[name]) / total:.0%}"
                for name in parts
                if name in one and np.isfinite(one[name])
            ]
            memory = float(one["memory_mb"]) if "memory_mb" in one else np.nan
            taken = f"; {memory:.0f} MiB" if np.isfinite(memory) else ""
            lines.append(f"{num_units:>6}  {way:<24}{total:>10.2g}  ({', '.join(known)}{taken})")
    return "\n".join(lines)


def answers(result: xr.Dataset) -> list[str]:
    """Return the answers to the questions of the study."""
    return [
        circuit_by_equilibrium(result),
        continuous_by_equilibrium(result),
        equilibrium_by_ranking(result),
        imitation(result),
        *what_is_learned(result),
        exc_inh(result),
        gain(result),
    ]


def needed(result: xr.Dataset, level: str) -> dict[float, float]:
    """Return the shortest T/τ from which ΔW is near that of the equilibrium, by w_inh.

    On average over seeds, in the worst case of sizes, stages, images and kinds of h*; inf
    if no T that all sizes had is long enough.
    """
    view = published(result)["cosine"].sel(level=level, reference="equilibrium")
    view = view.mean("seed").min(("num_units", "stage", "images", "h_star"), skipna=True)
    found = {}
    for w_inh in view["w_inh"].values:
        if w_inh < 1:
            near = (view.sel(w_inh=w_inh) >= NEAR).values
            stays = np.flip(np.logical_and.accumulate(np.flip(near)))
            durations = view["duration"].values[stays]
            found[float(w_inh)] = float(durations.min()) if stays.any() else np.inf
    return found


def listed(times: dict[float, float], most: float) -> str:
    """Return times by strength of inhibition as text."""
    return ", ".join(
        f"{t:g} τ at w_inh {w:g}" if np.isfinite(t) else f"more than {most:g} τ at {w:g}"
        for w, t in times.items()
    )


def circuit_by_equilibrium(result: xr.Dataset) -> str:
    """Say when one update at the end of a presentation is that of the equilibrium."""
    times = needed(result, "settled")
    most = float(result["duration"].max())
    known = [t * (1 - w) for w, t in times.items() if np.isfinite(t)]
    rule = f" (T (1 − w_inh)/τ: at most {max(known):.1f})" if known else ""
    order = float(result["order_equal"].min())
    return (
        "Circuit by equilibrium, one update at the end of T: cos(ΔW) is "
        f"{NEAR} or more, in the worst case of sizes, stages, images and h*, from "
        f"{listed(times, most)}{rule}. The order of activities is that of the drives on "
        f"{order:.0%} of images at any T, which therefore shows nothing."
    )


def continuous_by_equilibrium(result: xr.Dataset) -> str:
    """Say what learning during the transient needs."""
    most = float(result["duration"].max())
    continuous, gated = (needed(result, level) for level in ("continuous", "gated"))
    return (
        f"Learning all the time needs longer for the same: {listed(continuous, most)}; in "
        f"the last half of T only: {listed(gated, most)}."
    )


def equilibrium_by_ranking(result: xr.Dataset) -> str:
    """Say what the ranking changes in one step."""
    view = published(result).isel(duration=0).sel(reference="equilibrium", stage="late")
    view = view.mean("seed").mean("images")
    clauses = []
    for num_units in result["num_units"].values:
        one = view.sel(num_units=num_units, h_star=best_share(result))
        cosine = one["cosine"].sel(level="ranking")
        w_inh = float(cosine["w_inh"][cosine.argmax("w_inh")])
        at_best = one.sel(w_inh=w_inh)
        floor = float(at_best["cosine"].sel(level="Hebb only"))
        top = float(at_best["cosine"].sel(level="ranking"))
        fixed = view["cosine"].sel(
            num_units=num_units, h_star="fixed", level="ranking", w_inh=w_inh
        )
        clauses.append(
            f"{num_units} units: {top:.2f} at best (w_inh {w_inh:g}, h* just below the "
            f"winner's activity; {float(fixed):.2f} with one fixed h*), where leaving out "
            f"the unlearning gives {floor:.2f}, with identical g on "
            f"{float(at_best['same_g'].sel(level='ranking')):.0%} of images"
        )
    return (
        "Equilibrium by ranking (k = 2), one step of late weights: cos(ΔW) is "
        + "; ".join(clauses)
        + "."
    )


def imitation(result: xr.Dataset) -> str:
    """Say which w_inh and h* are most like the published k and Δ."""
    view = published(result, k=None).sel(stage="late", images="raw")
    clauses = []
    for num_units in result["num_units"].values:
        for k in result["k"].values:
            one = view.sel(num_units=num_units, k=k)
            share, fixed = (one.sel(threshold=kind) for kind in ("share", "fixed"))
            better = float(share["mimic_cosine"].mean() - one["mimic_floor"].mean())
            verdict = "above" if better > 0 else "NOT above"
            clauses.append(
                f"K = {num_units}, k = {k}: w_inh {mean_sd(share['mimic_w_inh'])}, cos "
                f"{mean_sd(share['mimic_cosine'])} (one fixed h* "
                f"{mean_sd(fixed['mimic_cosine'])} at h* {mean_sd(fixed['mimic_h_star'], '.1f')}"
                f"), {verdict} the floor {mean_sd(one['mimic_floor'])}"
            )
    return (
        "The w_inh and h* most like the published rule, chosen and scored on different "
        "validation images, late weights, raw pixels, h* a share of the winner's: "
        + "; ".join(clauses)
        + "."
    )


def what_is_learned(result: xr.Dataset) -> list[str]:
    """Say whether the differences matter for what is learned."""
    first = result.isel(num_units=0)
    end = first["same_unit_cosine"].isel(snapshot=-1)
    settled = float(first["weight_distance"].sel(rule="settled circuit").max())
    alike = first["feature_cosine"].sel(other_rule="equilibrium").median("unit")
    other = first["other_seed_cosine"].sel(rule="equilibrium").median("unit")
    error = first["train_error"]
    texts = [
        "Learning one by one, the settled circuit ends with the equilibrium's weights (they "
        f"differ by {settled:.1e} of their size at most). The continuous circuit's units "
        f"keep a cosine of {mean_sd(end.sel(rule='continuous circuit'))} with the "
        f"equilibrium's, the ranking's {mean_sd(end.sel(rule='ranking'))}, Hebb only "
        f"{mean_sd(end.sel(rule='Hebb only'))}; matched one to one the ranking's features "
        f"have {mean_sd(alike.sel(rule='ranking'))}, and another seed's of the equilibrium "
        f"{mean_sd(other)}.",
        "Test errors at batch 1: "
        + ", ".join(f"{rule} {mean_sd(error.sel(rule=rule))}" for rule in error["rule"].values)
        + " %. "
        + difference(error.sel(rule="ranking"), error.sel(rule="equilibrium"), "Ranking"),
    ]
    for num_units in result["num_units"].values:
        full = result["full_error"].sel(num_units=num_units)
        texts.append(
            f"In mini-batches, {num_units} units: "
            + ", ".join(f"{n} {mean_sd(full.sel(network=n))}" for n in full["network"].values)
            + " %. "
            + difference(full.sel(network="ranking"), full.sel(network="equilibrium"), "Ranking")
            + " "
            + difference(
                full.sel(network="Hebb only"), full.sel(network="ranking"), "Hebb only", "ranking"
            )
        )
    return texts


def difference(
    first: xr.DataArray, second: xr.DataArray, name: str, other: str = "equilibrium"
) -> str:
    """Say by how much one error is larger, seed by seed, and whether seeds agree."""
    away = first - second
    middle, sd = float(away.mean()), float(spread(away))
    same_sign = bool((np.sign(away) == np.sign(middle)).all()) and away.sizes["seed"] > 1
    clear = same_sign and abs(middle) > 2 * sd
    word = "worse" if middle > 0 else "better"
    sure = "in every seed" if clear else "within the spread of the seeds"
    return f"{name} is {abs(middle):.2f} ± {sd:.2f} points {word} than {other}, {sure}."


def exc_inh(result: xr.Dataset) -> str:
    """Say whether the E/I circuit behaves like eq. 8."""
    last = result.isel(dale_duration=-1).mean("seed")
    clauses = []
    for w_inh in result["dale_w_inh"].values:
        one = last.sel(dale_w_inh=w_inh)
        bounded = one["ei_bounded"] == 1
        if not bounded.all():
            away = ", ".join(f"{t:g}" for t in one["tau_inh"].values[~bounded.values])
            clauses.append(f"at w {w_inh:g} activity runs away with τ_I/τ_E = {away}")
        for tau_inh in one["tau_inh"].values[bounded.values]:
            at = one.sel(tau_inh=tau_inh)
            clauses.append(
                f"w {w_inh:g}, τ_I/τ_E {tau_inh:g}: the equilibrium's g on "
                f"{float(at['ei_same_g']):.0%} of images, continuous cos(ΔW) with eq. 8 "
                f"{float(at['ei_cosine_continuous']):.2f}"
            )
    return (
        f"E/I circuit beside eq. 8, T = {float(last['dale_duration']):g} τ: "
        + "; ".join(clauses)
        + "."
    )


def gain(result: xr.Dataset) -> str:
    """Say what each level costs."""
    clauses = []
    for num_units in result["num_units"].values:
        seconds = result["seconds_per_1000"].sel(num_units=num_units)
        known = {str(way): float(seconds.sel(way=way)) for way in seconds["way"].values}
        circuits = {w: s for w, s in known.items() if w.startswith("settled")}
        fastest = min(circuits, key=lambda way: circuits[way])
        equilibrium, ranking = (
            known[f"{name}, batch 100"] for name in ("equilibrium", "ranking")
        )
        clauses.append(
            f"{num_units} units: {fastest} {known[fastest]:.2g}, equilibrium "
            f"{equilibrium:.2g}, ranking {ranking:.2g}: the equilibrium is "
            f"{known[fastest] / equilibrium:.0f} times as fast as the circuit, the ranking "
            f"{equilibrium / ranking:.1f} times as fast as the equilibrium"
        )
    return "Seconds per 1000 images, batches of 100: " + "; ".join(clauses) + "."
