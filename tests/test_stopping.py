"""Commands that are stopped by a signal: one line, whenever it comes, and the exit code."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurodyn import exits

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
COMMANDS = {
    "fastpath": ["-m", "fastpath", "train", "--data", "digits", "--epochs", "9999"],
    "neurodyn": ["-m", "neurodyn", "backends"],
    "scenarios": ["-m", "scenarios.quickstart", "--seeds", "99"],
}


def stopped_after(module: str, seconds: float, number: int, *args: str) -> tuple[int, str]:
    """Start Python; return how it ended, so many seconds after a module was loaded."""
    # -X importtime says what has been loaded; a signal before `neurodyn.exits` is there is
    # Python's own affair.
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *args],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == module:
            break
    time.sleep(seconds)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    lines = [line for line in said.splitlines() if not line.startswith("import time:")]
    return process.returncode, "\n".join(lines)


@pytest.mark.parametrize("program", COMMANDS)
def test_ctrl_c_while_a_command_loads_is_one_line(program, tmp_path):
    out = ["--out", str(tmp_path / "run")] * (program != "neurodyn")
    # Every command loads much more after NumPy, and `neurodyn backends` ends soon after.
    code, said = stopped_after("numpy", 0, signal.SIGINT, *COMMANDS[program], *out)
    assert code == 130
    assert said == f"{program}: interrupted; nothing was saved"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_moment_of_the_start_leaves_a_traceback(number, tmp_path):
    args = [*COMMANDS["fastpath"], "--out", str(tmp_path / "run")]
    for moment in (0.2, 0.5, 1, 2, 3):
        code, said = stopped_after("neurodyn.exits", moment, number, *args)
        assert code == 128 + number, said
        assert said.splitlines()[-1].startswith(f"fastpath: {exits.WORDS[number]}; ")
        assert "Traceback" not in said


def ended(work, left=lambda: "nothing was saved") -> int | None:
    """Return the exit code of a command."""
    try:
        with exits.orderly("command") as end:
            end.left = left
            work()
    except SystemExit as exit_:
        return exit_.code
    return None


def test_a_command_that_is_told_to_end_twice_ends_once(capsys):
    """As `torchrun` does after Ctrl-C: the second signal finds it saying what is left."""

    def left() -> str:
        for number in exits.WORDS:
            signal.raise_signal(number)
        return "something was saved"

    before = [signal.getsignal(number) for number in exits.WORDS]
    assert ended(lambda: signal.raise_signal(signal.SIGINT), left) == 130
    assert capsys.readouterr().err == "command: interrupted; something was saved\n"
    assert [signal.getsignal(number) for number in exits.WORDS] == before


class Dropped:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)  # where Python looks for signals


def test_a_signal_that_python_drops_stops_the_command_all_the_same(capsys):
    def work() -> None:
        Dropped()
        gc.collect()
        time.sleep(60)

    start = time.monotonic()
    assert ended(work) == 143
    assert time.monotonic() - start < 30
    assert capsys.readouterr().err == "command: terminated; nothing was saved\n"


def test_a_signal_that_comes_just_before_python_waits_is_sent_again(monkeypatch):
    """As if the first two had come where Python does not look any more."""
    real, sent = exits._to_main, []

    def to_main(number):
        sent.append(number)
        if len(sent) > 2:
            real(number)

    def work() -> None:
        Dropped()
        time.sleep(60)

    monkeypatch.setattr(exits, "_to_main", to_main)
    start = time.monotonic()
    assert ended(work) == 143
    assert time.monotonic() - start < 30
    assert len(sent) >= 3


def test_a_signal_that_comes_while_one_is_dropped_is_not_lost(monkeypatch):
    class Thread(exits.threading.Thread):
        def start(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            super().start()

    def work() -> None:
        Dropped()
        time.sleep(60)

    monkeypatch.setattr(exits.threading, "Thread", Thread)
    start = time.monotonic()
    assert ended(work) == 143
    assert time.monotonic() - start < 30


def test_a_signal_that_comes_while_something_else_is_dropped_is_not_lost(monkeypatch):
    class Broken:
        def __del__(self) -> None:
            raise ValueError("dropped")

    def work() -> None:
        Broken()
        time.sleep(60)

    monkeypatch.setattr(
        sys, "unraisablehook", lambda _: signal.raise_signal(signal.SIGTERM)
    )
    start = time.monotonic()
    assert ended(work) == 143
    assert time.monotonic() - start < 30


def test_what_a_command_was_started_to_ignore_it_does(capsys):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exits.orderly("command"):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert capsys.readouterr().err == ""


def test_a_closed_terminal_does_not_change_how_a_command_ends(monkeypatch):
    class Closed:
        def write(self, _: str) -> None:
            raise OSError("Input/output error")

        flush = write

    monkeypatch.setattr(sys, "stderr", Closed())
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it
    try:
        assert ended(lambda: signal.raise_signal(signal.SIGHUP)) == 129
    finally:
        signal.signal(signal.SIGHUP, before)


def test_python_that_is_ending_ends_silently():
    code = (
        "import signal, atexit\n"
        "atexit.register(lambda: signal.raise_signal(signal.SIGINT))\n"  # comes last
        "from neurodyn import exits\n"
        "with exits.orderly('command'): pass\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
