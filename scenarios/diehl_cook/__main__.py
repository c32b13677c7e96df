"""The command: python -m scenarios.diehl_cook."""

from scenarios import diehl_cook
from scenarios.support import study

if __name__ == "__main__":
    study.command("diehl_cook", diehl_cook.main, diehl_cook.Config, diehl_cook.__doc__)
