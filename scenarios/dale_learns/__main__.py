"""The command: python -m scenarios.dale_learns."""

from scenarios import dale_learns
from scenarios.support.command import command

if __name__ == "__main__":
    command("dale_learns", dale_learns.main, dale_learns.Config, dale_learns.__doc__)
