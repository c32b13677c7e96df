"""The command `fastpath`: train, resume, evaluate, plot, backprop, export.

One file is one sub-command, with its settings.
"""

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from fastpath import ambient, checkpoint
from fastpath.commands.backprop import BackpropControl, backprop_control
from fastpath.commands.evaluate import Evaluate, evaluate
from fastpath.commands.export import Export, export
from fastpath.commands.plot import Plot, plot
from fastpath.commands.resume import Resume, resume
from fastpath.commands.train import Train, train
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
    end.left = lambda: _what_is_left(command)
    try:
        # What is imported on the way adds filters of its own.
        with warnings.catch_warnings():
            _run(command)
    except ConnectionError as error:  # another process of the team
        mistake("fastpath", ConnectionError(f"{error}; {_what_is_left(command)}"))
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


def _what_is_left(command: Any) -> str:
    """Return what a command that is stopped leaves behind."""
    folder = {Train: "out", Resume: "run"}.get(type(command))
    path = getattr(command, folder) if folder else None
    if path is None or not (path / checkpoint.CHECKPOINT).exists():
        return "nothing was saved"
    return f"go on from its last checkpoint by `fastpath resume {path}`"
