"""Runs whose images are no longer where they were."""

import json
import shutil

import numpy as np
import pytest
import torch

from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import storage
from tests.fastpath.saved_runs import altered
from tests.helpers import refused


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
