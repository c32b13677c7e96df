"""A full disk, whatever is written: one line, the old file stays, and no half one."""

import os
import resource
import signal
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.cli import main
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.readout import LinearHead
from fastpath.runs import figures, storage
from fastpath.runs.folder import Saved
from fastpath.training import history, tensorboard
from fastpath.training.callbacks import Progress
from fastpath.training.snapshots import Snapshots

RNG = np.random.default_rng(0)
NOISE = RNG.random((60, 100))  # not to be compressed


@contextmanager
def no_file_over(size: int):
    """Let the operating system refuse what goes beyond so many bytes of a file."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def tensors(path):
    storage.save_tensors(path, {"weights": torch.from_numpy(NOISE)})


def numbers(path):
    storage.save_json(path, {"values": NOISE.tolist()})


def arrays(path):
    storage.save_arrays(path, {"images": NOISE})


def dataset(path):
    storage.save_dataset(path, xr.Dataset({"weights": (("unit", "pixel"), NOISE)}))


def files(history_of=None) -> figures.Files:
    fields = xr.DataArray(
        NOISE.reshape(3, -1)[:, :64], dims=("unit", "pixel"), coords={"unit": [0, 1, 2]}
    )
    snapshots = xr.concat([fields] * 3, xr.DataArray([0, 1, 2], dims="epoch", name="epoch"))
    zeros = torch.zeros(3, 64)
    run = Saved(
        weights=zeros,
        layer=None,
        bias=zeros[:, 0],
        preprocess=FittedPreprocess(Preprocess(), zeros[0]),
        head=LinearHead(zeros[:, :3], zeros[0, :3], zeros[0, :3], zeros[0, :3]),
        readout=None,
        data="digits",
        classes=("0", "1", "2"),
        image_shape=(8, 8, 1),
        field_shape=(8, 8, 1),
        test_images=None,
        title="title",
        metrics={},
        has_sums=True,
        config={},
    )
    return figures.Files(
        fields, snapshots, history.as_dataset([]), run, None, "title", [], {}
    )


def picture(path):
    figures.draw_fields(files(), path)


def film(path):
    figures.draw_film(files(), path)


WRITERS = [tensors, numbers, arrays, dataset, picture, film]


def refused_on(path, write):
    """Check that a writer is refused half-way, with the old file and nothing else left."""
    before = path.read_bytes()
    path.write_bytes(b"the old file")
    with (
        no_file_over(len(before) // 2),
        pytest.raises(ValueError, match=rf"cannot write .*{path.name}: File too large"),
    ):
        write(path)
    assert path.read_bytes() == b"the old file"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_full_disk_leaves_the_old_file(tmp_path, write):
    path = tmp_path / "written"
    write(path)
    refused_on(path, write)


def test_a_full_disk_ends_the_events_of_tensorboard_in_one_line(tmp_path, recwarn):
    """Its own writer would do so in a thread, with a traceback."""
    entry = dict.fromkeys(history.DESCRIBED, 1.0)
    layer = Dense(torch.ones(3, 64))
    board = tensorboard.TensorBoard(tmp_path, (8, 8, 1), Snapshots())
    with (
        no_file_over(300),
        pytest.raises(ValueError, match=r"cannot write .*tfevents.*: File too large"),
    ):
        board.on_epoch_end(Progress(layer, 100, [entry] * 100, 1))
    board.close()


@pytest.fixture
def tiny(tmp_path):
    """A disk of 64 kB."""
    if os.getuid():
        pytest.skip("only root can mount a disk")
    tmp_path.joinpath("disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path / "disk")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


@pytest.mark.parametrize("write", WRITERS[:4], ids=lambda write: write.__name__)
def test_a_disk_that_fills_up(tiny, write):
    (tiny / "others").write_bytes(bytes(56 * 1024))
    with pytest.raises(ValueError, match=r"cannot write .*: No space left on device"):
        write(tiny / "written")
    assert [path.name for path in tiny.iterdir()] == ["others"]


def test_a_run_on_a_full_disk_ends_in_one_line(tiny, capsys):
    (tiny / "others").write_bytes(bytes(60 * 1024))
    flags = ["--data", "digits", "--units", "15", "--epochs", "1", "--head-epochs", "1"]
    with pytest.raises(SystemExit) as exit_:
        main(["train", *flags, "--out", str(tiny / "run")])
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fastpath: cannot write {tiny}/run/checkpoint.safetensors: No")
    assert said.count("\n") == 1
    assert not any((tiny / "run").iterdir())


def test_a_file_or_a_link_to_nothing_is_no_folder_of_a_run(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, what in (("file", "a file, not a folder"), ("link", "a link to nothing")):
        with pytest.raises(ValueError, match=f"cannot write to .*{name}: it is {what}"):
            storage.prepare(tmp_path / name, overwrite=False)


def test_a_disk_that_cannot_be_written_to(tiny):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    for folder in (tiny, tiny / "run"):
        with pytest.raises(ValueError, match=r"cannot write to .*: Read-only file system"):
            storage.prepare(folder, overwrite=False)
    with pytest.raises(ValueError, match=r"cannot write .*: Read-only file system"):
        arrays(tiny / "x.npz")
