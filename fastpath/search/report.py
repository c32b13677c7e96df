"""What a search leaves in its folder: a table of its trials, and figures."""

import csv
import io
import shlex
import warnings
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from fastpath.search import pictures
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

TABLE = "trials.csv"


def write(search: Search, study: optuna.Study, store: Store, folder: Path) -> str:
    """Write the table and the figures of a search; return a summary."""
    with quiet(store):
        trials = study.get_trials(deepcopy=False)
        with whole(folder / TABLE) as part:
            part.write_bytes(_table(search, trials))
        searched = list(search.objective.space.searched)
        complete = [t for t in whole_trials(study) if t.params]
        drawn = []
        if len(complete) >= pictures.LEAST:
            warnings.simplefilter("ignore")  # `quiet` restores the filters
            drawn = pictures.draw(study, searched, folder)
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
