"""Entry point of the command `neurodyn`; `neurodyn.commands` implements it."""

import sys
from collections.abc import Sequence

try:
    from neurodyn import exits
except KeyboardInterrupt:  # too early for `exits` to report it
    print("neurodyn: interrupted; nothing was saved", file=sys.stderr)
    sys.exit(130)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake prints one line and exits with code 2."""
    with exits.orderly("neurodyn"):
        loaded = exits.at_once("neurodyn")
        from neurodyn.commands import run  # takes seconds

        loaded()
        run(args)
