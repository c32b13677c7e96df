"""How far long work is: bars in terminals and notebooks, a line a minute elsewhere."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest

import neurodyn
from neurodyn import progress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_line_a_minute_with_the_remaining_time(capsys, clock):
    with progress.progress_bar(400, what="training", unit=" img") as advance:
        clock.now = 100.0  # of preparation
        advance(0)
        for _ in range(4):
            clock.now += 50
            advance(100)
    assert capsys.readouterr().err.splitlines() == [
        "training: 50.0% done, 2 min spent, about 2 min left"
    ]


def test_short_or_unwanted_work_says_nothing(capsys, clock):
    for total, show in ((10, True), (10, False), (0, True)):
        with progress.progress_bar(total, what="work", unit=" s", show=show) as advance:
            clock.now += 59 if show else 1000
            advance(5)
    assert capsys.readouterr().err == ""


def test_unknown_totals_are_counted(capsys, clock):
    with progress.progress_bar(None, what="download", unit=" MB") as advance:
        advance(1)
        clock.now = 90
        advance(2)
    assert capsys.readouterr().err == "download: 3 MB done, 2 min spent\n"


SLOW = """
import time
from neurodyn import progress
with progress.progress_bar({total}, what="work", unit=" ms") as advance:
    for _ in range(6):
        time.sleep(0.3)
        advance(10)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
@pytest.mark.parametrize("total", [60, pytest.param(None, marks=pytest.mark.slow)])
def test_a_terminal_has_a_bar(total):
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run(
        [sys.executable, "-c", SLOW.format(total=total)], stderr=theirs, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert shown.startswith("\rwork: ")
    assert shown.count("\r") >= 2
    assert ("60.0/60.0 [" if total else "60.0 ms [") in shown


def test_a_notebook_without_widgets_has_a_bar_of_text(monkeypatch):
    shell = type("Shell", (type("ZMQInteractiveShell", (), {}),), {})()
    kernel = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setattr(progress, "find_spec", lambda _: None)
    assert progress._in_notebook()
    assert progress._bar() is progress.tqdm


def moves(monkeypatch, call):
    """What progress is told of a simulation, and its total."""
    seen, totals = [], []
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_bar", lambda: Bar)

    class Bar(progress.tqdm):
        def __init__(self, **settings):
            totals.append(settings["total"])
            super().__init__(**settings, disable=True)

        def update(self, n=1):
            seen.append(n)

    call()
    return seen, totals


@pytest.mark.parametrize("how", ["memory", "file", "sweep", "batch", "quiet"])
def test_simulations_say_how_far_they_are(how, tmp_path, monkeypatch):
    circuit = neurodyn.LateralInhibition(w_inh=0.5)
    given = np.ones((3, 2)), np.eye(2)
    settings = {
        "stimulus": neurodyn.Presentation(image_ms=20.0, rest_ms=5.0),
        "backend": "numpy",
        "dt_ms": 0.5,
    }
    calls = {
        "memory": lambda: neurodyn.simulate(circuit, *given, **settings),
        "file": lambda: neurodyn.simulate(circuit, *given, out=tmp_path / "t", **settings),
        "sweep": lambda: neurodyn.sweep([circuit, circuit], *given, **settings),
        "batch": lambda: neurodyn.simulate(circuit, *given, batch_size=2, **settings),
        "quiet": lambda: neurodyn.simulate(circuit, *given, progress=False, **settings),
    }
    seen, totals = moves(monkeypatch, calls[how])
    if how == "quiet":
        assert not seen
        assert not totals
        return
    assert totals == [75.0 * (2 if how == "sweep" else 1)]
    assert sum(seen) == pytest.approx(totals[0])
    assert min(seen) >= 0
