"""What does each step down the ladder cost and gain?

Compares circuit, equilibrium and ranking on real images. One step of learning starts from
the same weights at all levels; the weight updates ΔW are compared by their cosine. Whole
trainings start from the same weights and see the same order of images. Their receptive
fields and readout errors are compared, with random weights and back-propagation as
controls. The cost is measured in seconds and memory.

Finished trials are saved, so that an interrupted study continues. With --preset quick the
study takes one to two minutes, on the digits.
"""

from scenarios.ladder.config import Config
from scenarios.ladder.study import main, run

__all__ = ["Config", "main", "run"]
