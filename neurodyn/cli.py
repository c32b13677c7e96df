"""The command `neurodyn`; what it does is in `neurodyn.commands`."""

from collections.abc import Sequence

from neurodyn import exits


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    with exits.orderly("neurodyn") as end:
        from neurodyn.commands import run  # loads NumPy, and may be interrupted

        run(args, end)
