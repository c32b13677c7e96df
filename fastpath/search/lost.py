"""Trials whose worker was lost: queued again, and given up where that does not help."""

from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

WORKER = "worker"  # the attribute of a trial that names its worker
DEFAULTS = "defaults"  # the attribute of the trial with the default settings
LOSSES = "killed"  # the attribute that counts the workers killed during a trial
MOST_KILLED = 3
AGAIN = "again"  # the attribute of a repeated trial: the number of the one that was lost
INDEX = "index"  # the attribute that counts trials, but for those repeated


def queue_again(study: optuna.Study, trial: FrozenTrial, *, killed: bool = True) -> None:
    """Queue the settings of a trial again, then mark it as failed, if it is not yet.

    Settings that have cost `MOST_KILLED` workers, maybe all of their memory, are not tried
    again.
    """
    losses = trial.user_attrs.get(LOSSES, 0) + killed
    if losses < MOST_KILLED:
        kept = {LOSSES: losses, AGAIN: trial.number}
        kept |= {n: trial.user_attrs[n] for n in (DEFAULTS, INDEX) if n in trial.user_attrs}
        study.enqueue_trial(trial.params, user_attrs=kept)
    with suppress(UpdateFinishedTrialError, ValueError):
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def is_given_up(trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Return whether the settings of a trial have killed too many workers."""
    return (
        trial.state == TrialState.FAIL
        and trial.user_attrs.get(LOSSES, 0) >= MOST_KILLED - 1
        and not any(each.user_attrs.get(AGAIN) == trial.number for each in trials)
    )


def index_of(number: int, trials: list[FrozenTrial]) -> int:
    """Return the index that a new trial of a number gets: repeated ones do not count."""
    return number - sum(AGAIN in each.user_attrs for each in trials[:number])
