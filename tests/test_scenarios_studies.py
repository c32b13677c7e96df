"""Studies of whole trainings: their trials, records and sources, and one in small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.readout import Readout
from fastpath.training.loop import Training
from scenarios import dale_training, hidden_size, multilayer
from scenarios.support import grid, records, settings, study
from scenarios.support.trials import Local, Source
from tests.helpers import few_digits, figures_saved, panels, small_study

DIGITS = Source.of("digits", None)
KNOWN = defaults_for("digits")


def local(**changes):
    made = {
        "network": "local rule",
        "source": DIGITS,
        "num_units": 8,
        "seed": 0,
        "preprocess": KNOWN.preprocess,
        "p": 2.0,
        "competition": Ranking(k=2, delta=0.4),
        "training": Training(epochs=2),
        "readout": Readout(epochs=2),
    }
    return Local(**made | changes)


def test_the_name_of_a_trial_follows_its_settings_and_not_the_machine():
    trial = local()
    same = replace(trial, device="cuda", source=replace(DIGITS, root=Path("elsewhere")))
    assert grid.path_of(trial, Path()) == grid.path_of(same, Path())
    names = {
        grid.path_of(other, Path())
        for other in (
            trial,
            local(seed=1),
            local(readout=Readout(epochs=3)),
            local(training=Training(epochs=2, lr=0.05)),
            local(source=replace(DIGITS, gray=True)),
        )
    }
    assert len(names) == 5
    slashed = grid.path_of(local(network="80/20 by ../input"), Path("trials"))
    assert slashed.parent == Path("trials")


def test_a_record_gives_back_each_result(tmp_path):
    trials = [
        local(seed=seed, num_units=units) for seed, units in ((0, 8), (1, 8), (0, 12))
    ]
    results = [grid.compute(trial, ()) for trial in trials]
    results[2] = results[2].assign(extra=("pixel", [1.0, 2.0]))
    dims = list(trials[0].coords)
    new = dict(records.labelled(*pair) for pair in zip(trials, results, strict=True))
    path = tmp_path / "record.nc"
    study.storage.save_dataset(path, records.merged({}, new, dims))
    known = records.read(path, dims)
    texts = [settings.canonical(trial) for trial in trials]
    assert set(known) == set(texts)
    for text, result in zip(texts, results, strict=True):
        kept = known[text]
        assert set(kept.data_vars) == {
            *result.data_vars,
            "settings",
            "hardware",
            "seconds",
        }
        assert float(kept["error"]) == float(result["error"])
        assert kept["settings"].item() == text
    with xr.open_dataset(path, engine="h5netcdf") as stacked:
        assert np.isnan(stacked["error"].sel(num_units=12, seed=1)).all()
    assert not (records.merged(known, {}, dims)["settings"] == "nan").any()
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="damaged"):
        records.read(path, dims)


@pytest.mark.slow
def test_a_study_goes_on_from_its_record_and_its_trials(tmp_path, monkeypatch):
    config = small_study(
        hidden_size, tmp_path, units=(10, 20), methods=("local rule", "pixels")
    )
    with figures_saved() as figures:
        first = hidden_size.main(config)
    counted = []
    compute = Local.compute
    monkeypatch.setattr(
        Local, "compute", lambda trial: counted.append(trial) or compute(trial)
    )
    for file in (tmp_path / "run" / "trials").glob("Local*-20-*"):
        file.unlink()  # then the record has it
    again = hidden_size.main(replace(config, units=(10, 20, 30)))
    assert [trial.num_units for trial in counted] == [30]
    both = again.sel(num_units=[0, 10, 20])
    xr.testing.assert_identical(both["error"].drop_attrs(), first["error"].drop_attrs())
    hidden_size.main(replace(config, units=(10,), overwrite=True))
    assert [trial.num_units for trial in counted] == [30, 10]
    table = hidden_size.table(again)
    assert (
        f"{first['error'].sel(network='local rule', num_units=10).item():.2f} (1)" in table
    )
    assert (tmp_path / "run" / "hidden_size_quick.png").exists()
    line = panels(*figures)["digits"].containers[0].lines[0].get_ydata()
    errors = first["error"].sel(network="local rule", num_units=[10, 20])
    np.testing.assert_array_equal(line, errors.values.ravel())


@pytest.mark.slow
def test_a_local_trial_is_what_the_command_trains(tmp_path):
    from fastpath.cli import main

    trial = local(training=KNOWN.training, readout=KNOWN.readout)
    flags = ["--data", "digits", "--units", "8", "--out", str(tmp_path / "run")]
    main(["train", *flags, "--threads", "1"])
    metrics = study.storage.load_json(tmp_path / "run" / "metrics.json")
    assert float(trial.compute()["error"]) == metrics["test_error"]


def test_seeds_that_learned_otherwise_are_not_averaged_with_new_ones():
    dims = ["data", "network", "num_units", "seed"]

    def results(seeds, **changes):
        trials = [local(seed=seed, **changes) for seed in seeds]
        return dict(records.labelled(trial, grid.compute(trial, ())) for trial in trials)

    longer = Training(epochs=3)
    before = results(range(2)) | results(range(2), num_units=12)
    stacked = records.merged(before, results([0], training=longer), dims)
    there = stacked["error"].squeeze().notnull()
    assert there.sel(num_units=8).values.tolist() == [True, False]
    assert there.sel(num_units=12).values.tolist() == [True, True]
    stacked = records.merged(results(range(2)), results([2]), dims)
    assert stacked["error"].notnull().sum() == 3


@pytest.mark.slow
def test_what_another_process_found_in_the_meantime_is_kept(tmp_path, monkeypatch):
    config = small_study(hidden_size, tmp_path, units=(10,), methods=("local rule",))
    compute = Local.compute

    def slowly(trial):
        monkeypatch.setattr(Local, "compute", compute)
        hidden_size.main(replace(config, units=(20,)))
        return compute(trial)

    monkeypatch.setattr(Local, "compute", slowly)
    result = hidden_size.main(config)
    assert sorted(result["num_units"].values) == [10, 20]
    assert result["error"].notnull().all()


@pytest.mark.slow
def test_a_figure_elsewhere_begins_with_what_is_known(tmp_path, monkeypatch):
    config = small_study(hidden_size, tmp_path, units=(10,), methods=("local rule",))
    first = hidden_size.main(config)
    monkeypatch.delattr(Local, "compute")
    for file in (tmp_path / "run" / "trials").iterdir():
        file.unlink()
    again = hidden_size.main(replace(config, figure=tmp_path / "other" / "mine.png"))
    xr.testing.assert_identical(again["error"], first["error"])
    assert (tmp_path / "other" / "data" / "mine.nc").exists()


def test_two_sets_of_one_name_are_refused(tmp_path):
    one = few_digits(tmp_path, "a/few.npz")
    (tmp_path / "b").mkdir()
    with np.load(one) as arrays:
        np.savez(tmp_path / "b" / "few.npz", **{**arrays, "y_test": 3 - arrays["y_test"]})
    both = (one, str(tmp_path / "b" / "few.npz"))
    with pytest.raises(ValueError, match="two different data sets are called few: rename"):
        hidden_size.main(small_study(hidden_size, tmp_path, data=both, units=(10,)))


def test_a_file_called_like_a_known_set_has_a_line_of_its_own(tmp_path):
    mine = Source.of(few_digits(tmp_path, "digits.npz"), None)
    assert mine.label == f"digits {mine.digest}"
    assert DIGITS.label == "digits"


def test_no_more_clusters_than_images(tmp_path):
    config = small_study(hidden_size, tmp_path, units=(10, 200), methods=("k-means",))
    source = Source.of(few_digits(tmp_path, "few.npz"), None)
    assert [trial.num_units for trial in hidden_size.trials(config, source)] == [10]
    with pytest.raises(ValueError, match="there is nothing to train"):
        study.check_distinct([])


@pytest.mark.parametrize(
    ("module", "changes", "message"),
    [
        (hidden_size, {"seeds": 0}, "seeds is 0"),
        (hidden_size, {"workers": -1}, "workers is -1"),
        (hidden_size, {"workers": 1, "scheduler": "here:1"}, "give one of"),
        (hidden_size, {"units": (10, 0)}, "units is 0: at least 1"),
        (hidden_size, {"methods": ()}, "methods is empty"),
        (multilayer, {"units": 0}, "units is 0"),
        (multilayer, {"depth": 0}, "depth is 0"),
        (dale_training, {"interneurons": 0}, "interneurons is 0"),
        (dale_training, {"signs": ()}, "signs is empty"),
    ],
)
def test_mistakes_are_refused(module, changes, message):
    with pytest.raises(ValueError, match=message):
        module.Config(**changes)


def test_unknown_data_is_refused_before_anything(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'mnits'"):
        hidden_size.main(small_study(hidden_size, tmp_path, data=("mnits",)))


def test_images_of_a_file_are_told_apart_and_turned_gray(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8),
        "y_train": np.arange(40) % 2,
        "x_test": generator.integers(0, 256, (10, 6, 6, 3), dtype=np.uint8),
        "y_test": np.arange(10) % 2,
    }
    path = tmp_path / "faces.npz"
    np.savez(path, **arrays)
    source = Source.of(str(path), None, gray=True)
    images = source.load()
    assert images.shape == (6, 6, 1)
    r, g, b = arrays["x_test"][3, 2, 1].astype(float)
    assert images.x_test[3, 2, 1, 0] == round(0.299 * r + 0.587 * g + 0.114 * b)
    arrays["x_train"][0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "more.npz", **arrays)
    other = Source.of(str(tmp_path / "more.npz"), None, gray=True)
    assert other.digest != source.digest
    arrays["x_train"][0, 0, 0, 0] ^= 1
    arrays["y_test"][3] ^= 1
    np.savez(tmp_path / "labels.npz", **arrays)
    assert Source.of(str(tmp_path / "labels.npz"), None).digest != source.digest
    assert datasets.load("digits").shape == (8, 8, 1)
