"""The scenarios on the lateral-inhibition circuit: settling, plasticity, hysteresis."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from fastpath.data import datasets
from neurodyn import equilibrium
from scenarios import continuous_plasticity, hysteresis, settling
from tests.helpers import figures_saved, mistake, panels


def saved(config, main) -> tuple[xr.Dataset, dict[str, Axes]]:
    """Run a scenario; return its results as saved, with their form checked, and panels."""
    with figures_saved() as figures:
        result = main(config)
    read = xr.load_dataset(config.out / "results.nc", engine="h5netcdf")
    xr.testing.assert_identical(read, result)
    for variable in read.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert json.loads((config.out / "config.json").read_text())["units"] == config.units
    assert config.figure.exists()
    with pytest.raises(ValueError, match="already holds a run"):
        config.paths("any")
    return read, panels(*figures)


def settling_config(folder, **settings):
    small = {"units": 12, "epochs": 3, "num_images": 6, "w_inh": (0.3, 0.9)}
    small |= {"durations": (5, 20, 60), "backend": "numpy"}
    places = {"out": folder / "run", "figure": folder / "figure.png"}
    return settling.Config(**small | places | settings)


def test_the_circuit_settles_to_the_closed_form(tmp_path, capsys):
    config = settling_config(tmp_path)
    result, shown = saved(config, settling.main)
    active = shown["competitors left (dotted: at shorter T / τ)"].lines[0].get_ydata()
    expected = result["settled_units"].sel(weights="trained").mean("image")
    np.testing.assert_array_equal(active, expected)
    learned = config.learn(datasets.load("digits"), seed=0)
    drive = (learned.held_out @ learned.weights.T).numpy()
    for w_inh in config.w_inh:
        at_w = result.sel(w_inh=w_inh, weights="trained")
        closed = (equilibrium.settle(drive, w_inh=w_inh) > 0).sum(axis=1)
        assert (at_w["settled_units"] == closed).all()
        medians = at_w["distance"].median("image").values
        assert (np.diff(medians) < 0).all()
    last = result.sel(w_inh=0.3, duration=60)
    assert last["distance"].max() < 1e-12
    assert last["same_set"].all()
    assert (last["active_units"] == last["settled_units"]).all()
    times = result["settling_ms"].median("image")
    assert (times.sel(w_inh=0.3) < times.sel(w_inh=0.9)).all()
    assert "median / largest |h(T) - h_eq|" in capsys.readouterr().out


def test_settling_time_is_from_when_all_stay_near():
    away = np.array([[1.0, 0.001, 1.0, 0.001], [0.001] * 4, [1.0] * 4])
    times = settling.experiment.settling_ms(away)
    assert times.tolist() == [
        4 * settling.experiment.SAMPLE_MS,
        settling.experiment.SAMPLE_MS,
        np.inf,
    ]


def plasticity_config(folder, **settings):
    small = {"units": 12, "epochs": 3, "seeds": 2, "num_images": 4, "plastic_images": 3}
    small |= {"durations": (5, 40), "plastic_duration": 5, "w_inh": (0.3,)}
    places = {"out": folder / "run", "figure": folder / "figure.png", "backend": "numpy"}
    return continuous_plasticity.Config(**small | places | settings)


@pytest.mark.slow
def test_plastic_synapses_change_as_the_traces_say(tmp_path, capsys):
    config = plasticity_config(tmp_path)
    result, shown = saved(config, continuous_plasticity.main)
    curve = shown["direction of learning, w_inh = 0.3"].lines[1].get_ydata()
    cosines = result["cosine"].sel(timing="continuous", w_inh=0.3).mean("seed")
    np.testing.assert_array_equal(curve, cosines)
    assert result["plastic_error"].max() < continuous_plasticity.config.RELATIVE_CHANGE
    assert (result["plastic_error_halved"] < result["plastic_error"]).all()
    settled = result.sel(timing="settled", duration=40)
    np.testing.assert_allclose(settled["cosine"], 1, atol=1e-12)
    np.testing.assert_allclose(settled["norm"], 1, atol=1e-12)
    for timing in ("continuous", "gated"):
        cosine = result["cosine"].sel(timing=timing).mean(("seed", "w_inh"))
        assert cosine.sel(duration=5) < cosine.sel(duration=40) <= 1
    assert (result["floor"] < 1).all()
    assert "nothing unlearned" in capsys.readouterr().out


def test_learning_is_averaged_over_its_window():
    """Two units that settle in no time: one stays, one unlearns for two steps."""
    config = continuous_plasticity.Config(durations=(5, 20), w_inh=(0.5,))
    dt_ms = 5.0
    h = np.full((41, 2), 2.0)
    h[:, 1] = -1.0
    h[:2, 1] = 0.5
    g = np.where(h >= 1, 1.0, np.where(h >= 0, -0.4, 0.0))
    means, wasted, spent = continuous_plasticity.traces.averages(g, h, config, dt_ms)
    np.testing.assert_allclose(means["continuous"], [[1, -0.08], [1, -0.02]])
    np.testing.assert_allclose(means["gated"], [[1, 0], [1, 0]])
    np.testing.assert_allclose(means["settled"], [[1, 0], [1, 0]])
    assert wasted["continuous"].tolist() == spent["continuous"].tolist() == [2, 2]
    assert not wasted["gated"].any()


def hysteresis_config(folder, **settings):
    small = {"units": 12, "epochs": 3, "num_images": 6, "w_inh": (1.2, 5), "rests": (0, 15)}
    places = {"out": folder / "run", "figure": folder / "figure.png", "backend": "numpy"}
    return hysteresis.Config(**small | places | settings)


@pytest.mark.slow
def test_the_largest_drive_wins_unless_activity_is_carried_over(tmp_path, capsys):
    config = hysteresis_config(tmp_path)
    result, shown = saved(config, hysteresis.main)
    boxes = shown["stable single-winner states of an image"].lines[-1].get_ydata()
    np.testing.assert_array_equal(boxes, result["eligible"].mean("image"))
    right = result["winner"] == result["largest_drive"]
    assert right.sel(rest=np.inf).all()
    assert right.sel(rest=15).all()
    assert right.isel(image=0).all()
    held = hysteresis.shares(result)["held"].sel(rest=0)
    assert held.sel(w_inh=5) > 0
    learned = config.learn(datasets.load("digits"), seed=0)
    drive = (learned.held_out @ learned.weights.T).numpy()
    for w_inh in config.w_inh:
        eligible = hysteresis.eligible_winners(drive, w_inh=w_inh)
        at_w = result.sel(w_inh=w_inh)
        assert (at_w["eligible"] == eligible.sum(axis=1)).all()
        alone = (at_w["active_units"] == 1).sel(rest=0).values
        winner = at_w["winner"].sel(rest=0).values
        assert eligible[np.arange(6), winner][alone].all()
    assert "stable single-winner states" in capsys.readouterr().out


def test_eligible_winners_are_the_stable_states():
    drive = np.array([[4.0, 3.0, 1.0], [2.0, 2.0, -1.0]])
    strengths = (0.5, 1.0, 1.4, 10.0)
    counts = [hysteresis.eligible_winners(drive, w_inh=w).sum(axis=1) for w in strengths]
    assert np.array(counts).tolist() == [[0, 0], [1, 0], [2, 2], [3, 2]]


@pytest.mark.parametrize(
    ("scenario", "settings", "message"),
    [
        (settling, {"w_inh": (0.5, 1.0)}, "unique fixed point"),
        (settling, {"w_inh": ()}, "one value or more"),
        (settling, {"durations": (5, 5.05)}, "positive multiples of 0.2"),
        (settling, {"num_images": 0}, "num_images is 0: at least 1"),
        (continuous_plasticity, {"w_inh": (-0.1,)}, "unique fixed point"),
        (continuous_plasticity, {"durations": (0, 20)}, "must be positive"),
        (continuous_plasticity, {"plastic_duration": 7}, "one of the durations, 5, 10"),
        (continuous_plasticity, {"plastic_images": 51}, "not more can be shown"),
        (hysteresis, {"w_inh": (2, 1)}, "increasing"),
        (hysteresis, {"w_inh": (-1,)}, "w_inh"),
        (hysteresis, {"rests": (-1, 0)}, "rest_ms is -10"),
        (hysteresis, {"num_images": 1}, "2 are needed"),
        (hysteresis, {"duration": 0}, "image_ms is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(scenario, settings, message):
    with pytest.raises(ValueError, match=message):
        scenario.Config(**settings)


@pytest.mark.parametrize("name", ["settling", "continuous_plasticity", "hysteresis"])
def test_mistakes_get_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    said = mistake(capsys, name, "--backend", "gpu")
    assert said.startswith(f"{name}: unknown backend 'gpu'")
    assert not any(tmp_path.iterdir())
