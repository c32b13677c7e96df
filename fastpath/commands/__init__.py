"""The command `fastpath`: train, resume, evaluate, plot, backprop, export.

One file is one sub-command, with its settings.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import tyro

from fastpath import ambient
from fastpath.commands.backprop import BackpropControl, backprop_control
from fastpath.commands.evaluate import Evaluate, evaluate
from fastpath.commands.export import Export, export
from fastpath.commands.plot import Plot, plot
from fastpath.commands.resume import Resume, resume
from fastpath.commands.train import Train, train
from fastpath.runs import storage
from neurodyn.exits import Ending, mistake
from neurodyn.flags import parsed

type Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[BackpropControl, tyro.conf.subcommand("backprop")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


@ambient.isolated(grad=False, numpy=True)
def run(args: Sequence[str] | None, end: Ending) -> None:
    """Carry out a command line; say to `end` what it leaves if it is stopped."""
    command = parsed(Command, args, prog="fastpath", description=__doc__.partition("\n")[0])
    before = _files(command)
    end.left = lambda: _what_is_left(command, before)
    try:
        # What is imported on the way adds filters of its own.
        with warnings.catch_warnings():
            _run(command)
    except ConnectionError as error:  # another process of the team
        mistake("fastpath", ConnectionError(f"{error}; {_what_is_left(command, before)}"))
    except RuntimeError as error:  # PyTorch, on the CPU, for want of memory
        if "memory" not in str(error):
            raise
        mistake("fastpath", error)


def _run(command: Command) -> None:
    match command:
        case Train():
            train(command)
        case Resume():
            resume(command)
        case Evaluate():
            evaluate(command)
        case Plot():
            plot(command)
        case BackpropControl():
            backprop_control(command)
        case Export():
            export(command)


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
        case Plot() | Export() if written:
            return f"saved {', '.join(map(str, written))}"
    return "nothing was saved"


def _files(command: Any) -> dict[Path, Any]:
    """Return the files that there are, of those that a command writes; and their state."""
    match command:
        case Train(out=folder) | Resume(run=folder):
            paths = [folder / name for name in (storage.CHECKPOINT, storage.METRICS)]
        case Plot(out=folder):
            paths = [(folder or command.run) / name for name in storage.PICTURES]
        case Export(out=path):
            paths = [path]
        case _:
            paths = []
    with suppress(OSError):  # of a name that no file can have
        states = {path: path.stat() for path in paths if path.exists()}
        return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}
    return {}
