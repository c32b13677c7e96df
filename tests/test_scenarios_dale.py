import json

import numpy as np
import pytest
from PIL import Image

from fastpath.runs import storage
from neurodyn import traces
from neurodyn.circuits.dale import oscillation
from scenarios import dale_learns, dale_oscillations
from tests.helpers import figures_saved, heights, panels


def oscillating(**settings):
    small = {"backend": "numpy", "dt_ms": 0.1, "duration_ms": 150.0, "sample_ms": 0.5}
    return dale_oscillations.Config(**small | settings)


def near_onset(config, w):
    pairs = [
        (w, ratio * config.onset_ms(w)) for ratio in dale_oscillations.experiment.NEAR_ONSET
    ]
    return dale_oscillations.experiment.measure(config, pairs)[0]


@pytest.mark.parametrize("w", [1.5, 3.0])
def test_oscillation_sets_in_where_linear_theory_says(w):
    config = oscillating()
    measured = near_onset(config, w)
    found = dale_oscillations.summary.onset(measured, w)
    assert found == pytest.approx(config.onset_ms(w), rel=0.05)
    # Of Euler's method, to which 0.1 % is added by interpolation.
    assert found == pytest.approx((10.0 - 0.1) / (w - 1), rel=0.002)
    assert dale_oscillations.summary.largest_error(measured, "frequency") < 0.05


@pytest.mark.parametrize("num_active", [1, 5])
def test_modes_are_those_of_eulers_method(num_active):
    """Measured modes are ln(1 + λ dt) / dt, with λ of linear theory."""
    config = oscillating(duration_ms=60.0)
    pairs = [(0.7, 6.0), (0.3, 12.0)]
    measured, _ = dale_oscillations.experiment.measure(config, pairs, num_active=num_active)
    for trial, (w, tau_inh) in enumerate(pairs):
        frequency, damping = oscillation(
            tau_exc_ms=10.0, tau_inh_ms=tau_inh, w=w, num_active=num_active
        )
        mode = np.log(1 + (-damping + 2j * np.pi * frequency) * 1e-4) / 1e-4
        one = measured.isel(trial=trial)
        assert float(one["frequency"]) == pytest.approx(mode.imag / (2 * np.pi), rel=1e-6)
        assert float(one["damping"]) == pytest.approx(-mode.real, rel=1e-6)


@pytest.mark.slow
def test_limit_cycles_start_with_the_linear_frequency_and_are_slower_further_on():
    config = oscillating(duration_ms=900.0)
    measured, _ = dale_oscillations.experiment.measure(config, [(2.0, 10.5), (2.0, 20.0)])
    near, far = measured["cycle_frequency"] / measured["frequency_theory"]
    assert float(near) == pytest.approx(1, abs=0.05)
    assert 0.8 < float(far) < 0.92  # 0.88


@pytest.mark.slow
def test_circuits_run_away_beyond_the_border_only():
    rows, _ = dale_oscillations.experiment.border(oscillating())
    for row in rows:
        assert row["falls_back"] == (row["theory"] == "oscillates")
        assert (row["largest"] > 1e6) == (row["theory"] == "runs away")


def test_circuits_that_run_away_are_left_out():
    config = oscillating(duration_ms=20.0)
    measured, runs = dale_oscillations.experiment.measure(config, [(3.0, 60.0), (0.5, 1.0)])
    assert np.isnan(measured["damping"]).values.tolist() == [True, False]
    assert runs[0] is None


