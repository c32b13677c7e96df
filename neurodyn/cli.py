"""The command `neurodyn`; what it does is in `neurodyn.commands`."""

import sys
from collections.abc import Sequence

try:
    from neurodyn import exits
except KeyboardInterrupt:  # so early, nothing else says it in one line
    print("neurodyn: interrupted; nothing was saved", file=sys.stderr)
    sys.exit(130)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    with exits.orderly("neurodyn"):
        loaded = exits.at_once("neurodyn")
        from neurodyn.commands import run  # which takes seconds

        loaded()
        run(args)
