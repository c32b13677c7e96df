import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import experiment
from fastpath.cli import main
from fastpath.commands.flags import Train
from fastpath.commands.train import configured
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.runs import storage
from tests.helpers import refused

QUICK = ["--data", "digits", "--units", "15", "--epochs", "3", "--head-epochs", "4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    main(["train", *QUICK, "--out", str(out)])
    return out


def test_train_writes_the_five_files(run):
    assert sorted(file.name for file in run.iterdir()) == [
        "config.json",
        "history.nc",
        "metrics.json",
        "snapshots.nc",
        "weights.safetensors",
    ]
    assert xr.load_dataset(run / "snapshots.nc").sizes == {
        "epoch": 25,  # the start, three epochs, and 21 mini-batches
        "unit": 15,
        "pixel": 64,
    }
    assert storage.load_tensors(run / "weights.safetensors")["weights"].shape == (15, 64)
    history = xr.load_dataset(run / "history.nc")
    assert history.sizes["epoch"] == 3
    config = json.loads((run / "config.json").read_text())
    assert config["competition"] == {"name": "Ranking", "k": 2, "delta": 0.4}
    metrics = json.loads((run / "metrics.json").read_text())
    right = np.trace(history["confusion"]) / history["confusion"].sum().item()
    assert metrics["test_error"] == pytest.approx(100 * (1 - right), rel=1e-12)
    num_images = len(datasets.load("digits").x_train)
    seconds = (num_images / history["images_per_second"]).sum().item()
    assert metrics["train_seconds"] == pytest.approx(seconds)
    assert metrics["images_per_second"] == pytest.approx(3 * num_images / seconds)


def test_evaluate_finds_the_same_error(run, capsys):
    main(["evaluate", str(run)])
    printed = capsys.readouterr().out
    error = json.loads((run / "metrics.json").read_text())["test_error"]
    assert f"{error:.2f} %" in printed


def test_the_same_seed_gives_the_same_files(run, tmp_path):
    main(["train", *QUICK, "--out", str(tmp_path / "again")])
    first, second = (
        storage.load_tensors(folder / "weights.safetensors")
        for folder in (run, tmp_path / "again")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_export_writes_images_as_the_layer_sees_them(run, tmp_path):
    out = tmp_path / "images.npz"
    main(["export", str(run), "--num-images", "7", "--out", str(out)])
    with np.load(out) as file:
        digits = datasets.load("digits")
        drawn = torch.randperm(299, generator=torch.Generator().manual_seed(0))[:7].numpy()
        np.testing.assert_allclose(
            file["images"], digits.x_test[drawn].reshape(7, 64) / 255, atol=1e-7
        )
        np.testing.assert_array_equal(file["labels"], digits.y_test[drawn])


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--competition", "equilibrium", "--w-inh", "0.5"], "Equilibrium"),
        (["--competition", "soft", "--temperature", "2", "--anti"], "Soft"),
        (["--competition", "runners-up", "--k", "3"], "RunnersUp"),
        (["--p", "3", "--k", "7", "--normalize", "none", "--lr", "0.001"], "Ranking"),
        (["--head-loss", "cross-entropy", "--head-scaling", "unit", "--unit-norm", "True"],
         "Ranking"),
    ],
)  # fmt: skip
def test_every_competition_trains(tmp_path, flags, name):
    main(["train", *QUICK, *flags, "--out", str(tmp_path / "run")])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["competition"]["name"] == name


def test_losers_of_a_softmax_unlearn_as_much_as_published_unless_told(tmp_path):
    """The delta of a data set is that of a ranking."""
    deltas = []
    for more in ([], ["--delta", "0.3"]):
        out = tmp_path / f"run{len(more)}"
        flags = ["--competition", "soft", "--anti", *more]
        main(["train", *QUICK, *flags, "--out", str(out)])
        deltas.append(json.loads((out / "config.json").read_text())["competition"]["delta"])
    assert deltas == [1.0, 0.3]


def test_a_validation_split_leaves_the_test_set_alone(tmp_path, monkeypatch):
    """The score is the same when the test images are replaced by noise."""
    scores = []
    load = datasets.load
    for noise in (False, True):

        def changed(name, root, noise=noise):
            images = load(name, root)
            if noise:
                images.x_test[:] = 255 - images.x_test
                images.y_test[:] = 0
            return images

        monkeypatch.setattr(datasets, "load", changed)
        out = tmp_path / f"run{noise}"
        main(["train", *QUICK, "--validation", "300", "--out", str(out)])
        scores.append(json.loads((out / "metrics.json").read_text()))
    assert scores[0]["validation_error"] == scores[1]["validation_error"]
    assert "test_error" not in scores[0]


def test_validation_images_are_not_learned_from():
    digits = datasets.load("digits")
    generator = torch.Generator().manual_seed(0)
    split = experiment.split(digits, validation=300, generator=generator)
    assert len(split.x_train) == len(digits.x_train) - 300
    assert len(split.x_eval) == 300
    both = torch.cat([split.x_train, split.x_eval]).flatten(1)
    pixels = torch.from_numpy(digits.x_train).flatten(1)
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, pixels.tolist()))


