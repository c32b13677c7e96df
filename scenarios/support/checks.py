"""Checks of settings, with one message for each mistake."""

from typing import Any

import numpy as np


def check_counts(config: Any, *names: str, least: int = 1) -> None:
    """Refuse numbers of things, or tuples of them, below `least`; None is a default."""
    for name in names:
        value = getattr(config, name)
        for part in value if isinstance(value, tuple) else (value,):
            if part is not None and part < least:
                raise ValueError(f"{name} is {part}: at least {least} is needed")


def check_increasing(**sequences: tuple[float, ...]) -> None:
    """Refuse sequences that are empty or do not increase."""
    for name, values in sequences.items():
        if not values or not all(np.diff(values) > 0):
            raise ValueError(f"{name} is {values}: give one value or more, increasing")


def check_sharing(config: Any) -> None:
    """Refuse a number of workers below 0, and workers beside a scheduler."""
    if config.workers < 0:
        raise ValueError(f"workers is {config.workers}: 0 or more processes can work")
    if config.workers and config.scheduler:
        raise ValueError(
            f"workers is {config.workers} and scheduler {config.scheduler}: give one of "
            "them, processes of this machine or a running cluster"
        )
