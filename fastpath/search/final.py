"""The end of a search: the best settings and the defaults, on the test set."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from fastpath.runs import storage
from fastpath.runs.execute import execute, save
from fastpath.search.objective import load
from fastpath.search.stores import Store
from fastpath.search.study import TESTED, Search, quiet, whole_trials
from fastpath.training.checkpointing import Checkpoints

SEEDS = 3
RESULT = "final.json"
BEST, DEFAULTS = "best", "defaults"


def check_open(study: optuna.Study) -> None:
    """Raise ValueError if the test set was looked at: a search ends there."""
    if TESTED in study.user_attrs:
        raise ValueError(
            f"the search '{study.study_name}' is over: its trial "
            f"{study.user_attrs[TESTED]} was scored on the test set. Begin another one "
            "under another --out or --name"
        )


def score(search: Search, study: optuna.Study, store: Store, folder: Path) -> str:
    """Train with the best settings and the defaults, score both; return a table.

    Each run learns from all training images and is saved to `folder`/final. An interrupted
    call goes on where it was; a second one repeats the table without looking again.

    Raises
    ------
    ValueError
        If no trial is complete, or another one was scored before.
    """
    with quiet(store):
        trials = whole_trials(study)
        if not trials:
            raise ValueError(
                f"no trial of the search '{study.study_name}' is complete: go on with it "
                "first, by the same command without --final"
            )
        number = study.user_attrs.get(TESTED, trials[0].number)
        best = study.get_trials(deepcopy=False)[number]
        study.set_user_attr(TESTED, number)
    roles = {BEST: best.params, DEFAULTS: {}}
    if not best.params:
        del roles[BEST]
    results = {
        role: _scored(search, role, params, folder) for role, params in roles.items()
    }
    result = {"trial": number, "settings": best.params, "test_error": results}
    storage.save_json(folder / RESULT, result)
    return table(result)


def _scored(
    search: Search, role: str, params: Mapping[str, Any], folder: Path
) -> dict[str, list[float]]:
    """Return the test errors of settings for each data set, a number for each seed."""
    errors: dict[str, list[float]] = {}
    for data, label in labels(search.objective.data).items():
        for seed in range(SEEDS):
            out = folder / "final" / f"{role}-{label}-{seed}"
            metrics = out / storage.METRICS
            if not metrics.exists():
                _train(search, params, data, seed, out)
            error = json.loads(metrics.read_text())["test_error"]
            errors.setdefault(label, []).append(error)
    return errors


def labels(data: Sequence[str]) -> dict[str, str]:
    """Return a short name of each data set; those of the same file name are numbered."""
    found: dict[str, str] = {}
    for path in data:
        stem = label = Path(path).stem
        number = 2
        while label in found.values():
            label, number = f"{stem}-{number}", number + 1
        found[path] = label
    return found


def _train(
    search: Search, params: Mapping[str, Any], data: str, seed: int, out: Path
) -> None:
    """Train with these settings on all training images of a data set; save the run."""
    images = load(data, search.compute.data_root)
    _, config = search.objective.run(params, images, data, seed=seed, test=True)
    storage.prepare(out, overwrite=True)
    with storage.alone(out):
        checkpoints = Checkpoints(folder=out)
        trained = execute(config, images, checkpoints, compute=search.compute)
        assert trained is not None
        save(out, trained, config, images, search.compute)


def table(result: Mapping[str, Any]) -> str:
    """Return a table of test errors, a line for the best settings and the defaults."""
    errors = result["test_error"]
    sets = list(errors[DEFAULTS])
    wide = len(sets) > 1
    head = [*sets, *["mean"] * wide]
    lines = [f"test error [%], mean ± sd of {SEEDS} seeds:"]
    lines += [f"{'':<18}" + "".join(f"{name:>18}" for name in head)]
    names = {BEST: f"best, trial {result['trial']}", DEFAULTS: DEFAULTS}
    if BEST not in errors:
        names[DEFAULTS] = "best: the defaults"
    for role in errors:
        label = names[role]
        columns: list[Sequence[float]] = [errors[role][name] for name in sets]
        if wide:
            columns += [np.mean(columns, axis=0).tolist()]
        entries = [f"{np.mean(each):.2f} ± {np.std(each, ddof=1):.2f}" for each in columns]
        lines += [f"{label:<18}" + "".join(f"{entry:>18}" for entry in entries)]
    return "\n".join(lines)
