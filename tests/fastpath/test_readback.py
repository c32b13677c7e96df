"""What a run is read back from: damaged, of another version, moved, or under way."""

import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import figures, storage
from fastpath.runs.folder import open_run
from neurodyn import files

SMALL = ["--units", "8", "--epochs", "2", "--head-epochs", "2"]
UNITS, PIXELS, CLASSES = 8, 64, 10


def refused(capsys, *args) -> str:
    """Return the one line that a mistake gets."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, args)))
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Digits in a file, and a run that learned from it."""
    place, digits = tmp_path_factory.mktemp("finished"), datasets.load("digits")
    np.savez(place / "set.npz", **{n: getattr(digits, n) for n in datasets.ARRAYS})
    batch = ["--batch-size", "500", "--data", str(place / "set.npz")]
    main(["train", *SMALL, *batch, "--out", str(place / "run")])
    return place


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished / "run", tmp_path / "run")


def everything(folder) -> list:
    """Return all that is read back from a run."""
    saved, drawn = open_run(folder), figures.open_files(folder)
    written = ("kind", "layer", "competition", "training", "readout", "seed")
    config = {name: saved.config.get(name) for name in written}
    held = vars(saved) | {"preprocess": saved.preprocess.steps, "config": config}
    head, layer = held.pop("head"), held.pop("layer")
    tensors = [held.pop("weights"), layer.weights, saved.preprocess.mean]
    tensors += vars(head).values()
    numbers = [tensor.tolist() for tensor in tensors]
    return [numbers, held, drawn.snapshots.to_dict(), drawn.history.to_dict()]


NAMES = ["config.json", "history.nc", "metrics.json", "snapshots.nc", "weights.safetensors"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == "snapshots.nc")) for n in NAMES],
)
def test_a_flipped_bit_is_noticed_or_changes_nothing(run, name):
    """It may hit what lays out a JSON file, or the mark of the sum itself."""
    before, whole = everything(run), (run / name).read_bytes()
    rng, noticed = np.random.default_rng(0), 0
    for place in rng.choice(len(whole), 25, replace=False):
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        (run / name).write_bytes(content)
        try:
            after = everything(run)
        except ValueError:
            noticed += 1
            continue
        differ = [
            a for a, b in zip(after[1].items(), before[1].items(), strict=True) if a != b
        ]
        # What says where and which the images are is compared with these.
        assert {field for field, _ in differ} <= {
            "data",
            "title",
            "test_images",
            "has_sums",
        }
        assert [after[0], *after[2:]] == [before[0], *before[2:]]
    assert noticed >= 10


def test_a_value_that_was_altered_is_noticed(run, capsys):
    config = json.loads((run / "config.json").read_text())
    config["readout"]["power"] += 1
    (run / "config.json").write_text(json.dumps(config))
    for command in (["evaluate"], ["plot"], ["export", "--out", run / "x.npz"]):
        line = refused(capsys, command[0], run, *command[1:])
        assert "config.json is damaged, or of another version: its content does not" in line


def test_files_of_a_run_are_readable_by_others(run):
    with safetensors.safe_open(run / "weights.safetensors", "np") as file:
        assert file.metadata()["p"] == str(
            storage.load_json(run / "config.json")["layer"]["p"]
        )
        assert file.get_tensor("weights").shape == (UNITS, PIXELS)
    xr = pytest.importorskip("xarray")
    assert xr.load_dataset(run / "history.nc").sizes["epoch"] == 2
    h5py = pytest.importorskip("h5py")
    with h5py.File(run / "snapshots.nc") as file:
        assert file["weights"].shape == (3, UNITS, PIXELS)


@pytest.mark.slow
def test_a_run_of_an_older_version_has_no_sums_and_is_told_of(run, capsys):
    expected = json.loads((run / "metrics.json").read_text())["test_error"]
    config = json.loads((run / "config.json").read_text())
    del config["sha256"], config["metrics_sha256"]
    (run / "config.json").write_text(json.dumps(config))
    tensors = storage.load_tensors(run / "weights.safetensors")
    safetensors.torch.save_file(tensors, run / "weights.safetensors")
    for name in ("history.nc", "snapshots.nc"):
        content, *_ = (run / name).read_bytes().rpartition(storage.TRAILER)
        (run / name).write_bytes(content)
    capsys.readouterr()
    for command in ("evaluate", "plot"):
        main([command, str(run)])
        said = capsys.readouterr()
        assert said.err == (
            f"fastpath: {run} was written by an older version, without checksums: whether "
            "its files are intact cannot be checked\n"
        )
        if command == "evaluate":
            assert f"{expected:.2f} %" in said.out


