"""A search: what it proposes, computes once, stops early, keeps, and scores at its end."""

import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from sklearn.linear_model import RidgeClassifier

from fastpath import cluster
from fastpath.cli import main
from fastpath.compute import Compute
from fastpath.experiment import Split
from fastpath.search import final, probes, work
from fastpath.search import objective as objectives
from fastpath.search.rotations import rotated
from fastpath.search.sampling import DistinctTPE
from fastpath.search.space import Space
from fastpath.search.stores import opened
from fastpath.search.study import ERRORS, PROBES, REASON, begin, whole_trials
from tests.fastpath.searches import SMALL, bowl, quickly, run, search, table
from tests.helpers import refused


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("searches") / "digits"
    main(["search", *SMALL, "--out", str(out), "--trials", "8", "--no-prune"])
    return out


def test_a_search_trains_and_scores_each_choice(done, tmp_path, capsys):
    rows = table(done)
    assert [row["note"] for row in rows] == ["the defaults", *[""] * 7]
    assert {row["state"] for row in rows} == {"complete"}
    row = rows[3]
    assert float(row["error"]) == float(row["digits/0"])
    flags = ["--units", "10", "--epochs", "2", "--head-epochs", "1", "--seed", "0"]
    given = ["--lr", row["lr"], "--delta", row["delta"], "--validation", "249"]
    main(
        ["train", "--data", "digits", *flags, *given, "--out", str(tmp_path / "run")]
    )  # the same error by the command
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["validation_error"] == float(row["error"])


def test_the_figures_and_the_page_show_the_trials(done):
    for name in ("history", "importances", "slices", "parallel"):
        image = matplotlib.image.imread(done / f"{name}.png")
        assert image.std() > 0.05
    page = (done / "search.html").read_text()
    assert page.count('class="plotly-graph-div"') == 4
    assert "error on held-out images [%]" in page


def test_a_search_goes_on_where_it_was(tmp_path, monkeypatch):
    quickly(monkeypatch)
    whole, _ = run(search(tmp_path / "whole", trials=13))
    for trials in (5, 13):
        parts, lines = run(search(tmp_path / "parts", trials=trials))
    assert len(lines) == 8
    assert [t.params for t in parts] == [t.params for t in whole]
    assert [t.value for t in parts] == [t.value for t in whole]
    other, _ = run(search(tmp_path / "other", trials=13, seed=1))
    assert [t.params for t in other] != [t.params for t in whole]


@pytest.mark.slow
def test_the_estimator_is_better_than_chance(tmp_path, monkeypatch):
    quickly(monkeypatch)
    trials, _ = run(search(tmp_path, trials=40))
    values = [trial.value for trial in trials[1:]]
    assert np.median(values[-15:]) < np.median(values[:10])
    assert whole_trials(
        optuna.load_study(
            study_name="test", storage=opened(search(tmp_path).storage).storage
        )
    )[0].value == min(t.value for t in trials)


def test_equal_settings_are_computed_once(tmp_path, monkeypatch):
    calls = quickly(monkeypatch)
    settings = ("units=10", "k=2,3", "delta=0.2,0.4", "epochs=2", "head_epochs=1")
    trials, _ = run(search(tmp_path, *settings, trials=50))
    # The defaults are k = 2 and delta = 0.4, one of the four.
    assert len(calls) == len(trials) == 4
    settings = ("units=10", "competition=ranking,soft", "temperature=1,2", "epochs=2")
    trials, _ = run(search(tmp_path / "2", *settings, trials=50))
    assert len(calls) == 4 + 3  # by the ranking, temperature changes nothing


def test_settings_that_cannot_be_trained_count_as_bad_ones(tmp_path, monkeypatch):
    quickly(monkeypatch)
    settings = ("units=4:12", "k=2:12", "delta=0.1,0.3", "epochs=2", "head_epochs=1")

    def error(self, params, instance, compute, probe):
        _, config = self.run(params, objectives.load("digits", None), "digits", seed=0)
        return float(config.competition.k)

    monkeypatch.setattr(objectives.Objective, "error", error)
    trials, lines = run(search(tmp_path, *settings, trials=15))
    without = [trial for trial in trials if REASON in trial.user_attrs]
    assert without
    for trial in without:
        assert trial.params["k"] > trial.params["units"]
        assert trial.state == TrialState.PRUNED
        assert "units" in trial.user_attrs[REASON]
    assert sum("not trained: " in line for line in lines) == len(without)


