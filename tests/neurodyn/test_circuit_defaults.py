"""What circuits take where a number is given or nothing: weights, and time steps."""

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    KrotovHopfield,
    LateralInhibition,
    Oja,
    Presentation,
    Recording,
    equilibrium,
)
from neurodyn.engine import spec

NUM_EXC = 4


@pytest.mark.parametrize("num_inh", [1, 3, 7])
def test_numbers_are_shared_among_the_cells_that_inhibit(num_inh):
    """All M cells together inhibit with w_IE; each I cell is excited by each E cell."""
    circuit = DaleInhibition(num_inh=num_inh, w_ie=0.6, w_ei=1.5, w_ee=0.1, w_ii=0.2)
    found = circuit.matrices(NUM_EXC)
    np.testing.assert_allclose(
        found["inh_to_exc"], np.full((NUM_EXC, num_inh), 0.6 / num_inh)
    )
    np.testing.assert_array_equal(found["exc_to_inh"], np.full((num_inh, NUM_EXC), 1.5))
    np.testing.assert_array_equal(found["exc_to_exc"], 0.1 * (1 - np.eye(NUM_EXC)))
    np.testing.assert_array_equal(found["inh_to_inh"], 0.2 * (1 - np.eye(num_inh)))
    # What one E cell takes from another through all I cells does not depend on M.
    loop = found["inh_to_exc"] @ found["exc_to_inh"]
    np.testing.assert_allclose(loop, np.full((NUM_EXC, NUM_EXC), 0.6 * 1.5), rtol=1e-14)


def settled(circuit, drive, *, dt_ms=0.05, length_ms=1200.0):
    """The end of Euler's method for the equations of `circuits.dale`, written out."""
    w = circuit.matrices(len(drive))
    h, q = np.zeros(len(drive)), np.zeros(circuit.num_inh)
    for _ in range(round(length_ms / dt_ms)):
        r, s = np.maximum(h, 0), np.maximum(q, 0)
        slope = drive + circuit.w_self * r - w["inh_to_exc"] @ s - h
        q = q + dt_ms / circuit.tau_inh_ms * (w["exc_to_inh"] @ r - q)
        h = h + dt_ms / circuit.tau_exc_ms * slope
    return h


@pytest.mark.parametrize("num_inh", [1, 5])
def test_the_default_weights_are_eq_8_for_any_number_of_inhibitory_cells(num_inh):
    drive = np.array([1.0, 0.7, 0.3, -0.2])
    circuit = DaleInhibition(num_inh=num_inh, w_ie=0.7, w_self=0.7)
    expected = equilibrium.settle(drive, w_inh=0.7)
    np.testing.assert_allclose(settled(circuit, drive), expected, atol=1e-9)
    np.testing.assert_allclose(
        circuit.inhibition(
            {
                "activity": expected,
                "inh_activity": np.full(num_inh, np.maximum(expected, 0).sum()),
            }
        ),
        np.full(NUM_EXC, 0.7 * np.maximum(expected, 0).sum()),
    )


def test_given_matrices_are_from_sending_to_receiving_cells():
    """Not square: (receiving, sending)."""
    rng = np.random.default_rng(2)
    w_ie, w_ei = rng.random((NUM_EXC, 3)), rng.random((3, NUM_EXC))
    circuit = DaleInhibition(num_inh=3, w_ie=w_ie, w_ei=w_ei)
    h_inh = rng.random((2, 3)) - 0.3
    expected = np.zeros((2, NUM_EXC))
    for image, unit, cell in np.ndindex(2, NUM_EXC, 3):
        expected[image, unit] += w_ie[unit, cell] * max(h_inh[image, cell], 0)
    found = circuit.inhibition({"activity": np.zeros((2, NUM_EXC)), "inh_activity": h_inh})
    np.testing.assert_allclose(found, expected)
    for name, matrix in (("inh_to_exc", w_ie), ("exc_to_inh", w_ei)):
        receiving, sending = circuit.pairs(NUM_EXC, name)
        assert (receiving.max() + 1, sending.max() + 1) == matrix.shape
        assert len(receiving) == matrix.size
    with pytest.raises(ValueError, match="w_ie has shape"):
        DaleInhibition(num_inh=3, w_ie=w_ie.T).matrices(NUM_EXC)


# Rows are what a unit receives, columns what it sends.
# Their sums are 0.3, 0.1, 0.5 and 0.6, 0.1, 0.2.
UNEQUAL = np.array([[0.0, 0.1, 0.2], [0.1, 0.0, 0.0], [0.5, 0.0, 0.0]])


def test_the_safe_step_of_a_matrix_is_of_what_a_unit_receives():
    drive = np.ones((1, 3))
    for matrix, largest in ((UNEQUAL, 0.5), (UNEQUAL.T, 0.6)):
        circuit = LateralInhibition(tau_ms=np.array([10.0, 30.0, 20.0]), w_inh=matrix)
        for reset in (True, False):
            found = circuit.safe_step_ms(drive, reset=reset)
            assert found == pytest.approx(10.0 / (1 + largest), rel=1e-12)


