"""The work of a search: ask for settings, train and score them, write the error."""

import functools
import multiprocessing
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import TrialPruned
from optuna.pruners import WilcoxonPruner
from optuna.trial import FrozenTrial, TrialState

from fastpath.search.lost import DEFAULTS, INDEX, index_of, is_given_up, queue_again
from fastpath.search.objective import Objective, mean, name_of
from fastpath.search.sampling import DistinctTPE
from fastpath.search.stores import opened
from fastpath.search.study import (
    ERRORS,
    KEY,
    PROBES,
    REASON,
    REPEATED,
    STOPPED,
    TESTED,
    Search,
    begin,
    quiet,
    whole_trials,
)
from neurodyn.progress import duration

PROBED = 5  # complete trials that must have been probed before another is stopped
# A training is stopped if its error is above this quantile of those of complete trials, at
# the same percentage of the training. Early errors say less about the last one.
WORSE_THAN = {25: 0.75, 50: 0.5}
P_VALUE = 0.1  # of the Wilcoxon test below which a trial is stopped
COMPUTED = (TrialState.COMPLETE, TrialState.PRUNED)
TAKEN = (*COMPUTED, TrialState.RUNNING)
SMALL = 1000  # settings that a space may have for all of them to be listed
REPEATS = 50  # trials in a row that repeat others, after which none is left
WAIT = 0.5  # seconds between looks at trials that others are computing

type Say = Callable[[str], object]


def work(search: Search, say: Say = print, *, create: bool = True) -> None:
    """Compute trials until the search has all of them, or its time is over.

    A trial that is interrupted is queued again. The study is created if it may be.

    Raises
    ------
    ValueError
        If the storage or the images are not there, or no longer.
    """
    with closing(Worker(search, create=create)) as worker:
        while worker.step(say):
            pass