def test_backprop_reports_its_error(capsys):
    main(["backprop", "--data", "digits", "--units", "20", "--epochs", "15"])
    printed = capsys.readouterr().out
    error = float(printed.split("test error")[1].split()[0])
    assert error < 30  # chance is 90; measured 19.4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "mnits"], "Did you mean 'mnist'"),
        (["--k", "1"], "k is 1"),
        (["--k", "16"], "k is 16, but only 15 units compete"),
        (["--p", "1.5"], "p is 1.5"),
        (["--delta", "-1"], "delta is -1.0"),
        (["--competition", "equilibrium", "--w-inh", "-0.1"], "w_inh is -0.1"),
        (["--competition", "equilibrium", "--h-star", "0"], "h_star is 0.0"),
        (["--head-epochs", "0"], "the readout's epochs is 0"),
        (["--delta", "100", "--epochs", "100"], "training diverged"),
        (["--units", "0", "--competition", "soft"], "units is 0"),
        (["--batch-size", "2000"], "batch_size is 2000, but there are only 1498"),
        (["--validation", "1498"], "validation is 1498"),
        (["--threads", "0"], "threads is 0"),
        (["--power", "0"], "power is 0.0"),
        (["--units", "0"], "units is 0: at least 1"),
        (["--snapshots", "1"], "snapshots is 1: 0 (keep none) or at least 2"),
        (["--seed", "18446744073709551616"], "seed is 18446744073709551616: 0 to 2^63"),
        (["--normalize", "none", "--lr", "1", "--delta", "5"], "training diverged"),
    ],
)
def test_mistakes_get_one_line_and_leave_no_run(tmp_path, capsys, flags, message):
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "run", *flags)
    assert message in line
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--units", "0"], "units is 0"),
        (["--batch-size", "2000"], "batch_size is 2000, but there are only 1498"),
        (["--units", "100000000000"], "lower the number of units"),
    ],
)
def test_mistakes_of_the_control_get_one_line(capsys, flags, message):
    assert message in refused(capsys, "backprop", "--data", "digits", *flags)


def test_cuda_without_a_device_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "run", "--device", "cuda")
    assert "no CUDA device here: give --device cpu" in line


def test_an_old_run_is_not_replaced_by_accident(run, capsys):
    before = (run / "weights.safetensors").read_bytes()
    assert "--overwrite" in refused(capsys, "train", *QUICK, "--out", run)
    assert (run / "weights.safetensors").read_bytes() == before


def test_an_unwritable_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "file" / "run")
    assert "cannot write to" in line


def test_evaluate_refuses_what_is_not_a_run(run, tmp_path, capsys):
    assert "there is no file" in refused(capsys, "evaluate", tmp_path)
    assert "damaged" in refused(capsys, "evaluate", run / "weights.safetensors")
    storage.save_json(tmp_path / "metrics.json", {})
    assert "config.json" in refused(capsys, "evaluate", tmp_path)
    config = json.loads((run / "config.json").read_text())
    storage.save_json(tmp_path / "config.json", config)
    weights = storage.load_tensors(run / "weights.safetensors")
    storage.save_tensors(tmp_path / "weights.safetensors", {"weights": weights["weights"]})
    assert "is not a complete run" in refused(capsys, "evaluate", tmp_path)
    storage.save_tensors(
        tmp_path / "weights.safetensors",
        weights | {"weights": torch.ones(15, 60), "mean": torch.zeros(60)},
    )
    assert "60 pixels per unit" in refused(capsys, "evaluate", tmp_path)


def test_export_does_not_replace_by_accident(run, tmp_path, capsys):
    assert "ends in .npz" in refused(capsys, "export", run, "--out", tmp_path / "x.npy")
    (tmp_path / "x.npz").touch()
    assert "--overwrite" in refused(capsys, "export", run, "--out", tmp_path / "x.npz")


def test_a_name_that_no_file_can_have_is_refused(capsys):
    assert "too long" in refused(capsys, "train", *QUICK, "--out", "x" * 300)


def test_random_weights_are_read_out_with_their_own_power(tmp_path):
    main(["train", *QUICK, "--epochs", "0", "--out", str(tmp_path / "run")])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["readout"]["power"] == 1.0


def test_export_refuses_more_images_than_there_are(run, tmp_path, capsys):
    line = refused(
        capsys, "export", run, "--out", tmp_path / "x.npz", "--num-images", "999"
    )
    assert "num_images is 999: there are 1 to 299" in line


@pytest.mark.slow
def test_the_command_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "fastpath", "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--head-epochs" in done.stdout


def test_settings_come_from_the_data_set_unless_they_are_given(tmp_path):
    known = defaults_for("mnist")
    config = configured(Train(data="mnist", out=tmp_path), "mnist")
    assert config.layer.p == known.p
    assert config.competition == known.competition
    assert config.training == known.training
    assert config.preprocess == known.preprocess
    assert config.readout == known.readout
    many = configured(Train(data="mnist", out=tmp_path, units=8000), "mnist")
    assert many.training.epochs == 2 * known.training.epochs
    given = configured(
        Train(
            data="mnist",
            out=tmp_path,
            epochs=0,
            delta=0.1,
            p=2.0,
            unit_norm=False,
            head_scaling="unit",
            head_exponent=6.0,
        ),
        "mnist",
    )
    assert given.competition == replace(known.competition, delta=0.1)
    assert given.training == replace(known.training, epochs=0)
    assert given.layer.p == 2.0
    assert given.preprocess == replace(known.preprocess, unit_norm=False)
    wanted = replace(known.random, scaling="unit", m=6.0)
    assert given.readout == wanted
