"""Circuits whose inhibition learns: patches, measures, and the study in small."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from neurodyn import DaleInhibition
from scenarios import inhibition_learns
from scenarios.inhibition_learns import NETWORKS, circuits
from scenarios.support.trials import Source
from tests.helpers import figures_saved, panels, small_study

DIGITS = Source.of("digits", None, gray=True)


def small(name):
    config = inhibition_learns.Config(
        preset="quick", seeds=1, units=12, presentations=20, backend="numpy"
    )
    trials = inhibition_learns.trials(config, DIGITS)
    (trial,) = (trial for trial in trials if trial.network == name)
    return replace(trial, scored=12, image_ms=10.0)


def test_patches_are_windows_of_the_images_with_contrast():
    images = torch.zeros(2, 6, 7, 1)
    images[1] = torch.arange(42.0).view(6, 7, 1)  # the other image is blank
    found = circuits.patches(images, 30, 4, np.random.default_rng(0))
    assert found.shape == (30, 16)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-12)
    window = images[1, :4, :4, 0].flatten().numpy()
    expected = window - window.mean()
    # All windows of a ramp are alike but for their mean.
    np.testing.assert_allclose(found, [expected / np.linalg.norm(expected)] * 30)
    with pytest.raises(ValueError, match=r"of 90 patches of 4 x 4 pixels, 0 have any"):
        circuits.patches(0 * images, 30, 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="images have 6 x 7 pixels: patches of 8 x 8"):
        circuits.patches(images, 30, 8, np.random.default_rng(0))


def test_on_and_off_rates_are_not_negative_and_of_unit_norm():
    x = np.random.default_rng(0).normal(size=(5, 9))
    rates = circuits.on_off(x)
    assert (rates >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(rates, axis=1), 1, rtol=1e-12)
    fields = circuits.on_minus_off(rates)
    np.testing.assert_allclose(fields, x / np.linalg.norm(x, axis=1, keepdims=True))


def test_measures_of_fields_and_rates():
    fields = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(circuits.nearest(fields), [1, 1, half, half])
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 1000))
    rates = np.stack([one, -one, other, np.full(1000, 3.0)], axis=1)
    expected = (1 + 2 * abs(np.corrcoef(one, other)[0, 1])) / 3  # without the constant one
    assert circuits.mean_correlation(rates) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
@pytest.mark.parametrize("name", list(NETWORKS))
def test_what_is_to_learn_learns_and_nothing_else(name, monkeypatch):
    trial, seen = small(name), []
    plain = circuits.with_learned

    def noted(circuit, traces):
        seen.append((circuit, traces))
        return plain(circuit, traces)

    monkeypatch.setattr(circuits, "with_learned", noted)
    result = trial.compute()
    [(circuit, traces)] = seen
    pooled = name == circuits.POOLED
    assert pooled != isinstance(circuit, DaleInhibition)
    learned = plain(circuit, traces)
    for synapses, (parameter, _) in circuits.MATRICES.items():
        norm = trial.norm_ii if parameter == "w_ii" else trial.norm
        if not pooled and norm:
            before, after = (np.asarray(getattr(c, parameter)) for c in (circuit, learned))
            assert (synapses in trial.learns) == bool((before != after).any())
            np.testing.assert_allclose(np.linalg.norm(before, axis=-1), norm)
    assert result["fields"].shape == (12, 36)
    assert (traces["weights"] >= 0).all()


def test_measures_are_of_rates_and_currents_at_the_end_of_a_patch():
    trial, rng = small("static inhibition"), np.random.default_rng(0)
    circuit = trial.circuit(rng)
    x = circuits.on_off(rng.normal(size=(15, 36)))
    weights = circuits.of_norm(abs(rng.normal(size=(12, 72))), 1.0)
    found = trial.measured(circuit, x, weights)
    traces = trial.simulated(circuit, x, weights, activity_ms=trial.image_ms)
    rates = np.maximum(traces["final_activity"].values, 0)
    inh_rates = np.maximum(traces["inh_activity"].isel(time=-1).values, 0)
    inhibition, drive = inh_rates @ circuit.w_ie.T, x @ weights.T
    balance = [np.corrcoef(drive[:, u], inhibition[:, u])[0, 1] for u in range(12)]
    assert float(found["balance"]) == pytest.approx(np.mean(balance))
    matrix = np.corrcoef(rates[:, rates.std(axis=0) > 0].T)
    dimension = np.trace(matrix) ** 2 / (matrix**2).sum()
    assert float(found["dimension"]) == pytest.approx(dimension)
    assert float(found["active"]) == pytest.approx((rates > 0).mean())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
def test_the_study_draws_what_it_records(tmp_path):
    config = small_study(
        inhibition_learns, tmp_path, units=8, presentations=20, backend="numpy"
    )
    with figures_saved() as figures:
        result = inhibition_learns.main(config)
    shown = panels(*figures)
    assert set(NETWORKS) <= shown.keys()
    values = result["dimension"].squeeze().sel(network=list(NETWORKS))
    bars = [bar.get_width() for bar in shown["dimension of rates"].patches]
    np.testing.assert_allclose(bars, values)
    again = inhibition_learns.main(config)
    xr.testing.assert_equal(again, result)
    assert "static inhibition" in inhibition_learns.table(result, list(NETWORKS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 4}, "units is 4: at least 8 are needed"),
        ({"device": "cuda", "backend": "cpp"}, "backend cpp has no effect with --device"),
        ({"presentations": 0}, "presentations is 0: at least 1"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        inhibition_learns.Config(**settings)
