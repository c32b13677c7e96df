"""The command: python -m scenarios.ladder."""

import sys

from scenarios import ladder
from scenarios.ladder.config import Config, chosen
from scenarios.support.command import command

if __name__ == "__main__":
    # So that what is given counts, the defaults of a full study included.
    short = chosen(Config(quick=True)) if "--quick" in sys.argv else None
    command(
        "ladder",
        ladder.run,
        Config,
        ladder.__doc__,
        left="finished parts are kept",
        default=short,
    )
