"""Checks of settings that several scenarios share."""

from typing import Any

import numpy as np


def check_counts(config: Any, *names: str, least: int = 1) -> None:
    """Raise ValueError if a count, or a tuple's entry, is below `least`; None passes."""
    for name in names:
        value = getattr(config, name)
        for count in value if isinstance(value, tuple) else (value,):
            if count is not None and count < least:
                raise ValueError(f"{name} is {count}: at least {least} is needed")


def check_increasing(**sequences: tuple[float, ...]) -> None:
    """Raise ValueError if a sequence is empty or does not increase."""
    for name, values in sequences.items():
        if not values or not all(np.diff(values) > 0):
            raise ValueError(f"{name} is {values}: give one value or more, increasing")


def check_sharing(config: Any) -> None:
    """Raise ValueError if `workers` is negative, or set together with `scheduler`."""
    if config.workers < 0:
        raise ValueError(f"workers is {config.workers}: it must be 0 or more")
    if config.workers and config.scheduler:
        raise ValueError(
            f"workers is {config.workers} and scheduler {config.scheduler}: give one of "
            "them, a number of local processes or a running cluster"
        )
