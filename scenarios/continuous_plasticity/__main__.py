"""The command: python -m scenarios.continuous_plasticity."""

from scenarios import continuous_plasticity
from scenarios.support.command import command

if __name__ == "__main__":
    command(
        "continuous_plasticity",
        continuous_plasticity.main,
        continuous_plasticity.Config,
        continuous_plasticity.__doc__,
    )
