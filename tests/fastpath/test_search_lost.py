"""Searches whose workers or journals are lost: nothing is lost with them."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from fastpath.search import objective as objectives
from fastpath.search import work
from fastpath.search.journal import Journal
from fastpath.search.lost import queue_again
from fastpath.search.stores import opened
from fastpath.search.work import Worker
from tests.fastpath.searches import quickly, run, search, trials_of


def test_a_trial_that_is_interrupted_is_queued_again(tmp_path, monkeypatch):
    calls = quickly(monkeypatch)
    error = objectives.Objective.error
    failing = {3: KeyboardInterrupt, 6: MemoryError}

    def interrupted(*args):
        if stop := failing.pop(len(calls), None):
            raise stop
        return error(*args)

    monkeypatch.setattr(objectives.Objective, "error", interrupted)
    given = search(tmp_path, trials=9)
    for expected in (KeyboardInterrupt, MemoryError):
        with pytest.raises(expected):
            run(given)
    trials, _ = run(given)
    # It ends with the trials of a search that was not interrupted.
    whole, _ = run(search(tmp_path / "whole", trials=9))
    assert sorted(str(t.params) for t in whole) == sorted(
        str(t.params) for t in trials if t.state == TrialState.COMPLETE
    )
    del calls[9:]
    failed = [t for t in trials if t.state == TrialState.FAIL]
    assert len(failed) == 2
    computed = [t.params for t in trials if t.state == TrialState.COMPLETE]
    assert len(computed) == 9
    assert all(trial.params in computed for trial in failed)
    assert len(calls) == 9


def test_the_trial_of_a_dead_worker_is_queued_again(tmp_path, monkeypatch):
    calls = quickly(monkeypatch)
    given = search(tmp_path, trials=6)
    run(search(tmp_path, trials=2))
    store = opened(given.storage)
    lost = optuna.load_study(study_name="test", storage=store.storage).ask(
        given.objective.space.searched
    )
    assert isinstance(store, Journal)
    for worker in (None, "killed"):  # before and after it gave its name
        if worker is not None:
            lost.set_user_attr("worker", worker)
        assert not store.alive(trials_of(given)[lost.number])
    trials, _ = run(given)
    assert trials[lost.number].state == TrialState.FAIL
    again = [t for t in trials if t.user_attrs.get("again") == lost.number]
    assert [t.params for t in again] == [lost.params]
    assert again[0].state == TrialState.COMPLETE
    assert len(calls) == 6


def test_settings_that_kill_their_workers_are_given_up(tmp_path, monkeypatch):
    quickly(monkeypatch)
    given = search(tmp_path, trials=4)
    run(search(tmp_path, trials=2))
    store = opened(given.storage)
    study = optuna.load_study(study_name="test", storage=store.storage)
    lost = study.ask(given.objective.space.searched)
    for killed in (1, 2, 3):
        store.queue_lost(study)
        waiting = study.get_trials(states=(TrialState.WAITING,))
        assert [t.user_attrs["killed"] for t in waiting] == [killed] * (killed < 3)
        if waiting:
            assert study.ask(given.objective.space.searched).params == lost.params
    trials, _ = run(given)
    assert sum(t.state == TrialState.FAIL for t in trials) == 3
    assert lost.params not in [t.params for t in trials if t.value is not None]


def test_settings_that_are_given_up_are_not_proposed_again(tmp_path, monkeypatch):
    settings = ("units=10", "k=2,3", "epochs=2", "head_epochs=1")
    killed = []

    def error(self, params, instance, compute, probe):
        if params.get("k") == 3:
            killed.append(params)
            raise KeyboardInterrupt
        return 1.0

    monkeypatch.setattr(objectives.Objective, "error", error)
    monkeypatch.setattr(
        work,
        "queue_again",
        lambda study, trial, killed: queue_again(study, trial, killed=True),
    )
    given = search(tmp_path, *settings, trials=9)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(given)
    trials, _ = run(given)
    assert len(killed) == 3
    assert sum(t.state == TrialState.COMPLETE for t in trials) == 1  # k = 2, the defaults


def test_a_mistake_just_after_asking_leaves_no_trial_behind(tmp_path, monkeypatch):
    quickly(monkeypatch)
    given = search(tmp_path, trials=3)
    run(search(tmp_path, trials=1))
    worker, key = Worker(given), objectives.Objective.key
    failing = [ValueError("the images are gone")] * 30  # the sampler asks for keys, too

    def fails(*args):
        if failing and any(t.state == TrialState.RUNNING for t in trials_of(given)):
            raise failing.pop()
        return key(*args)

    monkeypatch.setattr(objectives.Objective, "key", fails)
    with pytest.raises(ValueError, match="the images are gone"):
        worker.step(print)
    failing.clear()
    while worker.step(print):
        pass
    states = [t.state for t in trials_of(given)]
    assert states.count(TrialState.COMPLETE) == 3
    assert TrialState.RUNNING not in states


def test_the_end_of_a_search_ends_its_workers(tmp_path, monkeypatch):
    quickly(monkeypatch)
    given = search(tmp_path, trials=9)
    worker, lines = Worker(given), []
    assert worker.step(lines.append)
    study = optuna.load_study(study_name="test", storage=opened(given.storage).storage)
    study.set_user_attr("tested", 0)
    assert not worker.step(lines.append)
    assert lines[-1] == "the test set was looked at: the search is over"
    assert len(trials_of(given)) == 1


def test_defaults_that_cannot_be_trained_end_the_search(tmp_path, monkeypatch):
    def error(*_):
        raise ValueError("the weights diverge")

    monkeypatch.setattr(objectives.Objective, "error", error)
    with pytest.raises(ValueError, match="the defaults cannot be trained: the weights"):
        run(search(tmp_path))


def test_a_journal_that_is_lost_or_damaged_during_a_search(tmp_path, monkeypatch):
    quickly(monkeypatch)
    given = search(tmp_path)
    for change, message in (
        (lambda path: path.unlink(), "is damaged .*No such file"),
        (lambda path: path.write_text(""), "was removed or cut during the search"),
        (lambda path: path.write_text(path.read_text() + "no\n{}\n"), "is damaged"),
    ):
        path = Path(given.storage)
        path.unlink(missing_ok=True)
        worker = Worker(given)
        worker.step(print)
        change(path)
        with pytest.raises(ValueError, match=message):
            worker.step(print)


def test_the_workers_of_a_search_create_none(tmp_path):
    given = search(tmp_path)
    with pytest.raises(ValueError, match="must lie on a disk that all workers share"):
        Worker(given, create=False)
    assert not list(tmp_path.iterdir())


def test_a_living_worker_keeps_its_trial(tmp_path, monkeypatch):
    quickly(monkeypatch)
    given = search(tmp_path, trials=3)
    worker = Worker(given)
    seen = []

    def error(self, params, instance, compute, probe):
        store = opened(given.storage)
        [mine] = [t for t in trials_of(given) if t.state == TrialState.RUNNING]
        seen.append(store.alive(mine))
        store.queue_lost(optuna.load_study(study_name="test", storage=store.storage))
        return 1.0

    monkeypatch.setattr(objectives.Objective, "error", error)
    while worker.step(print):
        pass
    assert seen == [True] * 3
    assert {t.state for t in trials_of(given)} == {TrialState.COMPLETE}


def test_a_line_that_is_not_whole_is_removed(tmp_path, monkeypatch):
    quickly(monkeypatch)
    run(search(tmp_path, trials=3))
    path = Path(search(tmp_path).storage)
    before = path.read_bytes()
    path.write_bytes(before + b'{"op_code": 4, "worker')
    trials, _ = run(search(tmp_path, trials=5))
    assert sum(t.state == TrialState.COMPLETE for t in trials) == 5
    assert path.read_bytes().startswith(before + b"{")
    for line in path.read_bytes().splitlines():
        json.loads(line)