class Worker:
    """A worker of a search: its storage, open, and its study."""

    def __init__(self, search: Search, *, create: bool = True) -> None:
        self._search, self._store = search, opened(search.storage, create=create)
        self._study = begin(search, self._store, create=create)
        with quiet(self._store):
            self._study.pruner = WilcoxonPruner(p_threshold=P_VALUE)
        self._study.sampler = DistinctTPE(
            search.objective.space,
            seed=search.seed,
            is_taken=lambda _, params: bool(self._equal(self._key(params))),
        )

    def close(self) -> None:
        """Close the storage."""
        self._store.close()

    def step(self, say: Say) -> bool:
        """Compute one trial, or wait for those of others; return False if all are done."""
        until = self._search.until
        if until is not None and time.time() >= until:
            return False
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            return False
        with quiet(self._store):
            return self._step(say)

    def _step(self, say: Say) -> bool:
        with self._store.turn():
            if TESTED in self._study.user_attrs:
                say("the test set was looked at: the search is over")
                return False
            self._store.queue_lost(self._study)
            computed, running = self._progress()
            if self._is_enough(computed):
                return False
            # While all that is left is being computed, another worker may die, and leave a
            # trial.
            asked = None if self._is_enough(computed + running) else self._ask()
        if asked is None:
            time.sleep(WAIT)
            return True
        trial, params, key, at_work = asked
        with at_work, self._queued_again(trial):
            if equal := self._equal(key, before=trial.number):
                trial.set_user_attr(REPEATED, equal[0].number)
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._compute(trial, params, say)
        return True

    def _ask(self) -> tuple[optuna.Trial, dict[str, Any], str, Any]:
        """Return the next trial, its settings and their key, and a sign of life."""
        trial = self._study.ask()
        with self._queued_again(trial):
            at_work = self._store.working(trial)
            params = self._params(trial)
            key = self._key(params)
            trial.set_user_attr(KEY, key)
            if INDEX not in trial.user_attrs:
                trial.set_user_attr(INDEX, index_of(trial.number, self._trials()))
        return trial, params, key, at_work

    def _params(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the settings of a trial; the first one has none, but the defaults."""
        if trial.user_attrs.get(DEFAULTS):
            return {}
        return self._search.objective.space.suggested(trial)

    def _key(self, params: Mapping[str, Any]) -> str:
        return self._search.objective.key(params, self._search.compute.data_root)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _progress(self) -> tuple[int, int]:
        """Return how many trials are computed, and how many are being computed."""
        running = map(self._store.alive, self._trials(TrialState.RUNNING))
        return len(self._trials(*COMPUTED)), sum(running)

    def _is_enough(self, number: int) -> bool:
        """Return whether so many trials are all: of the search, or of a finite space."""
        if self._search.trials is not None and number >= self._search.trials:
            return True
        trials = self._trials()
        last = trials[-REPEATS:]
        if len(last) == REPEATS and all(REPEATED in each.user_attrs for each in last):
            return True
        under_way = [t for t in trials if t.state in TAKEN or is_given_up(t, trials)]
        taken = {trial.user_attrs.get(KEY) for trial in under_way}
        keys = _all_keys(self._search.objective, self._search.compute.data_root)
        return keys is not None and keys <= taken

    def _equal(self, key: str, before: int | None = None) -> list[FrozenTrial]:
        """Return the trials with the same runs: computed, being computed or given up."""
        trials = self._trials()
        same = (trial for trial in trials if trial.user_attrs.get(KEY) == key)
        return [
            trial
            for trial in same
            if (before is None or trial.number < before)
            and (
                trial.state in COMPUTED
                or (trial.state == TrialState.RUNNING and self._store.alive(trial))
                or is_given_up(trial, trials)
            )
        ]

    @contextmanager
    def _queued_again(self, trial: optuna.Trial) -> Iterator[None]:
        """Queue the settings of a trial again if an exception ends it."""
        try:
            yield
        except BaseException:
            queue_again(self._study, self._trials()[trial.number], killed=False)
            raise

    def _compute(self, trial: optuna.Trial, params: dict[str, Any], say: Say) -> None:
        """Compute a trial and tell the study its error, or why there is none."""
        start = time.perf_counter()
        try:
            error, stopped = self._error(trial, params)
        except TrialPruned as pruned:
            trial.set_user_attr(STOPPED, str(pruned))
            self._study.tell(trial, state=TrialState.PRUNED)
            outcome = str(pruned)
        except ValueError as refused:  # the settings do not fit, or diverge
            reason = " ".join(str(refused).split())
            trial.set_user_attr(REASON, reason)
            self._study.tell(trial, state=TrialState.PRUNED)
            if trial.user_attrs.get(DEFAULTS):
                raise ValueError(f"the defaults cannot be trained: {reason}") from refused
            outcome = f"not trained: {textwrap.shorten(reason, 60, placeholder=' ...')}"
        else:
            self._study.tell(trial, error)
            outcome = stopped or f"{error:.2f} %"
        say(self._line(trial, params, outcome, time.perf_counter() - start))

    def _error(self, trial: optuna.Trial, params: dict[str, Any]) -> tuple[float, str]:
        """Return the mean error, and why a trial was stopped before its last instance."""
        objective = self._search.objective
        instances = objective.instances
        errors: dict[str, float] = {}
        probe = functools.partial(self._probe, trial, params, errors, {})
        for instance in objective.order(trial.user_attrs[INDEX]):
            error = objective.error(params, instance, self._search.compute, probe)
            errors[name_of(instance)] = error
            trial.set_user_attr(ERRORS, errors)
            if len(instances) == 1 or not objective.prune:
                continue
            trial.report(error, instances.index(instance))
            if len(errors) == len(instances) or not trial.should_prune():
                continue
            best = self._study.best_trial.user_attrs[ERRORS]
            worse = mean({name: errors[name] - best[name] for name in errors})
            if worse > 0:
                share = f"stopped after {len(errors)} of {len(instances)} trainings"
                stopped = f"{share} ({worse:.2f} % worse)"
                trial.set_user_attr(STOPPED, stopped)
                return mean(best) + worse, stopped
        return mean(errors), ""

    def _probe(
        self,
        trial: optuna.Trial,
        params: dict[str, Any],
        errors: dict[str, float],
        probes: dict[str, dict[str, float]],
        data: str,
        seed: int,
        percent: int,
        error: float,
    ) -> None:
        """Note an early error; stop the trial if it is worse than those of others."""
        instance = name_of((data, seed))
        probes.setdefault(instance, {})[str(percent)] = error
        trial.set_user_attr(PROBES, probes)
        if len(self._search.objective.instances) == 1:
            trial.report(error, percent)
        others = self._probed(instance, percent)
        # The defaults, with which the others are compared, are never stopped. Of several
        # trainings only the first is: else each would add its chance of a false alarm.
        if not params or errors or len(others) < PROBED:
            return
        if error > np.quantile(others, WORSE_THAN[percent]):
            raise TrialPruned(f"stopped at {percent} % ({error:.2f} %)")

    def _probed(self, instance: str, percent: int) -> list[float]:
        """Return the errors of complete trials at this moment of the same training."""
        complete = self._trials(TrialState.COMPLETE)
        probes = (t.user_attrs.get(PROBES, {}).get(instance, {}) for t in complete)
        return [errors[str(percent)] for errors in probes if str(percent) in errors]

    def _line(
        self, trial: optuna.Trial, params: dict[str, Any], outcome: str, seconds: float
    ) -> str:
        """Return the line that reports a trial."""
        text = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in params.items()
        )
        best = whole_trials(self._study)
        known = f"; best {best[0].value:.2f} %, trial {best[0].number}" if best else ""
        return (
            f"trial {trial.number}: {outcome}, {duration(seconds)}{known}; "
            f"{text or 'the defaults'}"
        )


@functools.cache
def _all_keys(objective: Objective, root: Path | None) -> frozenset[str] | None:
    """Return the keys of all settings of a small space, or None if it is not small."""
    size = objective.space.size
    if size is None or size > SMALL:
        return None
    return frozenset(objective.key(params, root) for params in objective.space.each())