def with_nan(tensor):
    tensor = tensor.clone()
    tensor.flatten()[3] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights", with_nan, "'weights' has 1 values that are NaN or infinite, of 512"),
        ("weights", torch.Tensor.half, "'weights' is float16 of shape (8, 64), but"),
        ("weights", torch.Tensor.double, "'weights' is float64 of shape (8, 64), but"),
        ("weights", torch.Tensor.bfloat16, "'weights' is bfloat16 of shape (8, 64), but"),
        ("weights", torch.Tensor.int, "'weights' is int32 of shape (8, 64), but"),
        ("weights", torch.Tensor.flatten, "of shape (512,), but float32 of shape (8, 64)"),
        ("weights", lambda w: w[:5], "of shape (5, 64), but float32 of shape (8, 64) is"),
        ("weights", lambda w: w[:, :60], "have 60 pixels per unit, but images of (8"),
        ("mean", lambda m: m[:60], "'mean' is float32 of shape (60,), but float32"),
        ("mean", with_nan, "'mean' has 1 values that are NaN"),
        ("head.weights", torch.Tensor.t, "'head.weights' is float32 of shape (8, 10), but"),
        ("head.bias", lambda b: b[:9], "(9,), but float32 of shape (10,) is needed: 8"),
        ("head.scale", with_nan, "'head.scale' has 1 values"),
        ("head.offset", lambda _: torch.zeros(0), "'head.offset' is float32 of shape (0,)"),
        ("head.bias", lambda _: None, "not a complete run: 'head.bias' missing in weights"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ours", [True, False])
def test_weights_that_do_not_fit_are_refused(run, capsys, name, change, message, ours):
    """Also where the sum is right, or there is none: another program wrote them."""
    path = run / "weights.safetensors"
    tensors = storage.load_tensors(path)
    changed = change(tensors.pop(name))
    if changed is not None:
        tensors[name] = changed.contiguous()
    save = storage.save_tensors if ours else safetensors.torch.save_file
    save(*((path, tensors) if ours else (tensors, path)))
    for command in (["evaluate"], ["plot"], ["export", "--out", run / "x.npz"]):
        assert message in refused(capsys, command[0], run, *command[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": [8, 8]}, "image_shape is list [8, 8]: [height, width, channels]"),
        ({"image_shape": "8x8"}, "image_shape is '8x8'"),
        ({"image_shape": [8, 8, 0]}, "image_shape is 0: at least 1 is needed"),
        ({"image_shape": [8, 8, "1"]}, "image_shape is '1': a number is needed"),
        ({"image_shape": [4, 4, 1]}, "have 64 pixels per unit, but images of (4, 4, 1)"),
        ({"classes": "0123456789"}, "classes is '0123456789': a list of names is needed"),
        ({"classes": [0, 1]}, "classes is list [0, 1]: a list of names is needed"),
        ({"classes": ["a"] * 10}, "two classes are called 'a'"),
        ({"classes": ["a", "b"]}, "float32 of shape (2, 8) is needed: 8 units, 2 classes"),
        ({"layer": None}, "the layer is None: this version has DenseSettings"),
        ({"data": 5}, "data is int 5: a str is needed"),
        ({"preprocess": None}, "'preprocess' is None: the settings of a Preprocess are"),
        ({"readout": []}, "'readout' is list []: the settings of a Readout are needed"),
    ],
)  # fmt: skip
def test_a_wrong_field_in_the_configuration_is_named(run, capsys, change, message):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for command in (["evaluate"], ["plot"], ["export", "--out", run / "x.npz"]):
        assert message in refused(capsys, command[0], run, *command[1:])


@pytest.mark.parametrize("content", ["[]", "5", "null", '{"test_error": "low"}', "{", ""])
@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_json_that_is_something_else_is_refused(run, capsys, name, content):
    (run / name).write_text(content)
    for command in ("evaluate", "plot"):
        assert name in refused(capsys, command, run)


def test_settings_of_another_version_are_named_with_the_versions(run, capsys):
    path = run / "config.json"
    config = json.loads(path.read_text())
    config["fastpath"] = "9.9.9"
    config["readout"]["dropout"] = 0.5
    del config["readout"]["scaling"], config["preprocess"]["unit_norm"]
    path.write_text(json.dumps(config))
    for command in (["evaluate"], ["plot"], ["export", "--out", run / "x.npz"]):
        line = refused(capsys, command[0], run, *command[1:])
        assert "unknown here: readout.dropout" in line
        assert "missing: preprocess.unit_norm, readout.scaling" in line
        assert "written by fastpath 9.9.9, this is fastpath 0.1.0" in line


@pytest.fixture
def interrupted(finished, tmp_path, monkeypatch):
    """A run that was interrupted after its first checkpoint."""
    save = storage.save_state

    def stop(*args):
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "save_state", stop)
        batch = ["--batch-size", "500", "--data", str(finished / "set.npz")]
        with pytest.raises(SystemExit):
            main(["train", *SMALL, *batch, "--out", str(tmp_path / "going")])
    return tmp_path / "going"


