"""The command: python -m scenarios.dale_oscillations."""

from scenarios import dale_oscillations
from scenarios.support.command import command

if __name__ == "__main__":
    command(
        "dale_oscillations",
        dale_oscillations.main,
        dale_oscillations.Config,
        dale_oscillations.__doc__,
    )
