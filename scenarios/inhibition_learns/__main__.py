"""The command: python -m scenarios.inhibition_learns."""

from scenarios import inhibition_learns
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "inhibition_learns",
        inhibition_learns.main,
        inhibition_learns.Config,
        inhibition_learns.__doc__,
    )