def altered(folder, change, **tensors):
    """Save the checkpoint of a run again, with another configuration or state."""
    path = folder / storage.CHECKPOINT
    state, config = storage.load_state(path)
    change(config)
    for name, tensor in tensors.items():
        state.layer[name] = tensor
    storage.save_state(path, state, config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["training"].update(momentum=0.9),
            "unknown here: training.momentum; m",
        ),
        (lambda c: c["training"].pop("lr"), "unknown here: none; missing: training.lr. It"),
        (lambda c: c.update(augment=True), "unknown here: augment"),
        (lambda c: c["layer"].pop("num_units"), "missing: layer.num_units"),
        (lambda c: c["competition"].update(q=1), "unknown here: competition.q"),
        (
            lambda c: c["competition"].update(name="Winner"),
            "the competition is 'Winner': thi",
        ),
        (lambda c: c.update(competition="Ranking"), "the competition is 'Ranking': this"),
        (lambda c: c.update(competition={"name": ["a"]}), "the competition is list ['a']"),
        (lambda c: c["readout"].update(power=-1.0), "power is -1.0: it must be positive"),
        (lambda c: c.update(machine={}), "does not say of the machine: device, threads, p"),
        (
            lambda c: c.update(fastpath="0.0.7", x=1),
            "by fastpath 0.0.7, this is fastpath 0.",
        ),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_by_its_fields(
    interrupted, capsys, change, message
):
    assert storage.load_state(interrupted / "checkpoint.safetensors")[1]["fastpath"]
    altered(interrupted, change)
    line = refused(capsys, "resume", interrupted)
    assert message in line
    assert str(interrupted) in line


