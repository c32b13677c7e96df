import errno
import json
import stat

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.runs import storage


def test_tensors_round_trip(tmp_path):
    first, second = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    tensors = {"weights": first.view(3, 4), "view": second.view(4, 3).T}
    storage.save_tensors(tmp_path / "w.safetensors", tensors)
    read = storage.load_tensors(tmp_path / "w.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_files_are_readable_by_others(tmp_path):
    storage.save_tensors(tmp_path / "w.safetensors", {"weights": torch.zeros(1)})
    storage.save_json(tmp_path / "c.json", {})
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & stat.S_IRGRP


def test_json_and_history_round_trip(tmp_path):
    storage.save_json(tmp_path / "c.json", {"units": 3, "classes": ["a"]})
    assert storage.load_json(tmp_path / "c.json") == {"units": 3, "classes": ["a"]}
    history = xr.Dataset({"lr": ("epoch", [0.1, 0.2], {"units": "1"})})
    storage.save_dataset(tmp_path / "h.nc", history)
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "h.nc"), history)
    xr.testing.assert_identical(storage.load_dataset(tmp_path / "h.nc"), history)


def write_half(path):
    with storage.whole(path) as part:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "c.json"
    storage.save_json(path, {"old": True})
    with pytest.raises(TypeError):
        storage.save_json(path, {"new": object()})
    with pytest.raises(ValueError, match=r"cannot write .*No space left"):
        write_half(path)
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (storage.load_tensors, "weights.safetensors"),
        (storage.load_json, "config.json"),
        (storage.load_dataset, "history.nc"),
    ],
)
def test_missing_and_damaged_files_are_refused(tmp_path, load, name):
    path = tmp_path / name
    with pytest.raises(ValueError, match=r"there is no file.*folder of a run"):
        load(path)
    path.write_bytes(b"\x10{")
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        load(path)


def test_truncated_weights_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    storage.save_tensors(path, {"weights": torch.ones(30, 40)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        storage.load_tensors(path)


def test_a_folder_that_holds_a_run_is_refused_but_for_overwrite(tmp_path):
    folder = tmp_path / "deep" / "run"
    storage.prepare(folder, overwrite=False)
    storage.prepare(folder, overwrite=False)
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"already holds a run \(metrics.json\).*--overwrite"
    ):
        storage.prepare(folder, overwrite=False)
    storage.prepare(folder, overwrite=True)
    assert (folder / "metrics.json").exists()  # until the new one is there


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write to .*choose another --out"):
        storage.prepare(tmp_path / "file" / "run", overwrite=False)
    with pytest.raises(ValueError, match="cannot write"):
        storage.save_arrays(tmp_path / "file" / "x.npz", {"x": np.zeros(1)})
