"""Commands in a process of the caller's: they change nothing in it, nor it in them."""

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from fastpath import ambient
from fastpath.cli import main
from fastpath.runs import storage
from tests.fastpath.entries import (
    assert_same,
)
from tests.fastpath.worlds import WORLDS, changed, state


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ambient") / "run"
    flags = ["--data", "digits", "--units", "9", "--epochs", "2", "--head-epochs", "2"]
    main(["train", *flags, "--out", str(folder), "--snapshots", "2"])
    return flags, folder


@contextmanager
def another_world():
    names = ("float64", "no_grad", "autocast", "device", "medium products", "numpy raises")
    with (
        WORLDS[names[0]](),
        WORLDS[names[1]](),
        WORLDS[names[2]](),
        WORLDS[names[3]](),
        WORLDS[names[4]](),
        WORLDS[names[5]](),
        WORLDS["xarray"](),
        WORLDS["denormals flushed"](),
    ):
        yield


@pytest.mark.parametrize("command", ["train", "evaluate", "export", "backprop", "refused"])
def test_a_command_leaves_the_process_of_a_notebook_as_it_was(
    run, tmp_path, capsys, command
):
    flags, folder = run
    threads = ["--threads", "2"]
    given = {
        "train": ["train", *flags, "--out", str(tmp_path / "run"), "--snapshots", "2"],
        "evaluate": ["evaluate", str(folder)],
        "export": ["export", str(folder), "--num-images", "5", "--out", "IMAGES"],
        "backprop": ["backprop", "--data", "digits", "--units", "9", "--epochs", "1"],
        "refused": ["train", *flags, "--out", str(folder)],
    }[command]
    said = []
    for world, name in ((another_world, "a.npz"), (WORLDS["xarray"], "b.npz")):
        images = str(tmp_path / name)
        with world():
            before = state()
            refused = pytest.raises(SystemExit) if command == "refused" else nullcontext()
            with refused:
                main([word.replace("IMAGES", images) for word in given] + threads)
            assert changed(before) == []
        lines = capsys.readouterr().out.splitlines()
        said.append([line for line in lines if "error" in line])
        if command == "train":
            break
    if command == "train":
        for name, tensor in storage.load_tensors(folder / storage.WEIGHTS).items():
            path = tmp_path / "run" / storage.WEIGHTS
            assert torch.equal(storage.load_tensors(path)[name], tensor)
    elif command == "export":
        one, other = (dict(np.load(tmp_path / name)) for name in ("a.npz", "b.npz"))
        assert_same([*one.values()], [*other.values()])
    else:
        assert said[0] == said[1]


@pytest.mark.slow
def test_pictures_are_the_same_whatever_matplotlib_was_told(run, tmp_path):
    folders = tmp_path / "clean", tmp_path / "other"
    for folder, world in zip(
        folders, (WORLDS["xarray"], WORLDS["matplotlib"]), strict=True
    ):
        with world(), np.errstate(all="raise"):
            before = state()
            main(["plot", str(run[1]), "--out", str(folder)])
            assert changed(before) == []
    for name in (path.name for path in folders[1].iterdir()):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


IMPORTED = """
import os
before = dict(os.environ)
{}
import fastpath.runs.execute, fastpath.baselines, fastpath.runs.figures
import torch
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())

import random  # here, since in the tests' own process beartype draws some numbers
from tests.fastpath.entries import clustered, learned, own_loop
before = random.getstate()
learned(), own_loop(), clustered()
assert random.getstate() == before
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "policy"),
    [
        ("import fastpath.commands.work", "passive"),
        ("import torch; import fastpath.commands.work", None),
    ],
)
def test_a_fresh_process_keeps_its_environment_and_random_numbers(first, policy):
    """And in a command idle threads sleep: OpenMP says what it has read."""
    environment = {k: v for k, v in os.environ.items() if k != ambient.OPENMP}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(first)],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    spins = [s for s in done.stderr.splitlines() if "GOMP_SPINCOUNT" in s]
    if not spins:
        pytest.skip("this OpenMP is not GNU's, or does not say what it has read")
    assert (spins[0].strip() == "GOMP_SPINCOUNT = '0'") == (policy == "passive")
