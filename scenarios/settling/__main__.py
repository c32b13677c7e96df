"""The command: python -m scenarios.settling."""

from scenarios import settling
from scenarios.support.command import command

if __name__ == "__main__":
    command("settling", settling.main, settling.Config, settling.__doc__)