def test_worse_trainings_are_stopped(tmp_path, monkeypatch):
    seen = []

    def error(self, params, instance, compute, probe):
        value = bowl(params)
        for percent in (25, 50):
            probe(*instance, percent, value + 3)
            seen.append(percent)
        return value

    monkeypatch.setattr(objectives.Objective, "error", error)
    trials, _ = run(search(tmp_path, trials=20))
    complete = [
        [t for t in trials[:i] if t.state == TrialState.COMPLETE] for i in range(20)
    ]
    for trial, before in zip(trials, complete, strict=True):
        early = bowl(trial.params) + 3
        others = [t.user_attrs[PROBES]["digits/0"]["25"] for t in before]
        enough = len(others) >= work.PROBED
        at_25 = enough and early > np.quantile(others, 0.75)
        at_50 = enough and early > np.quantile(others, 0.5)
        assert (trial.state == TrialState.PRUNED) == (at_25 or at_50)
        assert list(trial.intermediate_values) == ([25] if at_25 else [25, 50])
    assert 2 < sum(t.state == TrialState.PRUNED for t in trials) < 18


@pytest.mark.slow
def test_settings_that_are_worse_on_several_seeds_are_stopped(tmp_path, monkeypatch):
    calls = quickly(monkeypatch, lambda params, data, seed: bowl(params) + seed)
    trials, lines = run(search(tmp_path, trials=25, seeds=8))
    stopped = [t for t in trials if "stopped" in t.user_attrs]
    assert len(stopped) > 5
    assert len(calls) < 25 * 8
    for trial in stopped:
        done = len(trial.user_attrs[ERRORS])
        assert f"stopped after {done} of 8 trainings" in trial.user_attrs["stopped"]
        assert done < 8
        # The estimate, from the same seeds of the best trial, is exact here.
        assert trial.value == pytest.approx(bowl(trial.params) + 3.5, rel=1e-12)
    best = min(trials, key=lambda trial: trial.value)
    assert best not in stopped
    assert sum("of 8 trainings" in line for line in lines) == len(stopped)


def test_data_sets_of_one_file_name_have_names_of_their_own():
    assert final.labels(("a/x.npz", "b/x.npz", "digits")) == {
        "a/x.npz": "x",
        "b/x.npz": "x-2",
        "digits": "digits",
    }


def test_the_proposals_are_those_of_optuna(tmp_path, monkeypatch):
    quickly(monkeypatch)
    run(search(tmp_path, trials=15))
    given = search(tmp_path)
    study = optuna.load_study(study_name="test", storage=opened(given.storage).storage)
    space: Space = given.objective.space
    sampler = DistinctTPE(space, seed=0, is_taken=lambda *_: False)
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = 15
    monkeypatch.setattr(optuna.storages.JournalStorage, "set_trial_system_attr", print)
    found = sampler.sample_relative(study, trial, dict(space.searched))
    theirs = optuna.samplers.TPESampler(seed=sampler._seed_of(study, trial, 0))
    assert found == theirs.sample_relative(study, trial, dict(space.searched))
    assert found.keys() == space.searched.keys()


@pytest.mark.parametrize("shape", [(60, 10), (30, 50)])
def test_the_ridge_classifier_is_that_of_scikit_learn(shape):
    generator = torch.Generator().manual_seed(0)
    x, more = (torch.rand(n, shape[1], generator=generator) for n in (shape[0], 200))
    y = torch.randint(4, (shape[0],), generator=generator)
    centred = (x - x.mean(dim=0)).double()
    size = min(shape)
    penalty = probes.RIDGE * float(centred.square().sum()) / size
    theirs = RidgeClassifier(alpha=penalty).fit(x.double().numpy(), y.numpy())
    mine = probes.ridge(x, y, more, num_classes=4)
    assert np.array_equal(mine.numpy(), theirs.predict(more.double().numpy()))


def test_early_errors_are_those_of_the_features_then(tmp_path):
    given = search(tmp_path, "units=10", "lr=0.1:1", "epochs=8", "head_epochs=2")
    seen = []
    params = {"lr": 0.3}
    args = params, ("digits", 0), given.compute, lambda *told: seen.append(told)
    given.objective.error(*args)
    assert [told[:3] for told in seen] == [("digits", 0, 25), ("digits", 0, 50)]
    assert all(0 < told[3] < 95 for told in seen)
    assert probes.due(1, 3) == 25
    assert [probes.due(epoch, 8) for epoch in range(1, 9)] == [
        *(None, 25, None, 50),
        *[None] * 4,
    ]
    assert [probes.due(1, 1), probes.due(1, 2)] == [None, 25]


def test_a_search_by_rotations_uses_no_labels(tmp_path, monkeypatch):
    settings = ("units=10", "augment_use=features", "augment_crop=0:2", "epochs=8")
    given = search(tmp_path, *settings, score="rotation").objective
    told, errors = [], []
    digits = objectives.load("digits", None)
    shuffled = np.random.default_rng(0).permutation(digits.y_train)
    for labels in (digits.y_train, shuffled):
        changed = replace(digits, y_train=labels)
        monkeypatch.setattr(objectives, "load", lambda *_, of=changed: of)
        told.append([])
        params = {"augment_crop": 1}
        args = params, ("digits", 0), Compute(threads=1), lambda *t: told[-1].append(t)
        errors.append(given.error(*args))
    assert errors[0] == errors[1]
    assert told[0] == told[1]
    assert len(told[0]) == 2
    assert 5 < errors[0] < 70  # chance: 75


