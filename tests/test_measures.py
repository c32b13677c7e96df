"""What studies measure of the networks they trained, against loops."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.competition import Equilibrium, Ranking
from fastpath.layers import Dense
from neurodyn import equilibrium
from scenarios import hysteresis, multilayer, settling
from scenarios.ladder import mimic, study, training
from scenarios.ladder.training import FullScale, OneByOne
from scenarios.support import trials
from scenarios.support.circuit import TAU_MS
from tests import learners, watching
from tests.learners import ladder_source
from tests.watching import images

SEEDS, UNITS, PIXELS = 3, 4, 6
NUMBERS = {"error": 5.0, "winless": 1, "used": 2.0, "active": 1.5, "learn_seconds": 0.1}


def cosine(one, other):
    return float(one @ other) / np.linalg.norm(one) / np.linalg.norm(other)


def matched(one, other):
    """The cosine of each row with its match: here rows are only reordered and noisy."""
    return [max(cosine(row, column) for column in other) for row in one]


def rows(rng, order):
    """Return rows along different axes, in some order, a little off them."""
    return 0.1 * rng.random((UNITS, PIXELS)) + np.eye(UNITS, PIXELS)[order]


def test_trainings_one_by_one_are_compared_row_by_row():
    rng = np.random.default_rng(0)
    rules = ["settled circuit", "equilibrium", "ranking"]
    level = {"level": Ranking(), "num_units": UNITS, "rate": 0.1, "probe_w_inh": 0.5}
    made, found, weights = [], [], {}
    for seed in range(SEEDS):
        for rule in rules:
            trial = OneByOne(
                name=rule,
                source=ladder_source(seed),
                presentations=20,
                head_epochs=1,
                **level,
            )
            last = (seed + 1) * rows(rng, rng.permutation(UNITS))
            snapshots = np.stack([rng.random((UNITS, PIXELS)), last])
            weights[rule, seed] = snapshots
            result = xr.Dataset(
                {
                    "snapshots": (("snapshot", "unit", "pixel"), snapshots),
                    "weights": (("unit", "pixel"), last),
                    "weight_norm": ("unit", np.linalg.norm(last, axis=1)),
                    **NUMBERS,
                },
                coords={"snapshot": [0, 20]},
            )
            made.append(trial)
            found.append(result)
    result = study.one_by_one_results(made, found)
    for (rule, seed), (start, last) in weights.items():
        here = result.sel(rule=rule, seed=seed)
        first, reference = weights["equilibrium", seed]
        away = np.linalg.norm(last - reference) / np.linalg.norm(reference)
        assert float(here["weight_distance"]) == pytest.approx(away)
        for snapshot, (mine, theirs) in enumerate(((start, first), (last, reference))):
            mean = np.mean([cosine(*pair) for pair in zip(mine, theirs, strict=True)])
            same = here["same_unit_cosine"].isel(snapshot=snapshot)
            assert float(same) == pytest.approx(mean)
        for other in rules:
            alike = here["feature_cosine"].sel(other_rule=other)
            np.testing.assert_allclose(alike, matched(last, weights[other, seed][1]))
        following = weights[rule, (seed + 1) % SEEDS][1]
        np.testing.assert_allclose(here["other_seed_cosine"], matched(last, following))
    assert result["snapshot"].values.tolist() == [0, 20]


def test_trainings_at_full_scale_are_compared_by_the_median_unit():
    rng = np.random.default_rng(1)
    names = ["equilibrium", "ranking"]
    made, found, weights = [], [], {}
    for seed in range(SEEDS):
        for name in (*names, "back-propagation"):
            trial = FullScale(
                name=name,
                level=Ranking(),
                source=ladder_source(seed),
                num_units=UNITS,
                epochs=1,
                head_epochs=1,
                probe_w_inh=0.5,
            )
            result = xr.Dataset(NUMBERS)
            if name in names:
                weights[name, seed] = (2 + seed) * rows(rng, rng.permutation(UNITS))
                result["weights"] = (("unit", "pixel"), weights[name, seed])
            made.append(trial)
            found.append(result)
    result = study.full_results_of(made, found).sel(num_units=UNITS)
    for (name, seed), mine in weights.items():
        here = result.sel(network=name, seed=seed)
        alike = np.median(matched(mine, weights["equilibrium", seed]))
        other = np.median(matched(mine, weights[name, (seed + 1) % SEEDS]))
        assert float(here["full_feature_cosine"]) == pytest.approx(alike)
        assert float(here["full_other_seed_cosine"]) == pytest.approx(other)
        norm = np.median(np.linalg.norm(mine, axis=1))
        assert float(here["full_norm"]) == pytest.approx(norm)
    assert np.isnan(result["full_norm"].sel(network="back-propagation")).all()


@pytest.mark.parametrize("rule", [Ranking(), Equilibrium(w_inh=0.6, h_star=0.3)])
def test_learning_one_by_one_is_a_loop_whose_snapshots_stay(rule):
    rng = np.random.default_rng(2)
    weights = torch.from_numpy(rng.normal(size=(UNITS, PIXELS)))
    bank = rng.random((5, PIXELS))
    order = rng.integers(0, 5, 2 * training.SNAPSHOTS)
    expected, snapshots = weights.numpy().copy(), [weights.numpy().copy()]
    for step, image in enumerate(order, start=1):
        drive = expected @ bank[image]
        g = rule(torch.from_numpy(drive[None]))[0].numpy()
        change = g[:, None] * (bank[image] - drive[:, None] * expected)
        expected = expected + 0.1 * change
        if step % 2 == 0:
            snapshots.append(expected)
    found, _ = training.one_by_one(
        rule, Dense(weights), torch.from_numpy(bank), order, rate=0.1
    )
    np.testing.assert_allclose(found, snapshots, rtol=0, atol=1e-13)


def test_snapshots_are_labelled_by_the_presentations_before():
    trial = {"name": "ranking", "level": Ranking(), "num_units": UNITS, "rate": 0.1}
    judged = {"head_epochs": 1, "probe_w_inh": 0.5, "presentations": 30}
    with watching.given(images()):
        found = OneByOne(source=ladder_source(0), **trial, **judged).compute()
    assert found["snapshot"].values.tolist() == [*range(0, 31, 3)]
    np.testing.assert_array_equal(found["weights"], found["snapshots"][-1])


@pytest.fixture
def trained():
    """The weights of a network of the ladder, before and after learning."""
    with watching.given(images()):
        yield learners.one_step("late", 5).network.compute()


def test_an_imitation_is_the_best_of_all_that_are_tried(trained, monkeypatch):
    """Chosen by cos(ΔW) on the first half of the images, scored on the second."""
    monkeypatch.setattr(mimic, "STRENGTHS", (0.5, 0.9))
    monkeypatch.setattr(mimic, "SHARES", (0.4, 0.8))
    trial = learners.imitation()
    found = trial.compute(trained).sel(k=2, delta=0.4, threshold="share")
    w = trained["weights"].sel(stage="late").values.astype(float)
    source = trial.network.source
    v = source.seen(source.validation().x_eval[:22]).numpy()
    halves = (v[:11], v[11:])

    def change(g, images):
        drive = images @ w.T
        return (g.T @ images - (g * drive).sum(axis=0)[:, None] * w).ravel()

    def score(w_inh, share, images):
        drive = images @ w.T
        h = equilibrium.settle(drive, w_inh=w_inh)
        above = h >= share * h.max(axis=1, keepdims=True)
        mine = np.where(above, 1.0, np.where(h >= 0, -0.4, 0.0))
        order = np.argsort(-drive, axis=1)
        theirs = np.zeros_like(drive)
        np.put_along_axis(theirs, order[:, :1], 1.0, axis=1)
        floor = theirs.copy()
        np.put_along_axis(theirs, order[:, 1:2], -0.4, axis=1)
        theirs = change(theirs, images)
        return cosine(change(mine, images), theirs), cosine(change(floor, images), theirs)

    tried = [(w_inh, share) for w_inh in (0.5, 0.9) for share in (0.4, 0.8)]
    best = max(tried, key=lambda one: score(*one, halves[0])[0])
    assert (float(found["mimic_w_inh"]), float(found["mimic_h_star"])) == best
    reached, floor = score(*best, halves[1])
    assert float(found["mimic_cosine"]) == pytest.approx(reached)
    assert float(found["mimic_floor"]) == pytest.approx(floor)


def test_a_stack_is_read_out_as_it_has_learned_and_took_the_time_of_all(monkeypatch):
    with watching.given(images()):
        source = trials.Source(name="given", path="given")
        config = multilayer.Config(preset="quick", seeds=1, units=learners.UNITS)
        (deep,) = (c for c in multilayer.trials(config, source) if c.network == "3 layers")
        deep = learners.small(deep)
        deep = replace(
            deep, layers=(*deep.layers[:-1], replace(deep.layers[-1], power=3.0))
        )
        assert deep.preprocess != deep.layers[-1].preprocess
        towers = []
        for tower in deep.needs:
            seconds = {"train_seconds": 10.0 ** len(towers)}
            towers.append(tower.compute(*towers).assign(seconds))
        asked = {}
        read_out = multilayer.networks.experiment.read_out

        def noted(layer, preprocess, split, **settings):
            asked.update(layer=layer, preprocess=preprocess)
            return read_out(layer, preprocess, split, **settings)

        monkeypatch.setattr(multilayer.networks.experiment, "read_out", noted)
        result = deep.compute(*towers)
    assert float(result["learn_seconds"]) == 111
    assert asked["preprocess"].steps == deep.layers[0].preprocess
    state, names = asked["layer"].state, ("mixing", "mean", "weights")
    held = {name: v for name, v in state.items() if name.endswith(names)}
    learned = [tower[name] for tower in towers for name in names if name in tower]
    assert len(learned) == 7
    for (name, tensor), expected in zip(held.items(), learned, strict=True):
        np.testing.assert_array_equal(tensor, expected, err_msg=name)
    # The readout has an n of its own.
    v, last = torch.rand(5, learners.UNITS), asked["layer"].learners[-1]
    cosines = asked["layer"].outputs(v, [last])[last]
    found = asked["layer"].features(v, power=2.0)
    torch.testing.assert_close(found, cosines.clamp(min=0) ** 2)
    assert float(result["dead"]) == float(towers[-1]["dead"])


def test_units_that_learned_nothing_in_the_last_epoch_are_dead():
    metrics = {"train_seconds": 1.0, "test_error": 3.0, "train_error": 2.0}
    split = SimpleNamespace(scored_on="test")
    for learning, dead in (([1.0, 0.75], 25.0), ([], np.nan)):
        history = xr.Dataset({"learning": ("epoch", learning)})
        trained = SimpleNamespace(history=history, metrics=metrics)
        found = trials.Local.score(None, trained, split)
        np.testing.assert_equal([float(found["dead"]), float(found["error"])], [dead, 3])


def test_activity_is_measured_at_the_ends_of_the_durations():
    """Each duration has its own numbers of active units and distances from rest."""
    config = settling.Config(durations=(5.0, 20.0), num_images=2, units=3, w_inh=(0.5,))
    drive = np.array([[1.0, 0.9, 0.1], [0.5, 0.2, 0.4]])
    settled = equilibrium.settle(drive, w_inh=0.5)
    end = settled + np.array([0.01, -0.02, 0.0])
    per_image = round(20 * TAU_MS / settling.experiment.SAMPLE_MS)
    early = round(5 * TAU_MS / settling.experiment.SAMPLE_MS)
    h = np.full((2, per_image, 3), 9.0)
    h[:, early - 1], h[:, -1] = 2.0, end
    activity = np.concatenate([np.zeros((1, 3)), h.reshape(-1, 3)])
    run = xr.Dataset(
        {"drive": (("image", "unit"), drive), "activity": (("time", "unit"), activity)},
        attrs={"config": '{"dt_ms": 0.5}'},
    )
    found = settling.experiment.measure(config, run, 0.5)
    last = (end > 0).sum(axis=1)
    np.testing.assert_array_equal(found["active_units"], np.stack([[3, 3], last], axis=1))
    first = abs(2 - settled).max(axis=1) / drive.max(axis=1)
    expected = np.stack([first, 0.02 / drive.max(axis=1)], axis=1)
    np.testing.assert_allclose(found["distance"], expected)
    np.testing.assert_array_equal(found["settled_units"], (settled > 0).sum(axis=1))


def test_a_state_is_held_where_the_winner_of_the_image_before_wins_wrongly():
    """Of five images: the first is left out, then right, held, another one, held by two."""
    outcomes = {
        "winner": [2, 1, 1, 0, 0],
        "largest_drive": [2, 1, 3, 3, 1],
        "active_units": [1, 1, 1, 1, 2],
    }
    result = xr.Dataset({name: ("image", values) for name, values in outcomes.items()})
    found = {name: float(share) for name, share in hysteresis.shares(result).items()}
    assert found == {"right": 0.25, "held": 0.5, "not_alone": 0.25}
