"""Synapses between cells that compete: every type of an E/I circuit learns at once."""

import numpy as np
import pytest

from neurodyn import (
    Competitive,
    DaleInhibition,
    LateralInhibition,
    Presentation,
    Recording,
    simulate,
)
from neurodyn.circuits import BuiltCircuit

NUM_EXC, NUM_INH, NUM_PIXELS = 6, 3, 7
DT_MS, IMAGE_MS, REST_MS = 0.25, 20.0, 4.0
TAU_EXC_MS, TAU_INH_MS, W_SELF = 10.0, 4.0, 0.2
NORMS = {"exc_to_inh": 0.9, "inh_to_exc": 0.7, "exc_to_exc": 0.3, "inh_to_inh": 0.2}
TAUS_MS = {
    "exc_to_inh": 300.0,
    "inh_to_exc": 200.0,
    "exc_to_exc": 400.0,
    "inh_to_inh": 500.0,
}
TRACES = {
    "exc_to_inh": "weights_ei",
    "inh_to_exc": "weights_ie",
    "exc_to_exc": "weights_ee",
    "inh_to_inh": "weights_ii",
}
CPP = pytest.param("cpp", marks=pytest.mark.slow)
CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


def given(*, complete):
    """Return images, weights from pixels, and weights between cells by name."""
    rng = np.random.default_rng(0)
    shapes = {
        "exc_to_inh": (NUM_INH, NUM_EXC),
        "inh_to_exc": (NUM_EXC, NUM_INH),
        "exc_to_exc": (NUM_EXC, NUM_EXC),
        "inh_to_inh": (NUM_INH, NUM_INH),
    }
    matrices = {name: 0.1 + 0.3 * rng.random(shape) for name, shape in shapes.items()}
    for name in ("exc_to_exc", "inh_to_inh"):
        matrices[name] *= 0.3 * (1 - np.eye(len(matrices[name])))
    if not complete:
        for matrix in matrices.values():
            matrix *= rng.random(matrix.shape) < 0.8
    images = rng.random((3, NUM_PIXELS))
    return images, abs(rng.normal(0.3, 0.5, (NUM_EXC, NUM_PIXELS))), matrices


def simulated(images, weights, matrices, backend, **settings):
    circuit = DaleInhibition(
        num_inh=NUM_INH,
        tau_exc_ms=TAU_EXC_MS,
        tau_inh_ms=TAU_INH_MS,
        w_ei=matrices["exc_to_inh"],
        w_ie=matrices["inh_to_exc"],
        w_ee=matrices["exc_to_exc"],
        w_ii=matrices["inh_to_inh"],
        w_self=W_SELF,
    )
    rules = {name: Competitive(norm=NORMS[name], tau_l_ms=TAUS_MS[name]) for name in NORMS}
    return simulate(
        circuit,
        images,
        weights,
        plasticity=rules,
        stimulus=Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS, reset=False),
        backend=backend,
        dt_ms=DT_MS,
        progress=False,
        **settings,
    )


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
@pytest.mark.parametrize("backend", ["numpy", CPP, CUDA])
@pytest.mark.parametrize("complete", [True, False])
def test_all_types_learn_by_their_equations(complete, backend):
    images, weights, matrices = given(complete=complete)
    recording = Recording(activity_ms=DT_MS, by_image=False)
    traces = simulated(images, weights, matrices, backend, recording=recording)

    w = {name: matrix.copy() for name, matrix in matrices.items()}
    exist = {name: matrix > 0 for name, matrix in matrices.items()}
    h, q = np.zeros(NUM_EXC), np.zeros(NUM_INH)
    activity, inh_activity = [h], [q]
    for image in images:
        for step in range(round((REST_MS + IMAGE_MS) / DT_MS)):
            on = step >= round(REST_MS / DT_MS)
            rates = {"exc": np.maximum(h, 0), "inh": np.maximum(q, 0)}
            current = {name: w[name] @ rates[name[:3]] for name in w}
            drive = weights @ image * on + W_SELF * rates["exc"]
            change_h = drive + current["exc_to_exc"] - current["inh_to_exc"] - h
            change_q = current["exc_to_inh"] - current["inh_to_inh"] - q
            for name in w if on else ():
                sending, receiving = rates[name[:3]], rates[name[-3:]]
                competition = w[name] * current[name][:, None] / NORMS[name] ** 2
                change = receiving[:, None] * (sending - competition)
                moved = w[name] + DT_MS / TAUS_MS[name] * change
                w[name] = np.where(exist[name], np.maximum(moved, 0), 0)
            h, q = h + DT_MS / TAU_EXC_MS * change_h, q + DT_MS / TAU_INH_MS * change_q
            activity.append(h)
            inh_activity.append(q)
    np.testing.assert_allclose(traces["activity"], activity, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["inh_activity"], inh_activity, rtol=0, atol=1e-12)
    for name, matrix in w.items():
        np.testing.assert_allclose(traces[TRACES[name]], matrix, rtol=0, atol=1e-12)
        assert abs(matrix - matrices[name]).max() > 0.01
        assert not traces[TRACES[name]].values[~exist[name]].any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
