"""Continuous-time dynamics of competing hidden units, integrated with Brian2.

Brian2 and xarray are loaded when the first simulation needs them.
"""

import importlib

# As `typing` has it, which takes long to import: until then Ctrl-C leaves a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from neurodyn.circuits.dale import DaleInhibition
    from neurodyn.circuits.lateral import LateralInhibition
    from neurodyn.recording import Recording
    from neurodyn.simulation import simulate, sweep
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

_HOMES = {
    "Continuous": "synapses.timing",
    "DaleInhibition": "circuits.dale",
    "Gated": "synapses.timing",
    "Homeostatic": "synapses.inhibitory",
    "KrotovHopfield": "synapses.krotov_hopfield",
    "LateralInhibition": "circuits.lateral",
    "Oja": "synapses.oja",
    "Presentation": "stimulus",
    "Recording": "recording",
    "Settled": "synapses.timing",
    "simulate": "simulation",
    "sweep": "simulation",
}
_MODULES = ("analysis", "equilibrium", "plots", "stimulus", "synapses", "traces")


def __getattr__(name: str) -> "Any":
    if name in _MODULES:
        return importlib.import_module(f"neurodyn.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'neurodyn' has no attribute '{name}'")
    return getattr(importlib.import_module(f"neurodyn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
