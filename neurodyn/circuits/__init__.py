"""Circuits of hidden units, one file each; `base.Circuit` is their protocol."""

from neurodyn.circuits.base import BuiltCircuit, Circuit, ThresholdLinear, Trace
from neurodyn.circuits.dale import DaleInhibition
from neurodyn.circuits.lateral import LateralInhibition

__all__ = [
    "CIRCUITS",
    "BuiltCircuit",
    "Circuit",
    "DaleInhibition",
    "LateralInhibition",
    "ThresholdLinear",
    "Trace",
]
# All circuits: the names of traces, and the contract tests, are derived from this list.
CIRCUITS = (LateralInhibition, DaleInhibition)
