"""The command `fastpath`: train, resume, evaluate, plot, backprop, export."""

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from signal import SIG_IGN, SIGTERM, signal
from typing import Annotated, Any, NoReturn

import tyro

from fastpath import ambient, checkpoint
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


@ambient.isolated(grad=False, numpy=True)
def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    command = tyro.cli(Command, args=args, prog="fastpath", description=__doc__)
    try:
        # What is imported on the way adds filters of its own.
        with warnings.catch_warnings(), _sigterm_interrupts():
            _run_or_say_why_not(command)
    except KeyboardInterrupt as stop:
        by, code = ("terminated", 143) if SIGTERM in stop.args else ("interrupted", 130)
        print(f"fastpath: {by}; {_what_is_left(command)}", file=sys.stderr)
        sys.exit(code)


def _run_or_say_why_not(command: Command) -> None:
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


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, of a batch system or of `torchrun`, end a run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # never interrupted
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        signal(SIGTERM, SIG_IGN)  # once is enough: what is left is to say so
        raise KeyboardInterrupt(SIGTERM)

    before = signal(SIGTERM, interrupt)
    try:
        yield
    finally:
        signal(SIGTERM, before)
