"""The command: python -m scenarios.spiking_ladder."""

from scenarios import spiking_ladder
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "spiking_ladder",
        spiking_ladder.main,
        spiking_ladder.Config,
        spiking_ladder.__doc__,
    )
