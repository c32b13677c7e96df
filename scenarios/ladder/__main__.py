"""The command: python -m scenarios.ladder."""

import re
import sys

from scenarios import ladder
from scenarios.ladder.config import Config, chosen
from scenarios.support.command import command

if __name__ == "__main__":
    # Flags override QUICK, also where they are equal to a default of the full study.
    quick = re.search(r"--preset[ =]quick\b", " ".join(sys.argv[1:]))
    short = chosen(Config(preset="quick")) if quick else None
    command(
        "ladder",
        ladder.run,
        Config,
        ladder.__doc__,
        left="finished trials are saved",
        default=short,
    )
