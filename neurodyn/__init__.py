"""Continuous-time dynamics of competing hidden units, integrated with Brian2.

Brian2 and xarray are loaded when the first simulation needs them.
"""

from neurodyn.circuits.dale import DaleInhibition
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.recording import Recording
from neurodyn.simulate import simulate, sweep
from neurodyn.stimulus import Presentation
from neurodyn.synapses.inhibitory import Homeostatic
from neurodyn.synapses.krotov_hopfield import KrotovHopfield
from neurodyn.synapses.oja import Oja
from neurodyn.synapses.timing import Continuous, Gated, Settled

__all__ = [
    "Continuous",
    "DaleInhibition",
    "Gated",
    "Homeostatic",
    "KrotovHopfield",
    "LateralInhibition",
    "Oja",
    "Presentation",
    "Recording",
    "Settled",
    "simulate",
    "sweep",
]
__version__ = "0.1.0"
