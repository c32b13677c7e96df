"""The conclusions of the study, as sentences that are built from its results."""

import json

import numpy as np
import xarray as xr

from scenarios.ladder.tables import best_share, published, trained
from scenarios.support import statistics
from scenarios.support.statistics import mean_sd

NEAR = 0.99  # two ΔW count as equal from this cosine on


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


def needed(result: xr.Dataset, level: str) -> dict[float, tuple[float, float]]:
    """Return the shortest T/τ from which cos(ΔW) with the equilibrium is NEAR, by w_inh.

    The cosine is the mean over seeds in the worst case of sizes, stages, images and kinds
    of h*. The time is inf if no T is long enough; the longest T stands beside it.
    """
    view = published(result)["cosine"].sel(level=level, reference="equilibrium")
    view = view.mean("seed").min(("num_units", "stage", "images", "h_star"), skipna=True)
    found = {}
    for w_inh in view["w_inh"].values:
        if w_inh < 1:
            cosine = view.sel(w_inh=w_inh).dropna("duration")
            near = (cosine >= NEAR).values
            stays = np.flip(np.logical_and.accumulate(np.flip(near)))
            durations = cosine["duration"].values[stays]
            first = float(durations.min()) if stays.any() else np.inf
            found[float(w_inh)] = first, float(cosine["duration"].max())
    return found


def listed(times: dict[float, tuple[float, float]]) -> str:
    """Return the times of `needed` as text."""
    return ", ".join(
        f"{first:g} τ at w_inh {w_inh:g}"
        if np.isfinite(first)
        else f"more than {longest:g} τ at {w_inh:g}"
        for w_inh, (first, longest) in times.items()
    )


def circuit_by_equilibrium(result: xr.Dataset) -> str:
    """Say from which T one update at its end equals that of the equilibrium."""
    times = needed(result, "settled")
    scaled = [first * (1 - w) for w, (first, _) in times.items() if np.isfinite(first)]
    rule = f" (T (1 - w_inh)/τ: at most {max(scaled):.1f})" if scaled else ""
    order = float(result["order_equal"].min())
    return (
        "Equilibrium in place of the circuit, one update at the end of T: cos(ΔW) is "
        f"{NEAR} or more, in the worst case of sizes, stages, images and h*, from "
        f"{listed(times)}{rule}. Activities and drives have the same order on "
        f"{order:.0%} of images at any T, so that a common winner is no evidence."
    )


def continuous_by_equilibrium(result: xr.Dataset) -> str:
    """Say which T learning during the transient needs."""
    continuous, gated = (needed(result, level) for level in ("continuous", "gated"))
    return (
        f"Continuous learning needs longer for the same cosine: {listed(continuous)}; "
        f"learning in the last half of T only: {listed(gated)}."
    )


def equilibrium_by_ranking(result: xr.Dataset) -> str:
    """Say how close the ranking is to the equilibrium in one step."""
    view = published(result).isel(duration=0).sel(reference="equilibrium", stage="late")
    view = view.mean("seed").mean("images")
    clauses = []
    for num_units in result["num_units"].values:
        at_size = view.sel(num_units=num_units, h_star=best_share(result))
        cosine = at_size["cosine"].sel(level="ranking")
        w_inh = float(cosine["w_inh"][cosine.argmax("w_inh")])
        at_best = at_size.sel(w_inh=w_inh)
        floor = float(at_best["cosine"].sel(level="Hebb only"))
        top = float(at_best["cosine"].sel(level="ranking"))
        fixed = view["cosine"].sel(
            num_units=num_units, h_star="fixed", level="ranking", w_inh=w_inh
        )
        clauses.append(
            f"{num_units} units: {top:.2f} at best (w_inh {w_inh:g}, h* just below the "
            f"winner's activity; {float(fixed):.2f} with one fixed h*), {floor:.2f} "
            "without the anti-Hebbian term; g is identical on "
            f"{float(at_best['same_g'].sel(level='ranking')):.0%} of images"
        )
    return (
        "Ranking in place of the equilibrium (k = 2), one step from late weights: cos(ΔW) "
        "is " + "; ".join(clauses) + "."
    )


def imitation(result: xr.Dataset) -> str:
    """Say which w_inh and h* come closest to the published k and Δ."""
    view = published(result, k=None).sel(images="raw")
    clauses = []
    for num_units in result["num_units"].values:
        for k in result["k"].values:
            at_k = view.sel(num_units=num_units, k=k)
            share, fixed = (at_k.sel(threshold=kind) for kind in ("share", "fixed"))
            better = float((share["mimic_cosine"] - at_k["mimic_floor"]).min())
            verdict = "above" if better > 0 else "not in every seed above"
            h_star = mean_sd(fixed["mimic_h_star"], ".1f")
            clauses.append(
                f"K = {num_units}, k = {k}: w_inh {mean_sd(share['mimic_w_inh'])} and h* "
                f"{mean_sd(share['mimic_h_star'])} of the winner's give "
                f"{mean_sd(share['mimic_cosine'])}, {verdict} the floor "
                f"{mean_sd(at_k['mimic_floor'])} (one fixed h* of {h_star} at w_inh "
                f"{mean_sd(fixed['mimic_w_inh'])}: {mean_sd(fixed['mimic_cosine'])})"
            )
    return (
        "The w_inh and h* closest to the published rule by cos(ΔW), chosen and scored on "
        "different validation images (late weights, raw pixels): "
        + "; ".join(clauses)
        + "."
    )


