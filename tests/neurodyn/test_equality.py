"""Settings are equal by their values, and what is exported is theirs."""

import copy
import importlib
import pickle
from dataclasses import replace

import numpy as np
import pytest

import neurodyn
from neurodyn import DaleInhibition, LateralInhibition

BETWEEN = np.array([[0.0, 0.5], [0.3, 0.0]])
CIRCUITS = [
    LateralInhibition(),
    LateralInhibition(w_inh=BETWEEN, tau_ms=np.array([5.0, 6.0])),
    DaleInhibition(),
    DaleInhibition(num_inh=2, w_ie=np.ones((3, 2)), tau_inh_ms=np.array([1.0, 2.0])),
    neurodyn.KrotovHopfield(timing=neurodyn.Gated(last_ms=3.0)),
    neurodyn.Oja(),
    neurodyn.Homeostatic(),
    neurodyn.Presentation(),
    neurodyn.Recording(),
]
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "replace": replace,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("settings", CIRCUITS, ids=lambda one: type(one).__name__)
def test_copies_are_equal(settings, how):
    copied = COPIES[how](settings)
    assert copied is not settings
    assert copied == settings
    assert hash(copied) == hash(settings)
    assert len({copied, settings}) == 1


def test_other_values_are_unequal():
    for place, one in enumerate(CIRCUITS):
        assert all(one != other for other in CIRCUITS[place + 1 :])
    matrix = LateralInhibition(w_inh=BETWEEN)
    assert matrix != replace(matrix, w_inh=BETWEEN.T)
    assert matrix != replace(matrix, noise=0.1)
    assert matrix != "matrix"
    assert matrix == LateralInhibition(w_inh=np.where(BETWEEN == 0, -0.0, BETWEEN))


@pytest.mark.parametrize(
    "name",
    [f"neurodyn.{name}" for name in ("plots", "analysis", "stimulus", "traces")]
    + ["neurodyn.animation", "neurodyn.equilibrium", "fastpath.plots"],
)
def test_modules_export_what_is_theirs(name):
    module = importlib.import_module(name)
    exported = {}
    exec(f"from {name} import *", exported)
    assert sorted(set(exported) - {"__builtins__"}) == sorted(module.__all__)
    for one in module.__all__:
        home = getattr(getattr(module, one), "__module__", name)
        assert home.startswith(name), one
