"""How every command is carried out, whatever it does."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastpath import ambient
from fastpath.commands.flags import (
    Backprop,
    Export,
    Plot,
    Predict,
    Resume,
    Train,
)
from fastpath.runs import storage
from neurodyn.exits import Ending, mistake


@ambient.isolated(grad=False, numpy=True)
def run(command: Any, work: Callable[[Any], None], end: Ending) -> None:
    """Do the work of a command; say to `end` what it leaves if it is stopped."""
    before = _files(command)
    end.left = lambda: _what_is_left(command, before)
    try:
        # What is imported on the way adds filters of its own.
        with warnings.catch_warnings():
            work(command)
    except ConnectionError as error:  # another process of the team
        mistake("fastpath", ConnectionError(f"{error}; {_what_is_left(command, before)}"))
    except RuntimeError as error:  # PyTorch, on the CPU, for want of memory
        if "memory" not in str(error):
            raise
        mistake("fastpath", error)


def _what_is_left(command: Any, before: dict[Path, Any]) -> str:
    """Return what a command that is stopped leaves behind, of its own."""
    written = [path for path, state in _files(command).items() if state != before.get(path)]
    match command:
        case Train(out=folder) | Resume(run=folder):
            path = folder / storage.CHECKPOINT
            if path.exists() and (path in written or isinstance(command, Resume)):
                return f"go on from its last checkpoint by `fastpath resume {folder}`"
            if folder / storage.METRICS in written:
                return f"the run is finished, and saved to {folder}"
        case Backprop() if written:
            return f"the run is finished, and saved to {command.out}"
        case Plot() | Export() | Predict() if written:
            return f"saved {', '.join(map(str, written))}"
    return "nothing was saved"


def _files(command: Any) -> dict[Path, Any]:
    """Return the files that there are, of those that a command writes; and their state."""
    match command:
        case Train(out=folder) | Resume(run=folder):
            paths = [folder / name for name in (storage.CHECKPOINT, storage.METRICS)]
        case Plot(out=folder):
            paths = [(folder or command.run) / name for name in storage.PICTURES]
        case Backprop(out=Path() as folder):
            paths = [folder / storage.METRICS]
        case Export(out=path):
            paths = [path]
        case Predict(out=Path() as path):
            paths = [path]
        case _:
            paths = []
    with suppress(OSError):  # of a name that no file can have
        states = {path: path.stat() for path in paths if path.exists()}
        return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}
    return {}
