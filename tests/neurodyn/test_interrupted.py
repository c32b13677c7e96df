"""What is on the disk when a simulation is interrupted, fails, or cannot be written."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from neurodyn import (
    traces,
)
from neurodyn.engine import execute
from tests.neurodyn.helpers import without_timing
from tests.neurodyn.test_running import EVERYTHING, FREE, RULE, assert_same, run


class Diverged(Exception):
    pass


@pytest.mark.parametrize("fault", [KeyboardInterrupt, Diverged])
def test_what_was_finished_is_kept(fault, tmp_path, monkeypatch):
    out = tmp_path / "t.nc"
    whole = run(plasticity=RULE, recording=EVERYTHING)
    monkeypatch.setattr(execute, "CHUNK_PRESENTATIONS", 2)
    finished, calls = execute._finished, []

    def stop(*args, **kwargs):
        calls.append(args)
        if len(calls) == 4:
            raise fault
        return finished(*args, **kwargs)

    monkeypatch.setattr(execute, "_finished", stop)
    with pytest.raises(fault) as stopped:
        run(plasticity=RULE, recording=EVERYTHING, out=out)
    if fault is KeyboardInterrupt:
        assert f"6 presentations are finished, and in {out}" in str(stopped.value)
    kept = traces.open(out)
    assert kept.attrs["presentations"] == 6
    until = whole.sel(time=slice(0, 6 * 24.0), image=slice(0, 5), snapshot=slice(0, 6))
    until["weights"] = whole["weights_snapshots"].sel(snapshot=6, drop=True)
    assert_same(until, kept)


def test_interrupted_in_the_first_chunk_nothing_is_left(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "_finished", stop)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(out=tmp_path / "t.nc")
    assert "finished" not in str(stopped.value)
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_that_is_being_written_is_written_whole(tmp_path, monkeypatch):
    """Ctrl-C between two variables of the second chunk."""
    monkeypatch.setattr(execute, "CHUNK_PRESENTATIONS", 2)
    out, written, append = tmp_path / "t.nc", [], traces._append

    def interrupted(file, name, *given):
        append(file, name, *given)
        written.append(name)
        if len(written) == len(set(written)) + 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(traces, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(plasticity=RULE, recording=EVERYTHING, out=out)
    assert f"4 presentations are finished, and in {out}" in str(stopped.value)
    assert traces.open(out).attrs["presentations"] == traces.open(out).sizes["image"] == 4
    with pytest.raises(KeyboardInterrupt):  # at once again
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_finished(tmp_path):
    """At the command line: the first chunk of 1000 is there, the process says so."""
    np.save(tmp_path / "images.npy", np.random.default_rng(3).random((100_000, 7)))
    np.save(tmp_path / "weights.npy", FREE)
    out = tmp_path / "traces.nc"
    inputs = ["--images", tmp_path / "images.npy", "--weights", tmp_path / "weights.npy"]
    quick = ["--image-ms", "2", "--dt-ms", "0.5", "--backend", "numpy"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neurodyn", "simulate", *inputs, "--out", out, *quick],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".traces.nc.*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "presentations are finished, and in" in said
    kept = traces.open(out)
    assert kept.attrs["presentations"] == kept.sizes["image"]
    assert kept.sizes["image"] % 1000 == 0
    assert 0 < kept.sizes["image"] < 100_000
    assert len(list(tmp_path.glob("*.part"))) == 0


def test_the_file_is_read_as_it_is_used(tmp_path):
    written = run(out=tmp_path / "t.nc")
    assert not written["activity"].variable._in_memory
    xr.testing.assert_identical(without_timing(written), without_timing(run()))
    written.close()


@pytest.mark.parametrize("place", ["t.nc/t.nc", "folder"])
def test_a_place_that_cannot_be_written_is_refused_first(place, tmp_path, monkeypatch):
    (tmp_path / "t.nc").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(execute, "chunks", None)  # nothing is run
    with pytest.raises(ValueError, match="cannot write"):
        run(out=tmp_path / place)
