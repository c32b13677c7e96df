"""What does each step down the ladder cost and gain?

Circuit, equilibrium and ranking are compared on real images: who learns and what, in one
step of learning from the same weights and in whole trainings from one start; how alike the
features become; what can be read out of them beside random weights and back-propagation;
and what it all costs. Every part is kept when it is finished, and an interrupted study goes
on where it was. A short version takes about a minute: --preset quick.
"""

from scenarios.ladder.config import Config
from scenarios.ladder.study import main, run

__all__ = ["Config", "main", "run"]
