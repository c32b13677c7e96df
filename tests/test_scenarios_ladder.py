"""The ladder: its parts against loops, its grid, and the whole of it in small."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import cluster
from scenarios import ladder
from scenarios.ladder import answers, plan, study
from scenarios.ladder.config import QUICK, chosen
from scenarios.ladder.figure import PANELS
from scenarios.ladder.networks import Network, Source
from scenarios.ladder.one_step import (
    LEVELS,
    OneStep,
    Step,
    Trace,
    circuit_shares,
    time_above,
    who_learns,
)
from scenarios.support import grid
from scenarios.support.circuit import single_winner_threshold
from tests.helpers import figures_saved, mistake

SMALL = {
    "units": (8,),
    "trained": (8,),
    "num_images": (3,),
    "w_inh": (0.5,),
    "durations": (5.0, 20.0),
    "epochs": 2,
    "head_epochs": 1,
    "presentations": 20,
    "train_duration": 5.0,
    "step_backend": "numpy",
    "backend": "numpy",
}


def network(seed=0, num_units=8):
    source = Source(data="digits", unit_norm=False, seed=seed)
    return Network(source=source, num_units=num_units, epochs=2)


def step(**changes):
    settings = {
        "network": network(),
        "stage": "late",
        "w_inh": 0.6,
        "num_images": 3,
        "durations": (5.0, 60.0),
        "shares": (0.5,),
        "ks": (2, 3),
        "deltas": (0.4,),
        "backend": "numpy",
    }
    return OneStep(**settings | changes)


def test_levels_are_compared_as_loops_would():
    trial, given = step(), network().compute()
    result = trial.compute(given)
    start = Step.of(trial, given)
    v, weights = start.v.numpy(), start.weights.numpy()
    drive, threshold = v @ weights.T, 0.5 * start.settled.max(axis=1)
    g = {name: np.zeros_like(drive) for name in ("equilibrium", "ranking", "Hebb only")}
    for b, order in enumerate((-drive).argsort(axis=1)):
        g["ranking"][b, order[0]], g["ranking"][b, order[2]] = 1, -0.4
        g["Hebb only"][b, order[0]] = 1
        for u, h in enumerate(start.settled[b]):
            if h >= 0:
                g["equilibrium"][b, u] = 1 if h >= threshold[b] else -0.4
    change = {name: np.zeros_like(weights) for name in g}
    for name, values in g.items():
        for b, image in enumerate(v):
            for u, row in enumerate(weights):
                change[name][u] += values[b, u] * (image - drive[b, u] * row)
    view = result.sel(h_star="0.5", k=3, delta=0.4, reference="equilibrium", duration=60)
    size = {name: np.linalg.norm(one) for name, one in change.items()}
    for name in ("ranking", "Hebb only"):
        inner = (change[name] * change["equilibrium"]).sum()
        cosine = inner / size[name] / size["equilibrium"]
        assert float(view["cosine"].sel(level=name)) == pytest.approx(cosine, rel=1e-12)
        norm = size[name] / size["equilibrium"]
        assert float(view["norm"].sel(level=name)) == pytest.approx(norm, rel=1e-12)
        same = (g[name] == g["equilibrium"]).all(axis=1).mean()
        assert float(view["same_g"].sel(level=name)) == same
    settled = view.sel(level="settled")
    assert float(settled["cosine"]) == pytest.approx(1, abs=1e-12)
    assert float(settled["same_g"]) == 1
    assert float(result["order_equal"].min()) == 1
    # Units that end inactive unlearn before: more so in a shorter presentation.
    continuous = result["cosine"].sel(level="continuous", reference="equilibrium")
    assert (continuous.sel(duration=5) < continuous.sel(duration=60)).all()


def test_time_above_follows_straight_lines():
    h = np.array([[[0.0], [2.0], [1.0], [1.0], [-1.0]]])
    np.testing.assert_allclose(time_above(h, 1.0)[0, :, 0], [0.5, 1, 1, 0])
    np.testing.assert_allclose(time_above(h, 0.0)[0, :, 0], [1, 1, 1, 0.5])


def test_shares_are_averages_over_the_time_of_learning():
    """One unit passes h* at 2 τ; another is positive for the first τ only."""
    time = np.arange(0, 4.5, 0.5)
    h = np.stack([np.where(time < 1.75, 0.5, 2.0), 1 - time], axis=1)[None]
    h[0, 4:, 0], h[0, 3, 0] = 1.5, 0.5
    shares = circuit_shares(Trace(h=h, time=time), np.array([1.0]), (4.0,))
    hebbian, anti = shares["continuous", "T", 0]
    np.testing.assert_allclose(hebbian, [[(2 + 0.25) / 4, 0]])
    np.testing.assert_allclose(anti, [[(1.5 + 0.25) / 4, 1 / 4]])
    hebbian, anti = shares["gated", "T", 0]
    np.testing.assert_allclose([hebbian, anti], [[[1, 0]], [[0, 0]]])
    settled = shares["settled", "T", 0]
    np.testing.assert_allclose(settled, who_learns(h[:, -1], np.array([1.0])))


def test_the_fixed_threshold_lets_one_unit_pass():
    h = np.array([[3.0, 1.0], [4.0, 2.0], [5.0, 2.5], [1.0, 0.5]])
    h_star = single_winner_threshold(h)
    assert ((h >= h_star).sum(axis=1) == 1).sum() == 3


def test_features_are_matched_whatever_their_order():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(6, 20))
    assert study.matched(first, 3 * first[::-1]) == pytest.approx(np.ones(6))
    assert study.matched(first, rng.normal(size=(6, 20))).mean() < 0.9
    pair = np.stack([first, first[::-1]])
    assert study.between_seeds(pair) == pytest.approx(np.ones((2, 6)))
    assert np.isnan(study.between_seeds(pair[:1])).all()


def folder_of(tmp_path, **settings):
    config = ladder.Config(
        preset="quick",
        **SMALL | settings,
        seeds=settings.pop("seeds", 1),
        out=tmp_path / "run",
        figure=tmp_path / "ladder.png",
    )
    return chosen(config)


@pytest.fixture
def few_ways(monkeypatch):
    ways = ("settled, numpy", "equilibrium, batch 100", "ranking, batch 100")
    monkeypatch.setattr(plan, "QUICK_WAYS", ways)
    monkeypatch.setattr(plan, "TRIED_W_INH", (0.7,))
    monkeypatch.setattr(plan, "TRIED_H_STAR", (0.2, 0.4))
    monkeypatch.setattr("scenarios.ladder.cost.SECONDS", 0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("few_ways")
def test_the_whole_in_small(tmp_path, capsys, monkeypatch):
    config = folder_of(tmp_path)
    with figures_saved() as figures:
        result = ladder.main(config)
    said = capsys.readouterr().out
    assert "Conclusions" in said
    assert (tmp_path / "run/summary.txt").read_text() in said
    assert (tmp_path / "ladder.png").exists()
    whole, *alone = figures
    assert len(alone) == len(PANELS)
    assert all(ax.has_data() for ax in whole.axes)
    [caption] = [text for text in whole.texts if "Whole trainings" in text.get_text()]
    extent = caption.get_window_extent()
    assert whole.bbox.x0 <= extent.x0 < extent.x1 <= whole.bbox.x1
    saved = xr.load_dataset(tmp_path / "run/ladder.nc", engine="h5netcdf")
    xr.testing.assert_allclose(saved, result)
    for variable in saved.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert set(saved["level"].values) == set(LEVELS)
    ranking = saved["cosine"].sel(w_inh=0.5, level="ranking")
    assert np.isfinite(ranking).all()
    assert json.loads(saved.attrs["config"])["units"] == [8]
    itself = saved["cosine"].sel(level="equilibrium", reference="equilibrium")
    np.testing.assert_allclose(itself, 1, rtol=1e-12)
    assert saved["weight_distance"].sel(rule="equilibrium").max() == 0
    # The second time all parts are there, and nothing is computed.
    monkeypatch.setattr(grid, "compute", None)
    again = study.results(config, config.out)
    xr.testing.assert_allclose(again, result)


def trials():
    return [network(seed) for seed in (0, 1)]


def test_an_interrupted_grid_goes_on_where_it_was(tmp_path):
    def interrupted(tasks):
        yield from list(grid.in_turn(tasks[:1]))
        raise KeyboardInterrupt

    tasks = [(trial, ()) for trial in trials()]
    with pytest.raises(KeyboardInterrupt):
        grid.filled(tasks, tmp_path, interrupted)
    [kept] = tmp_path.iterdir()
    asked = []

    def counted(tasks):
        asked.extend(trial for trial, _ in tasks)
        return grid.in_turn(tasks)

    results = grid.filled(tasks, tmp_path, counted)
    assert asked == [trials()[1]]
    assert grid.path_of(trials()[0], tmp_path) == kept
    stacked = grid.stacked(trials(), results)
    assert dict(stacked.sizes)["seed"] == 2
    for seed, result in enumerate(results):
        xr.testing.assert_equal(
            stacked.isel(num_units=0, images=0).sel(seed=seed)["weights"].drop_vars("seed"),
            result["weights"].assign_coords(num_units=8, images="raw"),
        )
    assert len(grid.filled(tasks, tmp_path, lambda tasks: iter(tasks))) == 2
    kept.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"is damaged .*: delete it"):
        grid.filled(tasks, tmp_path, counted)


def test_settings_name_the_file(tmp_path):
    names = {
        grid.path_of(trial, tmp_path)
        for trial in (step(), step(w_inh=0.7), step(ks=(2,)), step(stage="early"))
    }
    assert len(names) == 4
    elsewhere = replace(network(), source=replace(network().source, root=tmp_path))
    assert grid.path_of(elsewhere, tmp_path) == grid.path_of(network(), tmp_path)


@pytest.mark.slow
def test_two_processes_give_the_same_result(tmp_path):
    given = network().compute()
    tasks = [(step(w_inh=w_inh), (given,)) for w_inh in (0.3, 0.6, 0.9)]
    serial = grid.filled(tasks, tmp_path / "serial", grid.in_turn)
    with grid.sharing(2, None) as share:
        shared = grid.filled(tasks, tmp_path / "shared", share)
        started = [
            Path(f"/proc/{process.pid}/environ").read_text()
            for process in multiprocessing.active_children()
        ]
    assert len(started) >= 2
    # Set, it makes training slow: see `grid.MEMORY_AT_ONCE`.
    assert not any("MALLOC_TRIM_THRESHOLD_" in environment for environment in started)
    for one, other in zip(serial, shared, strict=True):
        xr.testing.assert_identical(
            one.drop_vars("run_seconds").drop_attrs(),
            other.drop_vars("run_seconds").drop_attrs(),
        )


def test_quick_leaves_what_is_given():
    config = chosen(ladder.Config(preset="quick", seeds=5))
    assert config.seeds == 5
    assert config.data == "digits"
    assert config.units == QUICK.units
    assert chosen(ladder.Config()).data == "mnist"
    config = ladder.Config(durations=(5, 300), w_inh=(0.3, 0.5, 0.7, 0.9))
    assert config.durations_of(100, 0.9) == (5, 300)
    assert config.durations_of(100, 0.5) == config.durations_of(500, 0.9) == (5,)
    assert config.strengths_of(100) == config.w_inh
    assert config.strengths_of(500) == (0.5, 0.9)
    assert config.passes_of(500, 10) == 5


def alike(cosine):
    """Return likenesses (w_inh, duration) as results, the same everywhere else."""
    dims = ("num_units", "images", "stage", "seed", "h_star", "k", "delta", "level")
    return xr.Dataset(
        {"cosine": ((*dims, "reference", "w_inh", "duration"), cosine[(None,) * 9])},
        coords={
            "k": [2],
            "delta": [0.4],
            "level": ["settled"],
            "reference": ["equilibrium"],
            "w_inh": [0.5, 0.9, 1.2],
            "duration": [5.0, 20.0, 100.0],
        },
    )


def test_the_time_needed_is_the_first_from_which_all_are_near():
    result = alike(np.array([[0.5, 0.995, 1], [0.995, 0.9, 1], [0, 0, 0]]))
    assert answers.needed(result, "settled") == {0.5: (20, 100), 0.9: (100, 100)}
    result = alike(np.array([[0.5, 0.5, 0.9], [1, 1, 1], [0, 0, 0]]))
    assert answers.needed(result, "settled") == {0.5: (np.inf, 100), 0.9: (5, 100)}


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ([5.0, 6.1, 7.0], "1.03 ± 0.06 points worse than equilibrium, in every seed"),
        ([3.9, 5.1, 5.9], "0.03 ± 0.12 points better than equilibrium, within the spread"),
    ],
)
def test_differences_say_whether_seeds_agree(first, verdict):
    errors = [xr.DataArray(values, dims="seed") for values in (first, [4.0, 5.0, 6.0])]
    assert verdict in answers.difference(*errors, "Ranking")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"w_inh": (-0.1,)}, "w_inh is -0.1"),
        ({"w_inh": (0.9, 0.5)}, "increasing"),
        ({"units": (100,)}, r"num_images is \(20, 20\)"),
        ({"shares": (0.5, 1.0)}, "below 1"),
        ({"deltas": (0.0, 0.4)}, "must be positive"),
        ({"trained": (7,)}, "some of the sizes"),
        ({"ks": (1, 2)}, "ranks from 2"),
        ({"durations": (0.0, 5.0)}, "positive times"),
        ({"durations": (200.0,)}, "at most 100"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"presentations": 0}, "presentations is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "give one of them"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ladder.Config(**settings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "gpu"], "ladder: unknown backend 'gpu'"),
        (["--data", "mnits"], "ladder: unknown data set 'mnits'"),
    ],
)
def test_mistakes_get_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert mistake(capsys, "ladder", *arguments).startswith(said)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 1)
    with (
        pytest.raises(ValueError, match="no dask scheduler answers"),
        grid.sharing(0, "tcp://127.0.0.1:9"),
    ):
        pass


def test_random_numbers_are_drawn_from_seeds_alone():
    torch.manual_seed(1)
    first = network().compute()
    torch.manual_seed(2)
    xr.testing.assert_identical(network().compute(), first)
