"""The command `fastpath`: train, search, resume, evaluate, predict, plot, backprop, export.

The work of each sub-command is in `fastpath.commands`.
"""

import sys
from collections.abc import Sequence

try:
    from neurodyn import exits
except KeyboardInterrupt:  # before `exits` can report it in one line
    print("fastpath: interrupted; nothing was saved", file=sys.stderr)
    sys.exit(130)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    with exits.orderly("fastpath") as end:
        loaded = exits.at_once("fastpath")
        from fastpath.commands.flags import Command
        from neurodyn.flags import parsed

        loaded()
        summary = (__doc__ or "").partition("\n")[0]
        command = parsed(Command, args, prog="fastpath", description=summary)
        loaded = exits.at_once("fastpath")
        work, run = _loaded(command)  # takes seconds
        loaded()
        run(command, work, end)


def _loaded(command: object) -> tuple:
    """Return the function that does the work of a command, and the one that runs it."""
    import importlib

    from fastpath.commands.work import run

    name = type(command).__name__.lower()
    return getattr(importlib.import_module(f"fastpath.commands.{name}"), name), run
