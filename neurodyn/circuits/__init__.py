"""Circuits of hidden units, one file each; `base.Circuit` says what a circuit has."""

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
# All that there are: the names of their traces, and the tests of contracts, are from here.
CIRCUITS = (LateralInhibition, DaleInhibition)
