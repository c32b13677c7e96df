"""Annealing of the readout's learning rate. A new schedule is a line in `SCHEDULES`."""

import math
from collections.abc import Callable

WARM_UP = 0.05  # of the steps of the readout's training
# Percent of the steps after which SoftHebb halves lr (Journé et al., ICLR 2023).
HALVED_AT = (20, 35, 50, 60, 70, 80, 90)


def _halved(step: int, num_steps: int) -> float:
    return 0.5 ** sum(100 * step >= percent * num_steps for percent in HALVED_AT)


# The share of lr that is left after so many steps of all.
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "cosine": lambda step, num_steps: (1 + math.cos(math.pi * step / num_steps)) / 2,
    "step": lambda step, num_steps: 0.5 ** (5 * step // num_steps),
    "halved": _halved,
}


def share(schedule: str, step: int, num_steps: int) -> float:
    """Return the share of lr at a step.

    A linear rise over the first WARM_UP of them (a full first step can saturate the tanh
    of one class for good), then the annealing.
    """
    rise = min(1.0, (step + 1) / math.ceil(WARM_UP * num_steps))
    return rise * SCHEDULES[schedule](step, num_steps)
