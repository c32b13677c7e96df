"""Sparse feed-forward weights: only the stored entries are synapses, and learn."""

import numpy as np
import pytest
from scipy import sparse

import neurodyn
from neurodyn import Continuous, Gated, KrotovHopfield, LateralInhibition, Settled
from neurodyn.engine import backends

RNG = np.random.default_rng(3)
IMAGES = RNG.random((3, 6))
SEEN = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1]], bool)
WEIGHTS = np.where(SEEN, RNG.normal(0.3, 0.5, SEEN.shape), 0.0)
WEIGHTS[1, 2] = 0.0  # a synapse of weight 0 exists
CPP = pytest.param("cpp", marks=pytest.mark.slow)


def stored(weights=WEIGHTS, seen=SEEN):
    unit, pixel = np.nonzero(seen)
    return sparse.coo_array((weights[unit, pixel], (unit, pixel)), shape=seen.shape)


def run(images, weights, *, p=2.0, timing=None, backend="numpy", **settings):
    return neurodyn.simulate(
        LateralInhibition(w_inh=0.0, p=p),
        images,
        weights,
        plasticity=KrotovHopfield(p=p, tau_l_ms=300.0, timing=timing or Settled()),
        stimulus=neurodyn.Presentation(image_ms=30.0),
        recording=neurodyn.Recording(activity_ms=None, weights_every=1, norms=True),
        order=[0, 2, 1, 0],
        backend=backend,
        dt_ms=0.5,
        **settings,
    )


@pytest.mark.parametrize("backend", ["numpy", CPP])
@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("timing", [Settled(), Gated(last_ms=10.0), Continuous()])
def test_each_unit_learns_as_if_shown_only_the_pixels_that_it_sees(timing, p, backend):
    if reason := backends.why_not(backend):
        pytest.skip(reason)
    together = run(IMAGES, stored(), p=p, timing=timing, backend=backend)
    for unit, seen in enumerate(SEEN):
        alone = run(IMAGES[:, seen], WEIGHTS[[unit]][:, seen], p=p, timing=timing)
        for name in ("final_activity", "drive", "weights_snapshots", "weight_norm"):
            found = together[name].isel(unit=[unit]).values
            if name == "weights_snapshots":
                assert not found[..., ~seen].any()
                found = found[..., seen]
            # measured: 9e-16
            np.testing.assert_allclose(found, alone[name], rtol=0, atol=1e-12)
    moved = abs(together["weights"].values - WEIGHTS)
    assert (moved[SEEN] > 1e-3).all()
    assert not moved[~SEEN].any()


def test_a_sparse_array_with_every_entry_is_a_dense_one():
    dense, all_stored = (
        run(IMAGES, weights, timing=Continuous())
        for weights in (WEIGHTS, stored(seen=np.ones_like(SEEN)))
    )
    np.testing.assert_array_equal(dense["weights"], all_stored["weights"])


def test_chunks_and_sweeps_keep_the_synapses(tmp_path, monkeypatch):
    held = run(IMAGES, stored())
    monkeypatch.setattr(neurodyn.engine.execute, "CHUNK_PRESENTATIONS", 1)
    written = run(IMAGES, stored(), out=tmp_path / "t.nc").load()
    swept = neurodyn.sweep(
        [LateralInhibition(w_inh=w_inh) for w_inh in (0.9, 0.0)],
        IMAGES,
        stored(),
        plasticity=KrotovHopfield(tau_l_ms=300.0),
        stimulus=neurodyn.Presentation(image_ms=30.0),
        order=[0, 2, 1, 0],
        backend="numpy",
        dt_ms=0.5,
    )
    for found in (written, swept.isel(trial=1)):
        np.testing.assert_array_equal(found["weights"], held["weights"])
    assert abs(swept["weights"][0] - swept["weights"][1]).max() > 1e-3
