"""Continuous-time dynamics of competing hidden units, integrated with Brian2.

Brian2 and xarray are loaded when the first simulation needs them.
"""

import importlib

# As in `typing`, which is slow to import: Ctrl-C during imports leaves a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from neurodyn.circuits.dale import DaleInhibition
    from neurodyn.circuits.lateral import LateralInhibition
    from neurodyn.circuits.spiking import SpikingInhibition
    from neurodyn.engine import backends as backends
    from neurodyn.engine.backends import Backend
    from neurodyn.plasticity.competitive import Competitive
    from neurodyn.plasticity.diehl_cook import DiehlCook
    from neurodyn.plasticity.homeostatic import Homeostatic
    from neurodyn.plasticity.krotov_hopfield import KrotovHopfield
    from neurodyn.plasticity.oja import Oja
    from neurodyn.plasticity.pair_stdp import PairSTDP
    from neurodyn.plasticity.timing import Continuous, Gated, Settled
    from neurodyn.plasticity.triplet_stdp import TripletSTDP
    from neurodyn.recording import Recording, SpikeRecording
    from neurodyn.simulation import Simulation, build, simulate
    from neurodyn.spiking import SpikingNetwork
    from neurodyn.stimulus import PoissonPresentation, Presentation
    from neurodyn.sweeps import sweep

__all__ = [
    "Backend",
    "Competitive",
    "Continuous",
    "DaleInhibition",
    "DiehlCook",
    "Gated",
    "Homeostatic",
    "KrotovHopfield",
    "LateralInhibition",
    "Oja",
    "PairSTDP",
    "PoissonPresentation",
    "Presentation",
    "Recording",
    "Settled",
    "Simulation",
    "SpikeRecording",
    "SpikingInhibition",
    "SpikingNetwork",
    "TripletSTDP",
    "build",
    "simulate",
    "sweep",
]
__version__ = "0.1.0"

_HOMES = {
    "SpikingNetwork": "spiking",
    "SpikingInhibition": "circuits.spiking",
    "SpikeRecording": "recording",
    "PoissonPresentation": "stimulus",
    "TripletSTDP": "plasticity.triplet_stdp",
    "PairSTDP": "plasticity.pair_stdp",
    "DiehlCook": "plasticity.diehl_cook",
    "Backend": "engine.backends",
    "Competitive": "plasticity.competitive",
    "Continuous": "plasticity.timing",
    "DaleInhibition": "circuits.dale",
    "Gated": "plasticity.timing",
    "Homeostatic": "plasticity.homeostatic",
    "KrotovHopfield": "plasticity.krotov_hopfield",
    "LateralInhibition": "circuits.lateral",
    "Oja": "plasticity.oja",
    "Presentation": "stimulus",
    "Recording": "recording",
    "Settled": "plasticity.timing",
    "Simulation": "simulation",
    "build": "simulation",
    "simulate": "simulation",
    "sweep": "sweeps",
}
_MODULES = {
    "analysis": "analysis",
    "animation": "animation",
    "backends": "engine.backends",
    "circuits": "circuits",
    "convolution": "convolution",
    "equilibrium": "equilibrium",
    "plasticity": "plasticity",
    "plots": "plots",
    "spiking": "spiking",
    "stimulus": "stimulus",
    "traces": "traces",
}


def __getattr__(name: str) -> "Any":
    if name in _MODULES:
        return importlib.import_module(f"neurodyn.{_MODULES[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module 'neurodyn' has no attribute '{name}'")
    return getattr(importlib.import_module(f"neurodyn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
