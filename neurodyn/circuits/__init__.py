"""Circuits of hidden units, one file each; `base.Circuit` is their protocol.

`spiking` has the circuit of spiking cells, for `neurodyn.SpikingNetwork`.
"""

from neurodyn.circuits.base import BuiltCircuit, Circuit, ThresholdLinear, Trace
from neurodyn.circuits.dale import DaleInhibition
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.circuits.spiking import SpikingInhibition

__all__ = [
    "CIRCUITS",
    "SPIKING_CIRCUITS",
    "BuiltCircuit",
    "Circuit",
    "DaleInhibition",
    "LateralInhibition",
    "SpikingInhibition",
    "ThresholdLinear",
    "Trace",
]
# All circuits: the names of traces, and the contract tests, are derived from this list.
CIRCUITS = (LateralInhibition, DaleInhibition)
SPIKING_CIRCUITS = (SpikingInhibition,)