@pytest.mark.slow
def test_the_oscillations_write_what_they_say(tmp_path, capsys):
    config = oscillating(
        size=4,
        onsets=(2.0,),
        backend="cython",
        out=tmp_path / "run",
        figure=tmp_path / "figure.png",
    )
    with figures_saved() as figures:
        dale_oscillations.main(config)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert sum(summary["circuits_on_map"].values()) == 16
    (row,) = summary["onset"]
    assert abs(row["measured_half_dt_ms"] - 10) < abs(row["measured_ms"] - 10)
    saved = traces.open(tmp_path / "run/circuits.nc")
    assert saved.sizes["trial"] == 16 + 4 + 24 + 4 + 24
    assert (tmp_path / "figure.png").exists()
    shown = panels(*figures)
    assert {"frequency [Hz], measured", "the circuit that oscillates"} <= shown.keys()
    drawn = shown["frequency [Hz], measured"].collections[0].get_array()
    np.testing.assert_array_equal(drawn.ravel(), saved["frequency"].values[:16])
    assert "onset, tau_I" in capsys.readouterr().out
    with pytest.raises(ValueError, match="already holds a run"):
        dale_oscillations.main(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"w": (2.0, 1.0)}, "w is 2 to 1: 0 < least < largest"),
        ({"size": 1}, "size is 1: at least 2"),
        ({"onsets": (0.9,)}, "give strengths above 1"),
        ({"dt_ms": 1.0}, "dt_ms is 1: above 0 and at most 0.2"),
        ({"sample_ms": 0.13}, "activity_ms is 0.13 ms, not a whole number of"),
    ],
)
def test_oscillation_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        oscillating(**settings)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    config = dale_learns.Config(
        units=10,
        num_inh=4,
        epochs=1,
        image_ms=15.0,
        fast_epochs=2,
        seeds=1,
        max_images=100,
        backend="numpy",
        out=folder / "run",
        figure=folder / "figure.png",
    )
    with figures_saved() as figures:
        dale_learns.main(config)
    return folder, config, figures


@pytest.mark.slow
def test_a_circuit_that_learns_keeps_its_signs(learned):
    folder, _, _ = learned
    summary = json.loads((folder / "run/summary.json").read_text())
    assert summary["sign_violations"] == {"weights": 0, "weights_ie": 0}
    saved = traces.open(folder / "run/traces.nc")
    assert saved.sizes["snapshot"] == summary["snapshots_checked"] == 13
    for name in ("weights_snapshots", "weights_ie_snapshots"):
        assert (saved[name] >= 0).all()
        assert not saved[name].isel(snapshot=0).equals(saved[name].isel(snapshot=-1))
    wrong = saved["weights_snapshots"].copy()
    wrong[3, 2, 1] = -0.1
    assert dale_learns.summary.violated(wrong).values.tolist() == [0, 0, 0, 1] + 9 * [0]


@pytest.mark.slow
def test_learning_writes_what_it_says(learned):
    folder, config, (figure, *frames) = learned
    summary = json.loads((folder / "run/summary.json").read_text())
    assert summary["presentations"] == 100
    assert summary["scored_on"] == "test"
    assert set(summary["error"]) == {
        *dale_learns.experiment.POWER,
        dale_learns.experiment.BACKPROP,
    }
    weights = storage.load_tensors(folder / "run/weights.safetensors")
    assert weights["Dale circuit 0"].shape == (10, 64)
    assert all(
        (weights[f"{name} 0"] >= 0).all() for name in ("ranking >= 0", "random >= 0")
    )
    assert (weights["ranking 0"] < 0).any()
    assert (folder / "figure.png").exists()
    errors = [error["mean"] for error in summary["error"].values()]
    shown = panels(figure)["test error [%], mean ± sd of 1 seeds"]
    assert heights(shown) == errors
    with Image.open(folder / "figure.gif") as moving:
        assert moving.n_frames == len(frames) > 5
    with pytest.raises(ValueError, match="already holds a run"):
        dale_learns.main(config)


def test_the_verdict_says_when_learning_does_not_help():
    def error(mean, sd):
        return {"mean": mean, "sd": sd}

    summary = {
        "error": {
            dale_learns.experiment.DALE: error(5.0, 0.4),
            dale_learns.experiment.RANDOM: error(4.0, 0.5),
            dale_learns.experiment.RANKED: error(5.2, 0.1),
        }
    }
    assert dale_learns.summary.verdict(summary) == (
        "The Dale circuit is 1.0 points worse than 'random >= 0', within the seeds' spread "
        "of 'ranking >= 0'."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 0}, "units is 0: at least 1"),
        ({"spread": 1.5}, "spread is 1.5: 0 to 1"),
        ({"rate": 0.0}, "steps are positive"),
        ({"delta": -1.0}, "delta is -1.0"),
        ({"w_inh": -1.0}, "w_"),
        ({"dt_ms": 0.3}, "not a whole number of time steps"),
        ({"max_images": 5}, "max_images is 5"),
        ({"power": 0.0}, "power is 0.0"),
    ],
)
def test_learning_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        dale_learns.Config(**settings)