def test_images_are_shown_at_four_angles():
    x = torch.arange(2 * 3 * 3).view(2, 3, 3).to(torch.uint8)
    split = Split(x, torch.zeros(2).long(), x[:1], torch.zeros(1).long(), "validation")
    found = rotated(split)
    assert found.y_train.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for image, label in zip(found.x_train.numpy(), found.y_train.tolist(), strict=True):
        originals = [np.rot90(each, label) for each in x.numpy()]
        assert any(np.array_equal(image, each) for each in originals)
    assert len(found.x_eval) == 4
    oblong = Split(x[:, :2], split.y_train, x[:1, :2], split.y_eval, "validation")
    with pytest.raises(ValueError, match="they must be square"):
        rotated(oblong)


def test_the_test_set_is_looked_at_once(done, capsys, monkeypatch):
    main(["search", "--out", str(done), "--final"])
    said = capsys.readouterr().out
    result = json.loads((done / "final.json").read_text())
    rows = [row for row in table(done) if row["state"] == "complete"]
    best = min(rows, key=lambda row: float(row["error"]))
    assert result["trial"] == int(best["trial"])
    for role in ("best", "defaults"):
        errors = result["test_error"][role]["digits"]
        assert len(errors) == 3
        for seed, error in enumerate(errors):
            folder = done / "final" / f"{role}-digits-{seed}"
            config = json.loads((folder / "config.json").read_text())
            assert config["validation"] == 0
            assert config["seed"] == seed
            assert json.loads((folder / "metrics.json").read_text())["test_error"] == error
        assert f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1):.2f}" in said
    config = json.loads((done / "final" / "best-digits-0" / "config.json").read_text())
    if best["lr"]:
        assert config["training"]["lr"] == float(best["lr"])
    monkeypatch.setattr("fastpath.search.final._train", None)
    main(["search", "--out", str(done), "--final"])
    assert capsys.readouterr().out == said
    assert "was scored on the test set" in refused(capsys, "search", "--out", done)


def test_mistakes_of_a_search_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(objectives, "DRAWS", 2)
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 1)
    out = tmp_path / "search"
    begun = ("search", *SMALL, "--out", out, "--trials", 1)
    assert "there is no search in" in refused(capsys, "search", "--out", out)
    assert "no trial of the search 'search' is complete" in refused(
        capsys, "search", *SMALL, "--out", out, "--final"
    )
    main(list(map(str, begun)))
    capsys.readouterr()
    other = refused(capsys, *begun[:-2], "--seeds", 2)
    assert "holds a search of other settings under the name 'search'" in other
    assert "seeds (1 there, 2 here)" in other
    half = ("search", "--out", out)
    assert "a setting to search is not given" in refused(capsys, *half, "--data", "digits")
    assert "--data is not given" in refused(capsys, *half, "lr=0.1:1")
    assert "holds no search 'anders' (there are search)" in refused(
        capsys, "search", "--out", out, "--name", "anders"
    )
    for flags, message in (
        (("--trials", 0), "trials is 0"),
        (("--hours", -1), "hours is -1.0"),
        (("--hours", "inf"), "hours is inf"),
        (("--workers", 0), "workers is 0"),
        (("--workers", 2, "--scheduler", "x:1"), "give one of them"),
        (("--final", "--trials", 3), "--trials 3 has no effect with --final"),
        (("--scheduler", "127.0.0.1:9"), "no dask scheduler answers at 127.0.0.1:9"),
        (("--storage", "postgresql://127.0.0.1:9/x"), "does not answer"),
        (("--storage", "nosuch://x"), "is of no known database"),
        (("--storage", "sqlite://"), "is lost when the command ends"),
        (("--storage", "sqlite:/x.db"), "sqlite:// is needed"),
        (("--storage", "/dev/null"), "is no file: a journal is one"),
        (("--data", "mnits"), "Did you mean 'mnist'"),
    ):
        assert message in refused(capsys, "search", *SMALL, "--out", out, *flags)
    damaged = tmp_path / "damaged.log"
    damaged.write_text("nothing\nof a journal\n")
    assert "no journal of Optuna" in refused(
        capsys, "search", *SMALL, "--out", out, "--storage", damaged
    )


def test_another_study_in_the_same_journal(tmp_path, monkeypatch):
    quickly(monkeypatch)
    for name in ("one", "two"):
        run(search(tmp_path, trials=2, name=name))
    store = opened(search(tmp_path).storage)
    optuna.create_study(study_name="foreign", storage=store.storage)
    monkeypatch.setattr("fastpath.search.study.PAUSE", 0.0)
    with pytest.raises(ValueError, match="is none of fastpath"):
        begin(search(tmp_path, name="foreign"), store)
