"""The command: python -m scenarios.augmentation."""

from scenarios import augmentation
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "augmentation", augmentation.main, augmentation.Config, augmentation.__doc__
    )
