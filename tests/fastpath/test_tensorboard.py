"""TensorBoard's events, read back by its own reader, are the files of the run."""

import io
import json

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastpath.cli import main
from fastpath.runs import storage
from fastpath.training import tensorboard

QUICK = ["--data", "digits", "--units", "15", "--epochs", "6", "--head-epochs", "3"]
FLAGS = [*QUICK, "--snapshots", "3", "--tensorboard"]


def events(run):
    accumulator = EventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    return accumulator


def scalars(accumulator, tag):
    found = accumulator.Scalars(tag)
    return [event.step for event in found], [event.value for event in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    main(["train", *FLAGS, "--out", str(out)])
    return out


def test_scalars_are_the_history(run):
    read, history = events(run), xr.load_dataset(run / "history.nc")
    for name in ("lr", "norm_mean", "norm_max", "learning", "images_per_second"):
        steps, values = scalars(read, f"training/{name}")
        assert steps == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(values, history[name], rtol=1e-6)
    _, dead = scalars(read, "training/dead")
    np.testing.assert_allclose(dead, 1 - history["learning"], atol=1e-6)
    for name in ("loss", "error"):
        steps, values = scalars(read, f"readout/{name}")
        assert steps == [1, 2, 3]
        np.testing.assert_allclose(values, history[f"head_{name}"], rtol=1e-6)


def test_metrics_are_there(run):
    read, metrics = events(run), json.loads((run / "metrics.json").read_text())
    for name, value in metrics.items():
        steps, values = scalars(read, f"metrics/{name}")
        assert steps == [6]
        assert values[0] == pytest.approx(value, rel=1e-6)


def test_fields_are_there_at_the_epochs_of_the_snapshots(run):
    images = events(run).Images("receptive_fields")
    kept = xr.load_dataset(run / "snapshots.nc")
    assert [image.step for image in images] == kept["epoch"].values.tolist() == [0, 1, 6]
    for image in images:
        shown = Image.open(io.BytesIO(image.encoded_image_string))
        assert shown.size == (4 * 9 + 1, 4 * 9 + 1)  # 15 units of 8 x 8


def test_fields_within_an_epoch_are_in_the_file_alone(tmp_path):
    flags = [*QUICK, "--epochs", "2", "--snapshots", "9", "--tensorboard"]
    main(["train", *flags, "--out", str(tmp_path)])
    assert xr.load_dataset(tmp_path / "snapshots.nc").sizes["epoch"] == 9
    steps = [image.step for image in events(tmp_path).Images("receptive_fields")]
    assert steps == [0, 1, 2]


def test_it_does_not_change_the_run(run, tmp_path):
    main(["train", *QUICK, "--snapshots", "0", "--out", str(tmp_path / "plain")])
    ours, plain = (
        storage.load_tensors(folder / storage.WEIGHTS)
        for folder in (run, tmp_path / "plain")
    )
    assert all(torch.equal(ours[name], plain[name]) for name in plain)
    assert not (tmp_path / "plain" / "tensorboard").exists()


def test_an_interrupted_run_is_written_whole(tmp_path, monkeypatch):
    """What was written before the interruption is there once, and nothing is missing."""
    save, written = storage.save_state, []

    def interrupted(*args):
        save(*args)
        written.append(args)
        if len(written) == 3:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(storage, "save_state", interrupted)
        with pytest.raises(SystemExit):
            main(["train", *FLAGS, "--checkpoint-epochs", "2", "--out", str(run)])
    assert scalars(events(run), "training/lr")[0] == [1, 2, 3]
    main(["resume", str(run)])
    read = events(run)
    assert scalars(read, "training/lr")[0] == [1, 2, 3, 4, 5, 6]
    assert [image.step for image in read.Images("receptive_fields")] == [0, 1, 6]
    assert scalars(read, "metrics/test_error")[0] == [6]


def test_overwrite_begins_anew(tmp_path):
    again = ["--overwrite", "--out", str(tmp_path)]
    main(["train", *FLAGS, "--epochs", "4", *again])
    main(["train", *FLAGS, "--epochs", "2", *again])
    assert scalars(events(tmp_path), "training/lr")[0] == [1, 2]
    main(["train", *QUICK, "--epochs", "2", *again])
    assert not (tmp_path / "tensorboard").exists()


def test_without_the_package_nothing_is_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as exit_:
        main(["train", *FLAGS, "--out", str(tmp_path / "run")])
    assert exit_.value.code == 2
    line = capsys.readouterr().err
    assert "pip install 'neurodyn[tensorboard]'" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "run").exists()
