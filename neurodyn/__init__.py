"""Continuous-time dynamics of competing hidden units, integrated with Brian2.

Brian2 and xarray are loaded when the first simulation needs them.
"""

from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.simulate import simulate
from neurodyn.stimulus import Presentation

__all__ = ["LateralInhibition", "Presentation", "simulate"]
__version__ = "0.1.0"
