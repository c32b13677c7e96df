"""Training of competing hidden units at their steady state, with PyTorch.

PyTorch and scikit-learn are loaded when something first needs them.
"""

import importlib

# Not from `typing`, whose import is slow: Ctrl-C during it would print a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fastpath.baselines import Backprop
    from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
    from fastpath.data.augment import Augment
    from fastpath.data.datasets import load
    from fastpath.data.images import Images
    from fastpath.data.preprocess import Preprocess
    from fastpath.estimators import BackpropNetwork, CompetingUnits, load_model
    from fastpath.layers import Dense
    from fastpath.readout import Readout
    from fastpath.training.loop import Training

__all__ = [
    "Augment",
    "Backprop",
    "BackpropNetwork",
    "CompetingUnits",
    "Dense",
    "Equilibrium",
    "Images",
    "Preprocess",
    "Ranking",
    "Readout",
    "RunnersUp",
    "Soft",
    "Training",
    "load",
    "load_model",
]
__version__ = "0.1.0"

_HOMES = {
    "Augment": "data.augment",
    "Backprop": "baselines",
    "BackpropNetwork": "estimators",
    "CompetingUnits": "estimators",
    "Dense": "layers",
    "Equilibrium": "competition",
    "Images": "data.images",
    "Preprocess": "data.preprocess",
    "Ranking": "competition",
    "Readout": "readout",
    "RunnersUp": "competition",
    "Soft": "competition",
    "Training": "training.loop",
    "load": "data.datasets",
    "load_model": "estimators",
}


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'fastpath' has no attribute '{name}'")
    return getattr(importlib.import_module(f"fastpath.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
