"""Full disks, parts of killed runs, signals: files appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurodyn
from neurodyn import exits, files, netcdf, traces
from neurodyn.engine import execute

WEIGHTS, IMAGES = np.eye(2), np.array([[1.0, 0.2], [0.3, 0.8]])


def run(images=IMAGES, *, image_ms=20.0, **settings):
    return neurodyn.simulate(
        neurodyn.LateralInhibition(w_inh=0.5),
        images,
        WEIGHTS,
        stimulus=neurodyn.Presentation(image_ms=image_ms),
        **({"backend": "numpy", "dt_ms": 0.5} | settings),
    )


def dataset(rows=300):
    values = np.random.default_rng(0).normal(size=(rows, 20))
    return xr.Dataset(
        {"a": (("time", "unit"), values), "name": ("unit", [f"u{i}" for i in range(20)])},
        coords={"time": np.arange(float(rows))},
        attrs={"about": "x" * 3000},
    )


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes as many writes as `room` says."""

    class Disk:
        room, written, real = 10**9, 0, staticmethod(netcdf._write)

        def write(self, *given):
            self.written += 1
            if self.written > self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.real(*given)

    made = Disk()
    monkeypatch.setattr(netcdf, "_write", made.write)
    return made


def test_what_is_saved_is_read_again(tmp_path, disk):
    netcdf.save(tmp_path / "t.nc", dataset(), {"a": {"zlib": True}})
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "t.nc"), dataset())
    assert disk.written > 20


def test_a_refusal_at_any_write_leaves_the_file_before(tmp_path, disk):
    """HDF5 crashes where a write fails, and where it reads back what it did not write."""
    (tmp_path / "t.nc").write_text("old")
    netcdf.save(tmp_path / "other.nc", dataset(), {"a": {"zlib": True}})
    for room in range(disk.written):
        disk.room, disk.written = room, 0
        with pytest.raises(ValueError, match=r"cannot write .*t\.nc: No space left on dev"):
            netcdf.save(tmp_path / "t.nc", dataset(), {"a": {"zlib": True}})
    assert (tmp_path / "t.nc").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["other.nc", "t.nc"]


@pytest.mark.parametrize("room", [0, 1, 3, 7, 15])
def test_chunks_before_a_refusal_are_delivered(room, tmp_path, disk, monkeypatch):
    monkeypatch.setattr(execute, "CHUNK_PRESENTATIONS", 1)
    append = traces.Writer.append

    def filling(writer, chunk, **given):
        if writer.num_presentations == 1:
            disk.room = disk.written + room
        append(writer, chunk, **given)

    monkeypatch.setattr(traces.Writer, "append", filling)
    with pytest.raises(ValueError, match=r"No space left on device; choose") as refused:
        run(out=tmp_path / "t.nc")
    assert refused.value.__notes__ == [
        f"1 presentations are finished, and in {tmp_path / 't.nc'}"
    ]
    kept = traces.open(tmp_path / "t.nc")
    assert kept.attrs["presentations"] == kept.sizes["image"] == 1
    expected = run()["activity"].sel(image=[0])
    np.testing.assert_array_equal(kept["activity"], expected)
    assert os.listdir(tmp_path) == ["t.nc"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.argv[1:] = {arguments}
from neurodyn import progress
from neurodyn.cli import main
progress.LINE_SECONDS = 1e9  # however busy the machine is
main()
"""


def command(folder, *more, num_images=40):
    np.save(folder / "images.npy", np.tile(IMAGES, (num_images // 2, 1)))
    np.save(folder / "weights.npy", WEIGHTS)
    inputs = [f"--{name}={folder / name}.npy" for name in ("images", "weights")]
    return ["simulate", *inputs, "--backend=numpy", "--dt-ms=0.5", *more]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.slow
def test_a_limit_of_the_size_of_files_is_one_line(tmp_path):
    arguments = command(tmp_path, f"--out={tmp_path / 't.nc'}", "--activity-ms=0.5")
    code = LIMITED.format(limit=30_000, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "t.nc: File too large; choose another path" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["images.npy", "weights.npy"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(where)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("a small file system needs root")
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_what_was_finished(small_disk, tmp_path):
    out = small_disk / "t.nc"
    more = [f"--out={out}", "--activity-ms=0.5", "--image-ms=100", "--w-inh=0.5"]
    code = "from neurodyn.engine import execute; execute.CHUNK_PRESENTATIONS = 2\n" + (
        LIMITED.format(limit=10**9, arguments=command(tmp_path, *more))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "No space left on device; choose another path; " in done.stderr
    kept = traces.open(out)
    assert kept.sizes["image"] == kept.attrs["presentations"] >= 2
    assert f"{kept.sizes['image']} presentations are finished, and in" in done.stderr
    assert os.listdir(small_disk) == ["t.nc"]
    expected = run(np.tile(IMAGES, (20, 1)), image_ms=100.0)["final_activity"]
    np.testing.assert_array_equal(kept["final_activity"], expected[: kept.sizes["image"]])


def test_a_part_of_a_killed_run_is_not_added_to(tmp_path):
    """It has the number of this process, as always in containers; or another."""
    out = tmp_path / "t.nc"
    run(9 * IMAGES, out=out)
    for left in (f".t.nc.{os.getpid()}.part", ".t.nc.1.part", files.part_of(out).name):
        (tmp_path / left).write_bytes(out.read_bytes())
    result = run(out=out)
    np.testing.assert_allclose(result["drive"], IMAGES)
    assert result.sizes["image"] == result.attrs["presentations"] == 2
    assert os.listdir(tmp_path) == ["t.nc"]


def test_parts_of_others_that_still_write_are_left(tmp_path):
    out = tmp_path / "t.nc"
    with files.kept(theirs := files.part_of(out)), files.whole(out) as part:
        run(out=out)
        assert theirs.exists()
        assert part.exists()
    theirs.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_until_a_file_is_whole(number, tmp_path, monkeypatch):
    seen = []
    before = signal.signal(number, lambda sent, _: seen.append(sent))
    real = netcdf._write

    def interrupted(*given):
        signal.raise_signal(number)
        assert not seen
        real(*given)

    monkeypatch.setattr(netcdf, "_write", interrupted)
    try:
        netcdf.save(tmp_path / "t.nc", dataset(3), {})
    finally:
        signal.signal(number, before)
    assert seen == [number]
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "t.nc"), dataset(3))


def test_what_stops_a_run_says_by_which_signal_and_what_is_saved(tmp_path):
    out = tmp_path / "t.nc"
    chunk = run()
    writer = traces.Writer(out)
    writer.append(chunk, num_presentations=2)
    with pytest.raises(exits.Stopped) as stopped:
        writer.__exit__(exits.Stopped, exits.Stopped(signal.SIGTERM), None)
    assert stopped.value.number == signal.SIGTERM
    assert str(stopped.value) == f"terminated; 2 presentations are finished, and in {out}"


def test_temporary_folders_are_not_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    netcdf.save(tmp_path / "new" / "t.nc", dataset(3), {})
    assert [path.name for path in Path(tmp_path / "new").iterdir()] == ["t.nc"]