def test_a_checkpoint_of_an_older_version_of_the_same_settings_goes_on(interrupted, capsys):
    altered(interrupted, lambda config: config.pop("fastpath"))
    main(["resume", str(interrupted)])
    assert "test error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.zeros(8, 64).half(), "'weights' is float16"),
        (torch.full((8, 64), torch.nan), "'weights' has 512 values that are NaN"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(interrupted, capsys, weights, message):
    altered(interrupted, lambda _: None, weights=weights)
    assert message in refused(capsys, "resume", interrupted)


def test_a_checkpoint_of_fewer_units_than_configured_is_refused(interrupted, capsys):
    altered(interrupted, lambda config: config["layer"].update(num_units=9))
    line = refused(capsys, "resume", interrupted)
    assert "'weights' is float32 of shape (8, 64), but float32 of shape (9, 64) is" in line


# Where the data are now.


@pytest.fixture
def moved(finished, tmp_path):
    """The data set in another place, beside a copy of the run that looks for it in vain."""
    shutil.copy(finished / "set.npz", tmp_path / "elsewhere.npz")
    run = shutil.copytree(finished / "run", tmp_path / "run")
    config = storage.load_json(run / "config.json")
    storage.save_json(run / "config.json", config | {"data": str(tmp_path / "gone.npz")})
    return tmp_path


def test_a_finished_run_is_told_where_its_images_are(moved, capsys):
    run = moved / "run"
    for command in (["evaluate"], ["export", "--out", moved / "x.npz"]):
        line = refused(capsys, command[0], run, *command[1:])
        assert f"are no longer at {moved}/gone.npz: give --data with where" in line
        capsys.readouterr()
        main(
            [
                command[0],
                str(run),
                *map(str, command[1:]),
                "--data",
                str(moved / "elsewhere.npz"),
            ]
        )
        said = capsys.readouterr()
        assert said.err == ""
    error = json.loads((run / "metrics.json").read_text())["test_error"]
    main(["evaluate", str(run), "--data", str(moved / "elsewhere.npz")])
    assert f"{error:.2f} %" in capsys.readouterr().out


def test_another_test_set_is_scored_on_and_said(moved, capsys):
    digits = datasets.load("digits")
    held = {name: getattr(digits, name) for name in datasets.ARRAYS}
    np.savez(moved / "other.npz", **held | {"x_test": held["x_test"][:, ::-1]})
    main(["evaluate", str(moved / "run"), "--data", str(moved / "other.npz")])
    assert capsys.readouterr().err == (
        f"fastpath: the test set of 'other' is not the one that {moved / 'run'} was scored "
        "on\n"
    )
    wide = {n: held[n].reshape(-1, 4, 16, 1) for n in ("x_train", "x_test")}
    np.savez(moved / "wide.npz", **held | wide)
    line = refused(capsys, "evaluate", moved / "run", "--data", moved / "wide.npz")
    assert "learned images of (8, 8, 1)" in line


def test_an_interrupted_run_goes_on_with_images_that_were_moved(
    finished, interrupted, tmp_path, capsys
):
    shutil.copy(finished / "set.npz", tmp_path / "elsewhere.npz")
    altered(interrupted, lambda config: config.update(data=str(tmp_path / "gone.npz")))
    assert "give --data with where they are now" in refused(capsys, "resume", interrupted)
    np.savez(tmp_path / "other.npz", **{
        name: getattr(datasets.load("digits"), name)[::-1] for name in datasets.ARRAYS
    })  # fmt: skip
    line = refused(capsys, "resume", interrupted, "--data", tmp_path / "other.npz")
    assert "what differs: images (" in line
    main(["resume", str(interrupted), "--data", str(tmp_path / "elsewhere.npz")])
    ours, whole = (
        storage.load_tensors(folder / storage.WEIGHTS)
        for folder in (interrupted, finished / "run")
    )
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    config = storage.load_json(interrupted / "config.json")
    assert config["data"] == str(tmp_path / "elsewhere.npz")


# Two at once, and what is left.


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_two_processes_do_not_train_into_one_folder(interrupted, capsys):
    before = (interrupted / storage.CHECKPOINT).read_bytes()
    read, write = os.pipe()
    if not (child := os.fork()):  # holds the folder until it is killed
        with files.held(interrupted):
            os.write(write, b"!")
            signal.pause()
    os.read(read, 1)
    try:
        said = f"another process is training into {interrupted}"
        assert said in refused(capsys, "resume", interrupted)
        again = ["--data", "digits", "--out", interrupted, "--overwrite"]
        assert said in refused(capsys, "train", *SMALL, *again)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (interrupted / storage.CHECKPOINT).read_bytes() == before
    main(["resume", str(interrupted)])


def test_what_was_there_before_is_not_said_to_be_saved(interrupted, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", stop)
    again = ["--data", "digits", "--out", str(interrupted), "--overwrite"]
    with pytest.raises(SystemExit):
        main(["train", *SMALL, *again])
    assert capsys.readouterr().err.endswith("fastpath: interrupted; nothing was saved\n")
    with pytest.raises(SystemExit):
        main(["resume", str(interrupted)])
    assert f"by `fastpath resume {interrupted}`\n" in capsys.readouterr().err


def test_a_stopped_plot_names_the_pictures_that_are_whole(run, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "draw_curve", stop)
    with pytest.raises(SystemExit):
        main(["plot", str(run)])
    saved = f"saved {run / 'receptive_fields.png'}, {run / 'training.png'}"
    assert capsys.readouterr().err.endswith(f"fastpath: interrupted; {saved}\n")


def test_a_run_that_is_stopped_after_its_last_file_says_so(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["fastpath.commands.train"], "report", stop)
    with pytest.raises(SystemExit):
        main(["train", "--data", "digits", *SMALL, "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert f"interrupted; the run is finished, and saved to {tmp_path / 'run'}\n" in said
