"""The command: python -m scenarios.dale_training."""

from scenarios import dale_training
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "dale_training", dale_training.main, dale_training.Config, dale_training.__doc__
    )
