"""Scenarios: scripts that each answer one question. Run `python -m scenarios.<name>`."""

import os
import sys

from neurodyn import exits

# Idle OpenMP threads sleep instead of spinning, in this process and those it starts: see
# `fastpath.ambient`. OpenMP reads the variable when PyTorch is loaded, which comes later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if sys.argv[0] == "-m":  # a script is about to be loaded, which takes seconds
    exits.at_once("scenarios")
