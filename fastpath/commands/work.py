"""Run the function of a command; report errors and files that an interruption left."""

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
    Search,
    Train,
)
from fastpath.runs import storage
from neurodyn.exits import Ending, mistake


@ambient.isolated(grad=False, numpy=True)
def run(command: Any, work: Callable[[Any], None], end: Ending) -> None:
    """Do the work of a command; set what `end` reports if the command is stopped."""
    before = _files(command)
    end.left = lambda: _saved_so_far(command, before)
    try:
        # Imported packages add warning filters; this restores the filters.
        with warnings.catch_warnings():
            work(command)
    except ConnectionError as error:  # another process of the team
        mistake("fastpath", ConnectionError(f"{error}; {_saved_so_far(command, before)}"))
    except RuntimeError as error:  # PyTorch, when the CPU has too little memory
        if "memory" not in str(error):
            raise
        mistake("fastpath", error)


def _saved_so_far(command: Any, before: dict[Path, Any]) -> str:
    """Return a message about the files that a stopped command has written."""
    written = [path for path, state in _files(command).items() if state != before.get(path)]
    match command:
        case Train(out=folder) | Resume(run=folder):
            path = folder / storage.CHECKPOINT
            if path.exists() and (path in written or isinstance(command, Resume)):
                return f"go on from its last checkpoint by `fastpath resume {folder}`"
            if folder / storage.METRICS in written:
                return f"the run is finished, and saved to {folder}"
        case Search() if written:
            return "finished trials are kept: go on by the same command"
        case Backprop() if written:
            return f"the run is finished, and saved to {command.out}"
        case Plot() | Export() | Predict() if written:
            return f"saved {', '.join(map(str, written))}"
    return "nothing was saved"


def _files(command: Any) -> dict[Path, Any]:
    """Return the existing output files of a command, with their inode and time."""
    match command:
        case Train(out=folder) | Resume(run=folder):
            paths = [folder / name for name in (storage.CHECKPOINT, storage.METRICS)]
        case Search(out=folder):
            paths = [folder]
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
    with suppress(OSError):  # the name cannot be that of a file
        states = {path: path.stat() for path in paths if path.exists()}
        return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}
    return {}
