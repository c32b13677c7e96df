"""The command: python -m scenarios.quickstart."""

from scenarios import quickstart
from scenarios.support.command import command

if __name__ == "__main__":
    command("quickstart", quickstart.main, quickstart.Config, quickstart.__doc__)
