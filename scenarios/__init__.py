"""Scripts that ask one question each: `python -m scenarios.<name>`."""

import os

# Idle threads sleep, for this process and those it starts: see `fastpath.ambient`. OpenMP
# reads it when PyTorch is loaded, which comes later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
