"""What a command says of what it leaves, and two that write into one folder."""

import os
import signal
import sys

import pytest

from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import figures, storage
from neurodyn import files
from tests.fastpath.saved_runs import SMALL
from tests.helpers import refused


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

    monkeypatch.setitem(figures.FIGURES, storage.CURVE, stop)
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
