"""The command `fastpath`: train, resume, evaluate, plot, backprop, export."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from fastpath import checkpoint
from fastpath.commands.backprop import BackpropControl, backprop_control
from fastpath.commands.evaluate import Evaluate, evaluate
from fastpath.commands.export import Export, export
from fastpath.commands.plot import Plot, plot
from fastpath.commands.resume import Resume, resume
from fastpath.commands.train import Train, train

type Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[BackpropControl, tyro.conf.subcommand("backprop")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


def _what_is_left(command: Any) -> str:
    """Return what an interrupted command leaves behind."""
    folder = {Train: "out", Resume: "run"}.get(type(command))
    path = getattr(command, folder) if folder else None
    if path is None or not (path / checkpoint.CHECKPOINT).exists():
        return "nothing was saved"
    return f"go on from its last checkpoint by `fastpath resume {path}`"


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


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    command = tyro.cli(Command, args=args, prog="fastpath", description=__doc__)
    try:
        _run(command)
    except ConnectionError as error:  # another process of the team
        print(f"fastpath: {error}; {_what_is_left(command)}", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"fastpath: {reason}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"fastpath: interrupted; {_what_is_left(command)}", file=sys.stderr)
        sys.exit(130)