def test_inhibition_by_a_matrix_is_what_a_unit_receives():
    h = np.array([[1.0, 2.0, -1.0], [0.5, -1.0, 3.0]])
    found = LateralInhibition(w_inh=UNEQUAL).inhibition({"activity": h})
    np.testing.assert_allclose(found, [[0.2, 0.1, 0.5], [0.6, 0.05, 0.25]])


ONE_OF_TWENTY = np.where(np.arange(20) == 3, 1.0, -1.0)[None]
EVERYONE = np.ones((1, 20))
MATRIX = LateralInhibition(w_inh=0.9 * (1 - np.eye(20)))


@pytest.mark.parametrize(
    ("circuit", "step", "carried", "alone"),
    [
        # τ / (1 + (n − 1) w), for n units that may be active.
        (LateralInhibition(w_inh=0.9), "safe_step_ms", 10 / (1 + 19 * 0.9), 10.0),
        # (τ_E + τ_I (1 − w)) / (1 − w + w n), from trace and determinant.
        (DaleInhibition(), "step_limit_ms", 10.1 / (0.1 + 0.9 * 20), 10.1 / 1.0),
    ],
)
def test_where_activity_is_carried_over_all_units_count(circuit, step, carried, alone):
    """Whoever an image drives: the one before may have left any unit active."""
    limit = getattr(circuit, step)
    assert limit(ONE_OF_TWENTY, reset=False) == pytest.approx(carried, rel=1e-6)
    assert limit(EVERYONE, reset=True) == pytest.approx(carried, rel=1e-6)
    assert limit(ONE_OF_TWENTY, reset=True) >= 0.99 * min(alone, 2.0)
    assert limit(ONE_OF_TWENTY, reset=True) > 1.5 * carried


def test_a_matrix_is_proved_for_all_units_where_activity_is_carried_over():
    """Symmetric: proved up to τ / Λ, Λ = 1 + (n − 1) w of those that may be active."""
    for reset, num in ((True, 1), (False, 20)):
        steps = MATRIX._steps(ONE_OF_TWENTY, reset=reset)
        assert steps.active.sum() == num
        proved = steps.cells.proved_ms(steps.active)
        assert proved == pytest.approx(10 / (1 + (num - 1) * 0.9), rel=1e-6)


def test_a_step_is_refused_only_where_activity_is_carried_over():
    circuit = LateralInhibition(w_inh=0.9)
    assert circuit.is_stable(ONE_OF_TWENTY, 0.6, reset=True)
    assert not circuit.is_stable(ONE_OF_TWENTY, 0.6, reset=False)
    weights = ONE_OF_TWENTY.T

    def shown(reset):
        return neurodyn.simulate(
            circuit,
            np.ones((1, 1)),
            weights,
            stimulus=Presentation(image_ms=1.2, reset=reset),
            recording=Recording(activity_ms=None),
            backend="numpy",
            dt_ms=0.6,
        )

    assert shown(reset=True).sizes["image"] == 1
    with pytest.raises(ValueError, match="not stable with that step"):
        shown(reset=False)
    carried = circuit.default_step_ms(-EVERYONE, reset=False)
    assert carried <= 10 / (1 + 19 * 0.9) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("rule", "largest", "strongest"),
    [
        (Oja(), 3.0, 3.0),
        (Oja(), 0.2, 0.2),
        (KrotovHopfield(delta=0.4), 3.0, 1.0),
        (KrotovHopfield(delta=2.5), 0.2, 2.5),
    ],
)
def test_the_strongest_g_of_a_rule(rule, largest, strongest):
    """Of Oja's rule it is the activity, of either sign."""
    assert rule.strongest(0.0, largest) == strongest


def test_a_unit_that_is_silent_learns_by_ojas_rule_alone():
    assert Oja().strongest(-3.0, -1.0) == 3.0
    assert KrotovHopfield().strongest(-3.0, -1.0) == 0.0


@pytest.mark.parametrize(
    ("rule", "weights", "bound"),
    [
        # |g I| = I² = 9 for a step of T = 50 ms.
        (lambda tau: Oja(tau_l_ms=tau), [[3.0]], 50 * 9),
        (lambda tau: Oja(tau_l_ms=tau), [[0.5], [0.2]], 50 * 0.25),
        # Δ I for Δ > 1, at every step of 0.5 ms: unlearning is the faster.
        (
            lambda tau: KrotovHopfield(delta=4.0, tau_l_ms=tau, timing=Continuous()),
            [[3.0]],
            0.5 * 4 * 3,
        ),
    ],
)
def test_the_bound_of_a_rule_on_its_time_constant(rule, weights, bound):
    def learn(tau_l_ms):
        return spec.validate(
            LateralInhibition(w_inh=0.0),
            np.ones((1, 1)),
            np.array(weights),
            plasticity=rule(tau_l_ms),
            stimulus=Presentation(image_ms=50.0),
            order=None,
            recording=Recording(activity_ms=None),
            backend="numpy",
            dt_ms=0.5,
            batch_size=1,
            seed=0,
        )

    with pytest.raises(ValueError, match=f"overshoots; give at least {bound:.3g}"):
        learn(0.99 * bound)
