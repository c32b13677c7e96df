"""The digits, a run of a few units that is finished, and one that was interrupted."""

import shutil

import pytest

from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import storage
from tests.fastpath.saved_runs import SMALL
from tests.helpers import save_digits


@pytest.fixture(scope="session")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Digits in a file, and a run that learned from it."""
    place = tmp_path_factory.mktemp("finished")
    save_digits(place, "set")
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
