"""The scenarios with spiking cells, in small, and their parts."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import neurodyn
from scenarios import diehl_cook, spiking_ladder
from scenarios.diehl_cook.experiment import RANDOM, STDP
from scenarios.spiking_ladder import parts
from scenarios.spiking_ladder.parts import Changes, Cost, Transfer, Winners
from scenarios.support import spikes
from scenarios.support.trials import Source
from tests.helpers import few_digits, figures_saved, small_study

DIGITS = Source.of("digits", None)


def small_network(name, folder=None, **changes):
    config = diehl_cook.Config(preset="quick", seeds=1, units=(6,), backend="numpy")
    made = diehl_cook.trials(config, DIGITS, folder)
    (trial,) = (trial for trial in made if trial.network == name)
    short = neurodyn.PoissonPresentation(
        image_ms=20.0, rest_ms=0.0, rate_hz=190.0, max_rate_hz=190.0, min_spikes=0
    )
    settings = {"seen": (3, 5), "labelled": 6, "stimulus": short, "validation": 7}
    return replace(trial, **(settings | changes))


def test_a_training_scores_keeps_fields_and_counts(tmp_path):
    result = small_network(STDP, fields=4).compute()
    assert dict(result.sizes) | {"readout": 3, "seen": 2} == dict(result.sizes)
    np.testing.assert_array_equal(result["seen"], [3, 5])
    # before learning, then after 3 and 5 images: 100 and later snapshots do not come
    assert result["fields"].shape == (3, 4, 64)
    assert abs(np.diff(result["fields"], axis=0)).max() > 0
    assert float(result["presentations"]) == 5
    assert float(result["input_spikes"]) > 0
    assert result["confusion"].sum(("label", "predicted")).values.tolist() == [7, 7]


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_training_goes_on_to_the_same_end(tmp_path, monkeypatch, stopped):
    whole = small_network(STDP, fields=4).compute()
    trial = small_network(STDP, folder=tmp_path, fields=4)
    calls = []

    def fails(*given):
        calls.append(given)
        if len(calls) > stopped:
            raise KeyboardInterrupt
        return spikes.scored(*given)

    with monkeypatch.context() as patch:
        patch.setattr(diehl_cook.experiment, "scored", fails)
        with pytest.raises(KeyboardInterrupt):
            trial.compute()
    again = trial.compute()
    for name in ("accuracy", "fields", "theta", "confusion"):
        np.testing.assert_array_equal(again[name], whole[name])
    trial.tidy()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_training_that_lacks_a_file_is_not_scored_wrongly(tmp_path):
    trial = small_network(STDP, folder=tmp_path)
    trial.compute()
    trial.file("-3").unlink()
    with pytest.raises(ValueError, match="lacks a file of this training after 3 images"):
        trial.compute()


def test_random_weights_stay_and_thresholds_adapt():
    trial = small_network(RANDOM)
    assert trial.rule is None
    result = trial.compute()
    assert (result["theta"] > 20).any()


def test_the_linear_readout_finds_classes_and_ignores_rare_cells():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    counts = rng.poisson(1 + 4 * (labels[:, None] == np.arange(3)))
    counts = np.concatenate([counts, np.zeros((300, 1), int)], axis=1)
    model = spikes.Linear.of(counts, labels)
    assert (model.predict(counts) == labels).mean() > 0.85
    assert np.isfinite(model.model.coef_).all()
    assert model.model.alpha in spikes.STRENGTHS


def test_the_first_cell_is_the_earliest_and_of_equals_the_busiest():
    traces = xr.Dataset(
        {
            "spikes": ("spike", [1.0, 1.0, 2.0, 9.0, 9.5]),
            "counts": (("image", "unit"), [[1, 2, 0], [0, 0, 0], [1, 0, 1]]),
        },
        coords={
            "spike_image": ("spike", [0, 0, 0, 2, 2]),
            "spike_unit": ("spike", [0, 1, 1, 2, 0]),
        },
    )
    np.testing.assert_array_equal(parts.first_cells(traces, 3), [1, -1, 2])


def test_cosines_are_of_the_same_image_and_of_the_one_before():
    one = np.zeros((2, 2, 3))
    one[0, 0, 0] = one[1, 1, 1] = 2.0
    assert parts.cosines(one, 3 * one) == (1.0, 0.0)
    assert parts.cosines(one, one[::-1]) == (0.0, 1.0)


def test_the_weight_change_of_rates_is_eq_3():
    rng = np.random.default_rng(0)
    weights, images = rng.random((4, 6)), rng.random((3, 6))
    found = parts.rate_change(parts.RANKING, weights, images)
    for image, change in zip(images, found, strict=True):
        v = image / np.sqrt((image**2).sum())
        drive = weights @ v
        order = np.argsort(-drive)
        expected = np.zeros_like(weights)
        expected[order[0]] = v - drive[order[0]] * weights[order[0]]
        expected[order[1]] = -0.4 * (v - drive[order[1]] * weights[order[1]])
        np.testing.assert_allclose(change, expected, atol=1e-14)


def small_part(kind):
    config = spiking_ladder.Config(
        preset="quick", seeds=1, units=8, many=8, backend="numpy"
    )
    made = [part for part in spiking_ladder.trials(config, DIGITS) if type(part) is kind]
    part = made[0]
    weights = replace(part.weights, validation=20, epochs=1, head_epochs=1)
    return replace(part, weights=weights, num_images=3)


def short(monkeypatch):
    brief = replace(parts.ALONE, image_ms=40.0, rate_hz=190.0, max_rate_hz=190.0)
    monkeypatch.setattr(parts, "ALONE", brief)
    monkeypatch.setattr(parts, "REPEATED", brief)


@pytest.mark.slow
def test_winners_are_counted_for_each_setting(monkeypatch):
    short(monkeypatch)
    monkeypatch.setitem(parts.KNOBS, "w_ie", (0.0, 17.0))
    part = small_part(Winners)
    result = part.compute(part.weights.compute())
    assert list(result["setting"].values) == ["w_ie 0", "w_ie 17"]
    free, inhibited = result["spikes per image"].values
    assert free > inhibited > 0
    assert ((result[parts.FIRST] >= 0) & (result[parts.FIRST] <= result[parts.TOP_3])).all()


@pytest.mark.slow
def test_changes_start_from_the_same_weights(monkeypatch):
    short(monkeypatch)
    part = small_part(Changes)
    learned = part.weights.compute()
    result = part.compute(learned)
    assert result["cosine"].shape == (2, 3)
    assert (abs(result["cosine"]) <= 1).all()
    # The order of images plays no part: each starts from the same network.
    network = spiking_ladder.weights.spiking(
        learned,
        circuit=neurodyn.SpikingInhibition(),
        stimulus=parts.ALONE,
        rule=neurodyn.DiehlCook(total=None),
        backend="numpy",
        seed=0,
    )
    images = part.images()
    with spikes.silence_expected():
        twice = spikes.each_alone(network, images[[0, 1, 0]])
    np.testing.assert_array_equal(twice[0], twice[2])
    assert abs(twice - network.weights).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Transfer, Cost])
def test_transfer_and_cost(monkeypatch, kind):
    short(monkeypatch)
    part = small_part(kind)
    if kind is Transfer:
        part = replace(part, labelled=12)
    result = part.compute(part.weights.compute())
    if kind is Transfer:
        assert 0 < float(result["fastpath_accuracy"]) <= 100
        assert result["accuracy"].sizes == {"readout": 3}
    else:
        assert (result["level_ms"] > 0).all()
        assert result["level_ms"].sizes == {"level": 5}


def test_weights_are_not_negative_and_of_unit_norm():
    learned = small_part(Winners).weights.compute()
    matrix = learned["weights"].values
    assert matrix.min() >= 0
    np.testing.assert_allclose((matrix**2).sum(axis=1), 1)


@pytest.mark.slow
def test_the_ladder_in_small(tmp_path, monkeypatch):
    short(monkeypatch)
    monkeypatch.setitem(parts.KNOBS, "w_ie", (0.0, 17.0))
    monkeypatch.setattr(spiking_ladder, "LABELLED_QUICK", 20)
    data = few_digits(tmp_path, "few.npz")
    settings = {"units": 6, "many": 8, "backend": "numpy", "data": data}
    with figures_saved() as figures:
        spiking_ladder.main(small_study(spiking_ladder, tmp_path, **settings))
    (figure,) = figures
    assert [ax.has_data() for ax in figure.axes] == [True] * 4
