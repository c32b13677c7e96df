"""Compute the trials, compare the learned weights, and write one labelled file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from fastpath.data import datasets
from fastpath.runs import storage
from neurodyn import analysis, backends, traces
from scenarios.ladder import plan
from scenarios.ladder.config import Config, chosen
from scenarios.ladder.labels import described
from scenarios.ladder.training import FullScale, OneByOne
from scenarios.support import grid
from scenarios.support.grid import Task, Trial

NUMBERS = ("error", "winless", "used", "active", "learn_seconds")


def paths(config: Config) -> tuple[Path, Path]:
    """Return the folder of results and the file of the figure, both checked.

    Raises
    ------
    ValueError
        If one of them cannot be written to.
    """
    datasets.check_root(config, config.data)
    name = "ladder" if config.data == "mnist" else f"ladder_{Path(config.data).stem}"
    name = "ladder_quick" if config.quick else name
    out = config.out or Path("runs") / name
    beside = out / "ladder.png" if config.quick else Path("figures") / f"{name}.png"
    figure = config.figure or beside
    storage.prepare(out, overwrite=True)
    traces.check_writable(figure)
    return out, figure


def results(config: Config, out: Path) -> xr.Dataset:
    """Return all results; compute those that are missing."""
    # Load the data first: a mistake in its name should not cost any computation.
    shape = datasets.load(config.data, config.data_root).shape
    with grid.sharing(config.workers, config.scheduler) as share:
        fill = partial(
            grid.filled, folder=out / "trials", share=share, overwrite=config.overwrite
        )
        parts = [*trainings(config, fill), one_step(config, fill)]
    costs = plan.costs(config)  # one after another, while nothing else is computed
    measured = grid.filled(
        alone(costs), out / "trials", grid.in_turn, overwrite=config.overwrite
    )
    parts.append(grid.stacked(costs, measured))
    result = xr.merge(parts, join="outer", combine_attrs="drop", compat="no_conflicts")
    result.attrs = {
        "title": "What each step down the ladder costs and gains",
        "source": "scenarios.ladder",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 3, 8, 9, 10",
        "config": json.dumps(asdict(config), default=str),
        "image_shape": list(shape),
    }
    return described(result)


def alone(trials: Sequence[Trial]) -> list[Task]:
    """Return the tasks of trials that need no results of others."""
    return [(trial, ()) for trial in trials]


def one_step(config: Config, fill: plan.Fill) -> xr.Dataset:
    """Return the agreement of the levels in one step of learning."""
    networks = plan.networks(config)
    trained = dict(zip(networks, fill(alone(networks)), strict=True))
    parts = []
    for trials, network_of in (
        (plan.one_steps(config), lambda trial: trial.network),
        (plan.plastics(config), lambda trial: trial.step.network),
        (plan.mimics(config), lambda trial: trial.network),
        (plan.exc_inhs(config), lambda trial: trial.step.network),
    ):
        tasks = [(trial, (trained[network_of(trial)],)) for trial in trials]
        stacked = grid.stacked(trials, fill(tasks))
        parts.append(stacked)
    renamed = {"w_inh": "dale_w_inh", "duration": "dale_duration"}
    parts[-1] = parts[-1].rename(renamed)
    return xr.merge(parts, join="outer", combine_attrs="drop", compat="no_conflicts")


def trainings(config: Config, fill: plan.Fill) -> list[xr.Dataset]:
    """Return the results of whole trainings: at batch 1 and in mini-batches."""
    short, short_full = plan.tried(config)
    short_results, full_results = fill(alone(short)), fill(alone(short_full))
    rule = plan.best(short, short_results)
    rules = {}
    for num_units in config.trained_units:
        mine = [i for i, trial in enumerate(short_full) if trial.num_units == num_units]
        rules[num_units] = plan.best(
            [short_full[i] for i in mine], [full_results[i] for i in mine]
        )
    one_by_one = plan.one_by_ones(config, rule)
    full = plan.full_scale(config, rules)
    learned = fill(alone(one_by_one))
    scaled = fill(alone(full))
    return [
        tried(config, short, short_results).rename(tried_error="tried_error"),
        tried_full(config, short_full, full_results),
        one_by_one_results(one_by_one, learned),
        full_results_of(full, scaled),
        xr.Dataset(
            {
                "train_w_inh": rule.w_inh,
                "train_h_star": rule.h_star,
                "full_w_inh": ("num_units", [r.w_inh for r in rules.values()]),
                "full_h_star": ("num_units", [r.h_star for r in rules.values()]),
            },
            coords={"num_units": list(rules)},
        ),
    ]


def tried(
    config: Config, trials: Sequence[OneByOne | FullScale], found: list[xr.Dataset]
) -> xr.Dataset:
    """Return the validation errors by which w_inh and h* were chosen, batch 1."""
    shape = len(plan.TRIED_W_INH), len(plan.TRIED_H_STAR)
    errors = np.array([float(result["error"]) for result in found]).reshape(shape)
    return xr.Dataset(
        {"tried_error": (("tried_w_inh", "tried_h_star"), errors)},
        coords={
            "tried_w_inh": list(plan.TRIED_W_INH),
            "tried_h_star": list(plan.TRIED_H_STAR),
        },
    )


def tried_full(
    config: Config, trials: Sequence[FullScale], found: list[xr.Dataset]
) -> xr.Dataset:
    """Return these validation errors for mini-batches, for each size of network."""
    size = len(plan.TRIED_W_INH) * len(plan.TRIED_H_STAR)
    parts = [
        tried(config, trials[i : i + size], found[i : i + size])
        for i in range(0, len(trials), size)
    ]
    at = xr.DataArray(list(config.trained_units), dims="num_units", name="num_units")
    return xr.concat(parts, dim=at).rename(tried_error="tried_full_error")


def one_by_one_results(trials: Sequence[OneByOne], found: list[xr.Dataset]) -> xr.Dataset:
    """Return errors, norms and similarities of features of the trainings at batch 1."""
    stacked = grid.stacked(trials, found).rename(level="rule")
    weights = stacked["weights"].transpose("rule", "seed", "unit", "pixel").values
    snapshots = stacked["snapshots"].transpose("rule", "seed", "snapshot", "unit", "pixel")
    rules = list(stacked["rule"].values)
    reference = rules.index("equilibrium")
    num_rules, num_seeds, num_units, _ = weights.shape
    alike = np.zeros((num_rules, num_rules, num_seeds, num_units))
    for i, j, seed in np.ndindex(num_rules, num_rules, num_seeds):
        alike[i, j, seed] = matched(weights[i, seed], weights[j, seed])
    follow = cosines(snapshots.values, snapshots.values[reference][None]).mean(axis=-1)
    size = np.linalg.norm(weights[reference], axis=(1, 2))
    away = np.linalg.norm(weights - weights[reference], axis=(2, 3)) / size
    at = ("rule", "other_rule", "seed", "unit")
    return xr.Dataset(
        {
            "train_weights": (("rule", "seed", "unit", "pixel"), weights.astype("f4")),
            "train_norm": stacked["weight_norm"].transpose("rule", "seed", "unit"),
            "feature_cosine": (at, alike),
            "other_seed_cosine": (
                ("rule", "seed", "unit"),
                np.array([between_seeds(by_seed) for by_seed in weights]),
            ),
            "same_unit_cosine": (("rule", "seed", "snapshot"), follow),
            "weight_distance": (("rule", "seed"), away),
            **{f"train_{name}": stacked[name] for name in NUMBERS},
        },
        coords={
            "rule": rules,
            "other_rule": rules,
            "seed": stacked["seed"],
            "snapshot": stacked["snapshot"],
        },
    )


def full_results_of(trials: Sequence[Trial], found: list[xr.Dataset]) -> xr.Dataset:
    """Return errors and similarities of features of the trainings in mini-batches."""
    numbers = [result[[n for n in NUMBERS if n in result]] for result in found]
    stacked = grid.stacked(trials, numbers).rename(level="network")
    weights = {
        tuple(trial.coords.values()): result["weights"].values
        for trial, result in zip(trials, found, strict=True)
        if "weights" in result
    }
    units, seeds = stacked["num_units"].values, stacked["seed"].values
    names = [name for name in stacked["network"].values if (units[0], name, 0) in weights]
    shape = len(units), len(names), len(seeds)
    alike, other_seed, norm = (np.full(shape, np.nan) for _ in range(3))
    for i, j in np.ndindex(shape[:2]):
        mine = np.stack([weights[units[i], names[j], seed] for seed in seeds])
        for seed, theirs in enumerate(
            weights[units[i], "equilibrium", seed] for seed in seeds
        ):
            alike[i, j, seed] = np.median(matched(mine[seed], theirs))
        other_seed[i, j] = np.median(between_seeds(mine), axis=1)
        norm[i, j] = np.median(np.linalg.norm(mine, axis=2), axis=1)
    at = ("num_units", "network", "seed")
    likeness = xr.Dataset(
        {
            "full_feature_cosine": (at, alike),
            "full_other_seed_cosine": (at, other_seed),
            "full_norm": (at, norm),
        },
        coords={"num_units": units, "network": names, "seed": seeds},
    )
    renamed = stacked.rename({name: f"full_{name}" for name in stacked.data_vars})
    whole = xr.merge([renamed, likeness], join="outer")
    order = [name for name in stacked["network"].values if name not in names]
    return whole.sel(network=[*names, *order])


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosines of rows (..., pixel)."""
    sizes = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return (first * second).sum(axis=-1) / np.where(sizes > 0, sizes, 1)


