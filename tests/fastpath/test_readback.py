"""What a finished run is read back from: damaged, or of another version."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from fastpath.cli import main
from fastpath.runs import figures, storage
from fastpath.runs.folder import open_run
from tests.fastpath.saved_runs import PIXELS, UNITS
from tests.helpers import refused


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


def different(one, other) -> set[str]:
    """Return the names whose values differ."""
    return {n for n in one.keys() | other.keys() if one.get(n) != other.get(n)}


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
        now, then = after[1], before[1]
        # What says where and which the images are is compared with these.
        assert different(now, then) <= {
            "config",
            "data",
            "title",
            "test_images",
            "has_sums",
        }
        free = {storage.SHA256, *storage.OF_IMAGES, *now["config"].keys() - then["config"]}
        assert different(now["config"], then["config"]) <= free
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
        # The start, and each of 3 mini-batches in 2 epochs.
        assert file["weights"].shape == (7, UNITS, PIXELS)


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


def test_runs_from_before_dropout_and_flips_can_be_read(run, capsys):
    path = run / "config.json"
    config = json.loads(path.read_text())
    assert config["readout"].pop("dropout") == 0
    assert config["readout"].pop("flips") is False
    storage.save_json(path, config)
    main(["evaluate", str(run)])
    assert "test error" in capsys.readouterr().out


def test_settings_of_another_version_are_named_with_the_versions(run, capsys):
    path = run / "config.json"
    config = json.loads(path.read_text())
    config["fastpath"] = "9.9.9"
    config["readout"]["shrinkage"] = 0.5
    del config["readout"]["scaling"], config["preprocess"]["unit_norm"]
    path.write_text(json.dumps(config))
    for command in (["evaluate"], ["plot"], ["export", "--out", run / "x.npz"]):
        line = refused(capsys, command[0], run, *command[1:])
        assert "unknown here: readout.shrinkage" in line
        assert "missing: preprocess.unit_norm, readout.scaling" in line
        assert "written by fastpath 9.9.9, this is fastpath 0.1.0" in line
