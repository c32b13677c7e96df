"""Training of competing hidden units at their steady state, with PyTorch."""

import os

__version__ = "0.1.0"

# A thread that waits for another's half of a product gives its core away. Spinning, the
# other choice, loses 15 ms at a time where that core is what the other half waits for: on a
# machine with other work. OpenMP reads this once, when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