def test_norms_flow_to_their_values_and_weights_to_the_rates_that_send():
    """While one image stays on: W_u goes to w r / |r|, the fixed point of Oja's rule."""
    images, weights, matrices = given(complete=True)
    recording = Recording(activity_ms=None)
    order = np.zeros(150, int)
    traces = simulated(
        images[:1], weights, matrices, "numpy", recording=recording, order=order
    )
    for name in ("exc_to_inh", "inh_to_exc"):
        found = traces[TRACES[name]].values
        sizes = np.linalg.norm(found, axis=1)
        active = sizes > 0
        np.testing.assert_allclose(sizes[active], NORMS[name], rtol=0.02)
        direction = found / sizes[:, None]
        similar = direction @ direction.T
        assert similar.min() > 0.98  # all cells listen to the same rates


def test_all_synapses_that_there_are_may_learn():
    assert DaleInhibition().learning_names == ("exc_to_inh", "inh_to_exc")
    every = DaleInhibition(num_inh=2, w_ee=0.1, w_ii=0.1).learning_names
    assert set(every) == set(NORMS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"norm": 0.0}, "norm is 0.0: it must be positive"),
        ({"norm": -1.0}, "norm is -1.0: it must be positive"),
        ({"tau_l_ms": 0.0}, "tau_l_ms is 0.0: it must be positive"),
    ],
)
def test_settings_outside_their_range_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Competitive(**given)


def test_a_rule_that_overshoots_is_refused():
    images, weights, matrices = given(complete=True)
    circuit = DaleInhibition(num_inh=NUM_INH, w_ei=10 * matrices["exc_to_inh"])
    with pytest.raises(ValueError, match=r"cells of inh_to_exc up to .* overshoots"):
        simulate(
            circuit,
            images,
            weights,
            plasticity={"inh_to_exc": Competitive(tau_l_ms=1e-3)},
            backend="numpy",
        )


class WithoutCurrent(LateralInhibition):
    """A circuit whose synapses sum nothing."""

    def build(self, drive, timeline, *, reset, copies=1):
        import brian2 as b2

        made = super().build(drive, timeline, reset=reset, copies=copies)
        (old,) = made.synapses.values()
        model = "W : 1\nlast_step : integer (shared, constant)\n"
        new = b2.Synapses(
            old.source, old.target, model, name="silent", clock=old.clock, namespace={}
        )
        new.connect(i=np.array(old.i), j=np.array(old.j))
        return BuiltCircuit(
            units=made.units,
            others=[*made.others[:-1], new],
            samples=made.samples,
            state=made.state,
            synapses={"lateral": new},
        )


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
def test_without_a_sum_the_current_is_not_defined():
    images, weights, _ = given(complete=True)
    circuit = WithoutCurrent(w_inh=0.1 * (1 - np.eye(NUM_EXC)))
    with pytest.raises(
        ValueError, match="'silent' sum 0 variables, so that I_post of a rule"
    ):
        simulate(
            circuit,
            images,
            weights,
            plasticity={"lateral": Competitive()},
            backend="numpy",
        )