def what_is_learned(result: xr.Dataset) -> list[str]:
    """Say how the levels differ in receptive fields and errors."""
    return [
        features(result),
        errors_one_by_one(result),
        *(errors_at_full_scale(result, n) for n in trained(result)),
    ]


def features(result: xr.Dataset) -> str:
    """Say how similar the features are to the equilibrium's, trained at batch 1."""
    first, config = result.isel(num_units=0), json.loads(result.attrs["config"])
    settling = 2 * config["train_duration"] * (1 - float(first["train_w_inh"]))
    end = first["same_unit_cosine"].isel(snapshot=-1)
    alike = first["feature_cosine"].sel(other_rule="equilibrium").median("unit")
    other = first["other_seed_cosine"].sel(rule="equilibrium").median("unit")
    rules = [rule for rule in first["rule"].values if rule != "equilibrium"]
    return (
        "Trained at batch 1, cosine with the same unit's weights under the equilibrium, "
        "mean of units: "
        + ", ".join(f"{rule} {mean_sd(end.sel(rule=rule))}" for rule in rules)
        + f" (the settled circuit has T (1 - w_inh) / τ = {settling:.1f}, the continuous "
        "circuit half of that). Units matched one to one, median of units: "
        + ", ".join(f"{rule} {mean_sd(alike.sel(rule=rule))}" for rule in rules)
        + f"; the equilibrium with another seed {mean_sd(other)}."
    )


def errors_one_by_one(result: xr.Dataset) -> str:
    """Say which readout errors the trainings at batch 1 have."""
    error = result["train_error"]
    rules = list(map(str, error["rule"].values))
    differences = [
        difference(error.sel(rule=rule), error.sel(rule="equilibrium"), rule.capitalize())
        for rule in rules
        if rule != "equilibrium"
    ]
    errors = ", ".join(f"{rule} {mean_sd(error.sel(rule=rule))}" for rule in rules)
    return " ".join([f"Test errors at batch 1: {errors} %.", *differences])


def errors_at_full_scale(result: xr.Dataset, num_units: int) -> str:
    """Say which readout errors the trainings in mini-batches have."""
    error = result["full_error"].sel(num_units=num_units)
    by_name = {str(name): error.sel(network=name) for name in error["network"].values}
    errors = ", ".join(f"{name} {mean_sd(values)}" for name, values in by_name.items())
    pairs = (("equilibrium", "ranking"), ("Hebb only", "ranking"))
    differences = [
        difference(by_name[first], by_name[second], first.capitalize(), second)
        for first, second in pairs
    ]
    return " ".join([f"In mini-batches, {num_units} units: {errors} %.", *differences])


def difference(
    first: xr.DataArray, second: xr.DataArray, name: str, other: str = "equilibrium"
) -> str:
    """Say by how much the first error is larger (mean ± sd), and whether seeds agree."""
    away = first - second
    middle, sd = float(away.mean()), float(statistics.sd(away))
    same_sign = bool((np.sign(away) == np.sign(middle)).all()) and away.sizes["seed"] > 1
    clear = same_sign and abs(middle) > 2 * sd
    word = "worse" if middle > 0 else "better"
    sure = "in every seed" if clear else "within the spread of the seeds"
    return f"{name} is {abs(middle):.2f} ± {sd:.2f} points {word} than {other}, {sure}."


def exc_inh(result: xr.Dataset) -> str:
    """Say how close the E/I circuit is to eq. 8, at the worst τ_I for each w_inh."""
    last = result.isel(dale_duration=-1).mean("seed")
    clauses = []
    for w_inh in result["dale_w_inh"].values:
        at_w = last.sel(dale_w_inh=w_inh)
        bounded = at_w["ei_bounded"] == 1
        text = f"w {w_inh:g}: "
        if bounded.any():
            text += (
                f"the equilibrium's g on {float(at_w['ei_same_g'].min()):.0%} of images or "
                "more, continuous cos(ΔW) with eq. 8 of "
                f"{float(at_w['ei_cosine_continuous'].min()):.3f} or more"
            )
        if not bounded.all():
            away = ", ".join(f"{t:g}" for t in at_w["tau_inh"].values[~bounded.values])
            text += f"; activity runs away with τ_I/τ_E = {away}"
        clauses.append(text)
    times = ", ".join(f"{t:g}" for t in result["tau_inh"].values)
    return (
        f"E/I circuit beside eq. 8, T = {float(last['dale_duration']):g} τ, τ_I/τ_E = "
        f"{times}: " + "; ".join(clauses) + "."
    )


def gain(result: xr.Dataset) -> str:
    """Say what each level costs."""
    clauses = []
    for num_units in trained(result):
        seconds = result["seconds_per_1000"].sel(num_units=num_units)
        by_way = {str(way): float(seconds.sel(way=way)) for way in seconds["way"].values}
        circuits = {w: s for w, s in by_way.items() if w.startswith("settled")}
        fastest = min(circuits, key=lambda way: circuits[way])
        equilibrium, ranking = (
            by_way[f"{name}, batch 100"] for name in ("equilibrium", "ranking")
        )
        clauses.append(
            f"{num_units} units: {fastest} {by_way[fastest]:.2g}, equilibrium "
            f"{equilibrium:.2g}, ranking {ranking:.2g}: the equilibrium is "
            f"{by_way[fastest] / equilibrium:.0f} times as fast as the circuit, the "
            f"ranking {equilibrium / ranking:.1f} times as fast as the equilibrium"
        )
    return "Seconds per 1000 images, batches of 100: " + "; ".join(clauses) + "."
