"""The first layer that learned without labels: its networks, its record, the whole."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional

from fastpath import baselines, experiment
from fastpath.baselines import Backprop
from fastpath.data.defaults import defaults_for
from fastpath.layers import Dense
from scenarios import hebbian_first_layer
from scenarios.hebbian_first_layer import NAMES, Config, network
from scenarios.hebbian_first_layer.networks import Curve, Layer, OwnReadout, Perceptron
from scenarios.support import grid, study
from scenarios.support.trials import Source
from tests.helpers import figures_saved

UNITS, EPOCHS = 12, 3
SMALL = {
    "data": ("digits",),
    "units": UNITS,
    "epochs": EPOCHS,
    "learning_epochs": 2,
    "seeds": 2,
}


@pytest.fixture(scope="module")
def source():
    return Source.of("digits", None)


def small(name, source, **changes):
    """Return a network, and the results that it needs."""
    trial = replace(network(name, source, 0, Config(**SMALL)), **changes)
    return trial, [need.compute() for need in study.needs(trial)]


@pytest.mark.parametrize("name", NAMES)
def test_accuracies_of_classes_average_to_the_error(source, name):
    trial, given = small(name, source)
    result = trial.compute(*given)
    images = source.load()
    assert result.sizes == {"epoch": EPOCHS, "label": 10}
    counts = np.bincount(images.y_test, minlength=10)
    average = (result["accuracy"] * xr.DataArray(counts, dims="label")).sum("label")
    np.testing.assert_allclose(
        average / counts.sum(), 100 - result["error"], rtol=1e-6, atol=1e-5
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_the_curve_ends_with_the_error_of_back_propagation(source, frozen):
    trial, _ = small("end to end", source, frozen=frozen)
    _, split, generator = trial.begin()
    network = baselines.backprop(
        split,
        num_units=UNITS,
        num_classes=10,
        backprop=trial.backprop,
        preprocess=trial.preprocess,
        generator=generator,
        progress=False,
        frozen=frozen,
    )
    result = trial.compute()
    assert float(result["error"][-1]) == network.errors["test_error"]
    assert float(result["train_error"]) == network.errors["train_error"]
    assert float(result["layer_seconds"]) == 0


def test_the_curve_ends_with_the_error_of_the_own_readout(source):
    trial, given = small("Hebbian own readout", source)
    _, split, generator = trial.begin()
    _, errors = experiment.read_out(
        Dense(torch.from_numpy(given[0]["weights"].values)),
        trial.preprocess.fit(split.x_train),
        split,
        num_classes=10,
        readout=trial.readout,
        generator=generator,
        progress=False,
    )
    assert float(trial.compute(*given)["error"][-1]) == errors["test_error"]


def test_a_head_is_watched_as_it_is_after_each_epoch(source):
    trial, given = small("Hebbian own readout", source)
    _, split, generator = trial.begin()
    seen = []
    head, _ = experiment.read_out(
        Dense(torch.from_numpy(given[0]["weights"].values)),
        trial.preprocess.fit(split.x_train),
        split,
        num_classes=10,
        readout=trial.readout,
        generator=generator,
        progress=False,
        on_epoch_end=lambda epoch, head: seen.append(
            (epoch, head.weights.detach().clone())
        ),
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert not torch.equal(seen[0][1], seen[1][1])
    assert torch.equal(seen[-1][1], head.weights)


@pytest.mark.parametrize(
    ("name", "changes"), [("Hebbian frozen", False), ("Hebbian start", True)]
)
def test_frozen_weights_stay_and_initial_ones_change(source, monkeypatch, name, changes):
    units = []
    monkeypatch.setattr(
        Curve,
        "add",
        lambda self, epoch, network: (
            self.right.append(np.zeros(10)),
            units.append([p.detach().clone() for p in network[0].parameters()]),
        ),
    )
    trial, given = small(name, source)
    trial.compute(*given)
    weights = torch.from_numpy(given[0]["weights"].values)
    start = functional.normalize(weights, dim=1)
    assert len(units) == EPOCHS
    for weight, bias in units:
        assert torch.equal(weight, start) != changes
        assert bool((bias == 0).all()) != changes
    distance = (units[-1][0] - start).norm() / start.norm()
    assert distance < 0.5  # it did start there


def test_frozen_units_learn_alike_in_memory_and_computed_anew(source, monkeypatch):
    trial, given = small("Hebbian frozen", source)
    cached = trial.compute(*given)
    monkeypatch.setattr(baselines.end_to_end, "free_memory", lambda device: 0)
    monkeypatch.setattr(baselines.end_to_end, "check_memory", lambda *_: None)
    anew = trial.compute(*given)
    np.testing.assert_allclose(anew["error"], cached["error"], atol=0.5)
    np.testing.assert_allclose(anew["train_error"], cached["train_error"], atol=0.5)


def test_the_random_control_has_learned_nothing_and_the_others_share_a_layer(source):
    config = Config(**SMALL)
    layers = {name: study.needs(network(name, source, 1, config)) for name in NAMES}
    assert layers["end to end"] == ()
    [random] = layers["random frozen"]
    assert random.training.epochs == 0
    learned = replace(random.training, epochs=2)
    hebbian = replace(random, network="Hebbian layer", training=learned)
    for name in NAMES[2:]:
        assert layers[name] == (hebbian,)


def test_layers_learn_as_is_known_to_be_good_unless_told(source):
    [layer] = study.needs(network("Hebbian frozen", source, 0, Config()))
    known = defaults_for("digits")
    assert (layer.training, layer.competition, layer.num_units) == (
        known.training,
        known.competition,
        2000,
    )


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    config = Config(**SMALL, preset="quick", out=tmp_path)
    computed = []
    plain = grid.compute

    def counted(trial, given):
        if len(computed) == 7:
            raise KeyboardInterrupt
        computed.append(trial)
        return plain(trial, given)

    monkeypatch.setattr(grid, "compute", counted)
    with pytest.raises(KeyboardInterrupt):
        hebbian_first_layer.main(config)
    first = list(computed)
    monkeypatch.setattr(
        grid, "compute", lambda trial, given: computed.append(trial) or plain(trial, given)
    )
    result = hebbian_first_layer.main(config)
    assert len(computed) == len(set(computed)) == 4 + 2 * len(NAMES)
    assert computed[:7] == first
    assert bool(result["error"].notnull().all())


@pytest.mark.slow
def test_the_record_is_enough_to_go_on_from_without_layers(tmp_path, monkeypatch):
    config = Config(**SMALL, preset="quick", out=tmp_path)
    before = hebbian_first_layer.main(config)
    for path in (tmp_path / "trials").iterdir():
        path.unlink()
    computed = []
    plain = grid.compute
    monkeypatch.setattr(
        grid, "compute", lambda trial, given: computed.append(trial) or plain(trial, given)
    )
    xr.testing.assert_identical(hebbian_first_layer.main(config), before)
    assert computed == []
    more = hebbian_first_layer.main(replace(config, seeds=3))
    assert {trial.seed for trial in computed} == {2}
    assert sum(isinstance(trial, Layer) for trial in computed) == 2
    assert sum(isinstance(trial, Perceptron | OwnReadout) for trial in computed) == 5
    xr.testing.assert_equal(more["error"].sel(seed=[0, 1]), before["error"])


def test_the_short_study_writes_table_figure_and_a_small_record(tmp_path, capsys):
    with figures_saved() as figures:
        result = hebbian_first_layer.main(Config(**SMALL, preset="quick", out=tmp_path))
    assert (tmp_path / "hebbian_first_layer_quick.png").exists()
    drawn = figures[0].axes[0].lines[0].get_ydata()
    means = result["error"].sel(network=NAMES[0]).squeeze().mean("seed")
    np.testing.assert_array_equal(drawn, means)
    record = tmp_path / "data" / "hebbian_first_layer_quick.nc"
    assert record.stat().st_size < 100_000
    kept = xr.load_dataset(record, engine="h5netcdf")
    assert "weights" not in kept
    assert kept.attrs["protocol"] == hebbian_first_layer.PROTOCOL
    xr.testing.assert_equal(kept["error"], result["error"])
    xr.testing.assert_equal(kept["accuracy"], result["accuracy"])
    printed = capsys.readouterr().out
    assert "digits, 12 units" in printed
    last = result["error"].sel(network="end to end", epoch=EPOCHS)
    assert f"{float(last.mean()):.2f} ± {float(last.std(ddof=1)):.2f}" in printed


@pytest.mark.slow
def test_sets_with_other_classes_and_epochs_share_a_record(tmp_path):
    images = Source.of("digits", None).load()
    few = {
        f"{name}_{part}": getattr(images, f"{name}_{part}")[
            getattr(images, f"y_{part}") < 4
        ]
        for name in "xy"
        for part in ("train", "test")
    }
    np.savez(tmp_path / "few.npz", **few)
    config = Config(**SMALL, preset="quick", out=tmp_path)
    digits = hebbian_first_layer.main(config)
    both = hebbian_first_layer.main(
        replace(config, data=(str(tmp_path / "few.npz"),), epochs=7)
    )
    assert hebbian_first_layer.groups(both) == [("digits", UNITS), ("few", UNITS)]
    assert hebbian_first_layer.shown_epochs(both["error"].sel(data="digits"), 1) == [1, 3]
    assert hebbian_first_layer.shown_epochs(both["error"].sel(data="few"), 1) == [1, 5, 7]
    xr.testing.assert_equal(
        both["error"].sel(data="digits", epoch=slice(3)), digits["error"].sel(data="digits")
    )
    known = both["accuracy"].sel(data="few").dropna("label", how="all")
    assert known.sizes["label"] == 4


def test_classes_that_are_recognised_least_are_shown():
    accuracy = xr.DataArray(
        np.tile(np.arange(30.0), (2, 1, 1)),
        dims=("network", "epoch", "label"),
        coords={"label": [f"class {i}" for i in range(30)]},
    )
    shown = hebbian_first_layer.hardest(accuracy.isel(label=slice(None, None, -1)))
    assert set(shown["label"].values) == {f"class {i}" for i in range(10)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"units": -3}, "units is -3"),
        ({"learning_epochs": 0}, "learning_epochs is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"data": ()}, "data is empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_an_unknown_data_set_costs_one_line_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid, "compute", None)
    monkeypatch.setattr(sys, "argv", ["it", "--data", "digits", "mnits"])
    with pytest.raises(SystemExit) as stopped:
        study.command("hebbian_first_layer", hebbian_first_layer.main, Config, "")
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("hebbian_first_layer: unknown data set 'mnits'")
    assert error.count("\n") == 1


def test_first_weights_of_another_shape_are_refused(source):
    trial, given = small("Hebbian start", source, num_units=UNITS + 1)
    wrong = given[0].assign(weights=(("unit", "pixel"), np.ones((UNITS + 1, 5), "f4")))
    with pytest.raises(ValueError, match="the first weights are"):
        replace(trial, backprop=Backprop(epochs=1)).compute(wrong)
