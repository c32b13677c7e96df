"""Weights trained by fastpath, simulated by neurodyn: one drive, one equilibrium."""

import numpy as np
import pytest
import torch

import neurodyn
from fastpath import competition
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.training.loop import Training, train
from neurodyn import traces

W_INH = 0.5


@pytest.fixture(scope="module", params=[2.0, 3.0], ids="p={}".format)
def trained(request):
    """Return a layer trained on the digits, and held-out images as it sees them."""
    digits = datasets.load("digits")
    x = torch.from_numpy(digits.x_train)
    preprocess = Preprocess().fit(x)
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(12, 64, p=request.param, generator=generator)
    train(
        layer,
        x,
        competition=Ranking(),
        training=Training(epochs=10),
        preprocess=preprocess,
        generator=generator,
        progress=False,
    )
    held_out = preprocess(torch.from_numpy(digits.x_test[:4]))
    return Dense(layer.weights.double(), p=request.param), held_out.double()


@pytest.fixture(scope="module")
def simulated(trained):
    layer, v = trained
    return neurodyn.simulate(
        neurodyn.LateralInhibition(w_inh=W_INH, p=layer.p),
        v.numpy(),
        layer.weights.numpy(),
        stimulus=neurodyn.Presentation(image_ms=200.0),  # 20 tau
        backend="numpy",
        recording=neurodyn.Recording(activity_ms=None),
    )


def test_both_compute_the_same_drive(trained, simulated):
    layer, v = trained
    # The same sums in another order.
    np.testing.assert_allclose(simulated["drive"], layer.drive(v), rtol=1e-12, atol=1e-12)


def test_the_circuit_settles_where_fastpath_says(trained, simulated):
    layer, v = trained
    drive = layer.drive(v)
    away = abs(
        simulated["final_activity"].values - competition.settle(drive, w_inh=W_INH).numpy()
    )
    # At T = 20 tau the slowest mode has fallen to exp(-10) = 4.5e-5 of where it started.
    assert (away / drive.amax(dim=1, keepdim=True).numpy()).max() < 1e-4


def test_who_learns_is_the_same_by_circuit_and_by_equilibrium(trained, simulated):
    layer, v = trained
    h = simulated["final_activity"].values
    h_star = 0.5 * float(h.max())
    g = competition.equilibrium(layer.drive(v), w_inh=W_INH, h_star=h_star, delta=0.4)
    by_circuit = np.where(h >= h_star, 1.0, np.where(h >= 0, -0.4, 0.0))
    assert (g.numpy() == by_circuit).all()
    assert set(np.unique(by_circuit)) == {-0.4, 0.0, 1.0}


def test_traces_survive_the_disk(simulated, tmp_path):
    traces.save(simulated, tmp_path / "traces.nc")
    assert traces.open(tmp_path / "traces.nc").identical(simulated)
