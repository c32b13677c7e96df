"""A run of a few units that is finished, and one that was interrupted."""

import shutil

import numpy as np
import pytest

from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import storage
from tests.fastpath.saved_runs import SMALL


@pytest.fixture(scope="session")
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
