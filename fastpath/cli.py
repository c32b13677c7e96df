"""The command `fastpath`; what it does is in `fastpath.commands`."""

from collections.abc import Sequence

from neurodyn import exits


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    with exits.orderly("fastpath") as end:
        from fastpath.commands import run  # loads PyTorch, and may be interrupted

        run(args, end)