def matched(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each row with its match in another network (unit,)."""
    both = (xr.DataArray(rows, dims=("unit", "pixel")) for rows in (first, second))
    return analysis.receptive_field_similarity(*both).values


def between_seeds(weights: np.ndarray) -> np.ndarray:
    """Return cosines (seed, unit) of features with their matches under the next seed.

    They measure how similar two trainings are that differ in the seed only. NaN with one
    seed.
    """
    if len(weights) == 1:
        return np.full(weights.shape[:2], np.nan)
    return np.stack(
        [matched(*pair) for pair in zip(weights, np.roll(weights, -1, 0), strict=True)]
    )


def main(config: Config) -> xr.Dataset:
    """Run the study with the settings of `chosen`; return the results."""
    return run(chosen(config))


def run(config: Config) -> xr.Dataset:
    """Run the study with exactly these settings, write files, and return the results."""
    from scenarios.ladder import figure as drawing
    from scenarios.ladder import summary

    torch.set_num_threads(1)
    for backend in (config.step_backend, config.backend):
        backends.resolve(backend)
    out, figure = paths(config)
    result = results(config, out)
    storage.save_dataset(out / "ladder.nc", result)
    text = summary.text(result)
    (out / "summary.txt").write_text(text + "\n")
    drawn = drawing.draw(result, figure)
    print(text)
    print(f"\nWrote {out}/{{ladder.nc,summary.txt}} and {', '.join(map(str, drawn))}")
    return result
