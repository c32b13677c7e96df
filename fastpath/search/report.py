"""What a search leaves in its folder: a table of its trials, and figures."""

import csv
import html
import io
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from fastpath.search.lost import DEFAULTS
from fastpath.search.stores import Store
from fastpath.search.study import (
    ERRORS,
    REASON,
    REPEATED,
    STOPPED,
    Search,
    quiet,
    whole_trials,
)
from neurodyn.files import whole

TABLE, PAGE = "trials.csv", "search.html"
ERROR = "error on held-out images [%]"
ZOOMED = ("history.png", "slices.png")
WIDE = ("slices.png", "parallel.png")
LEAST = 4  # trials with settings, below which figures show nothing


def write(search: Search, study: optuna.Study, store: Store, folder: Path) -> str:
    """Write the table and the figures of a search; return a summary."""
    with quiet(store):
        trials = study.get_trials(deepcopy=False)
        _save(folder / TABLE, _table(search, trials))
        searched = list(search.objective.space.searched)
        complete = [t for t in whole_trials(study) if t.params]
        drawn = []
        if len(complete) >= LEAST:
            warnings.simplefilter("ignore")  # `quiet` restores the filters
            drawn = [*_draw(study, searched, folder), _page(study, searched, folder)]
        lines = [_counts(trials), *_best(study)]
        lines += [f"saved {TABLE}{''.join(f', {name}' for name in drawn)} to {folder}"]
        lines += [f"look at it by: optuna-dashboard {shlex.quote(store.name)}"]
    return "\n".join(lines)


def _counts(trials: list[FrozenTrial]) -> str:
    """Return how many trials ended in which way."""
    counts = {
        "complete": sum(
            t.state == TrialState.COMPLETE and STOPPED not in t.user_attrs for t in trials
        ),
        "stopped early": sum(STOPPED in t.user_attrs for t in trials),
        "that could not be trained": sum(REASON in t.user_attrs for t in trials),
        "repeated": sum(REPEATED in t.user_attrs for t in trials),
        "lost and queued again": sum(
            t.state == TrialState.FAIL and REPEATED not in t.user_attrs for t in trials
        ),
        "running": sum(t.state == TrialState.RUNNING for t in trials),
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    return f"trials: {', '.join(parts) or 'none'}"


def _best(study: optuna.Study) -> list[str]:
    """Return lines on the best trial and the defaults."""
    trials = whole_trials(study)
    if not trials:
        return ["no trial is complete"]
    best = trials[0]
    settings = " ".join(f"{name}={value}" for name, value in best.params.items())
    lines = [
        f"best: {best.value:.2f} % on held-out images, trial {best.number}: "
        f"{settings or 'the defaults'}"
    ]
    defaults = [t for t in trials if t.user_attrs.get(DEFAULTS)]
    if defaults and defaults[0] is not best:
        lines += [f"defaults: {defaults[0].value:.2f} %"]
    return lines


def _table(search: Search, trials: list[FrozenTrial]) -> bytes:
    """Return the trials as CSV: state, error, seconds, settings, errors of instances."""
    searched = list(search.objective.space.searched)
    instances = [f"{data}/{seed}" for data, seed in search.objective.instances]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", "error", "seconds", *searched, *instances, "note"])
    for trial in trials:
        attrs = trial.user_attrs
        note = attrs.get(REASON) or attrs.get(STOPPED, "")
        if REPEATED in attrs:
            note = f"equal to trial {attrs[REPEATED]}"
        elif attrs.get(DEFAULTS):
            note = "the defaults"
        seconds = trial.duration.total_seconds() if trial.duration else ""
        rows.writerow(
            [
                trial.number,
                trial.state.name.lower(),
                "" if trial.state != TrialState.COMPLETE else trial.value,
                seconds,
                *(trial.params.get(name, "") for name in searched),
                *(attrs.get(ERRORS, {}).get(name, "") for name in instances),
                note,
            ]
        )
    return text.getvalue().encode()


def _draw(study: optuna.Study, searched: list[str], folder: Path) -> list[str]:
    """Draw the figures as PNG; return their names."""
    from optuna.visualization import matplotlib as drawn

    settled = _settled(study)
    low, top = _shown([trial.value for trial in settled.trials])
    near = _settled(study, most=top)
    figures: dict[str, Callable[[], Any]] = {
        "history.png": lambda: drawn.plot_optimization_history(study, target_name=ERROR),
        "importances.png": lambda: drawn.plot_param_importances(
            settled, params=searched, target_name=ERROR
        ),
        "slices.png": lambda: drawn.plot_slice(settled, params=searched, target_name=ERROR),
        "parallel.png": lambda: drawn.plot_parallel_coordinate(
            near, params=searched, target_name="error [%]"
        ),
    }
    for name, draw in figures.items():
        with mpl.rc_context():
            try:
                axes = np.atleast_1d(np.asarray(draw()))
                if name in ZOOMED:
                    for ax in axes:
                        ax.set_ylim(low - 0.05 * (top - low), top)
                above = len(settled.trials) - len(near.trials)
                if name != "importances.png" and above:
                    axes[0].set_title(f"without {above} worse trials", fontsize=9)
                width = max(6.4, 1.6 * len(searched)) if name in WIDE else 6.4
                axes[0].figure.set_size_inches(width, 4.8)
                with whole(folder / name) as part:
                    axes[0].figure.savefig(part, dpi=110, format="png", bbox_inches="tight")
            finally:
                plt.close("all")
    return [*figures]


def _settled(study: optuna.Study, most: float = np.inf) -> optuna.Study:
    """Return a copy of the study with the complete trials up to an error.

    The defaults are left out: they would be drawn as settings of their own.
    """
    copy = optuna.create_study()
    trials = [t for t in whole_trials(study) if t.params and (t.value or 0.0) <= most]
    copy.add_trials(sorted(trials, key=lambda trial: trial.number))
    return copy


def _shown(values: list[Any]) -> tuple[float, float]:
    """Return the range of errors to draw: without those that would flatten the rest."""
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return low, min(high, max(2 * middle - low, 1.05 * low))


def _page(study: optuna.Study, searched: list[str], folder: Path) -> str:
    """Write one page with the same figures, interactive."""
    from optuna import visualization as shown

    settled = _settled(study)
    figures = [
        shown.plot_optimization_history(study, target_name=ERROR),
        shown.plot_param_importances(settled, params=searched, target_name=ERROR),
        shown.plot_slice(settled, params=searched, target_name=ERROR),
        shown.plot_parallel_coordinate(settled, params=searched, target_name=ERROR),
    ]
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=not i)
        for i, figure in enumerate(figures)
    ]
    title = html.escape(f"Search {study.study_name}")
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title>{''.join(parts)}"
    _save(folder / PAGE, page.encode())
    return PAGE


def importances(study: optuna.Study, searched: list[str]) -> dict[str, float]:
    """Return the importance of each setting, from 0; they sum to 1 (PED-ANOVA).

    Source: S. Watanabe, A. Bansal & F. Hutter, IJCAI 2023.
    """
    return get_param_importances(study, params=searched)


def _save(path: Path, content: bytes) -> None:
    with whole(path) as part:
        part.write_bytes(content)
