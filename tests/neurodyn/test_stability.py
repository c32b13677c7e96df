"""Time steps that are accepted do as the circuit does, whatever it is and who is driven."""

import re

import numpy as np
import pytest
from scipy.optimize import nnls

import neurodyn
from neurodyn import DaleInhibition, LateralInhibition, Presentation, Recording, equilibrium
from neurodyn.circuits.lateral import distance_dependent
from neurodyn.circuits.stability import images_to_try
from tests.neurodyn.solvers import TAU_MS, euler, lsoda

DRIVES = np.array([[1.0, 1.02, 0.98]])


def ring(w):
    """Three units, each of which inhibits the next."""
    return LateralInhibition(tau_ms=TAU_MS, w_inh=w * np.roll(np.eye(3), 1, axis=0))


def at_rest(matrix, drive):
    """The fixed point with all active."""
    return np.linalg.solve(np.eye(len(matrix)) + matrix, drive)


@pytest.mark.parametrize("w", [1.5, 1.9, 1.99])
def test_a_ring_that_settles_settles_with_the_default_step(w):
    circuit = ring(w)
    dt_ms = circuit.default_step_ms(DRIVES, reset=True)
    assert not circuit.is_stable(DRIVES, 4.0, reset=True)
    assert circuit.is_stable(DRIVES, dt_ms, reset=True)
    # Decays with (1 − w/2) / τ: to e^−12 in this time, but for w = 1.99, where it hardly
    # decays, and where Euler's method would grow with steps from 0.034 ms on.
    length_ms = min(12 * TAU_MS / (1 - w / 2), 2400.0) if w < 1.95 else 300.0
    h = euler(circuit, DRIVES, dt_ms, length_ms)[-1, 0]
    exact = lsoda(circuit, DRIVES[0], length_ms)[-1]
    if w < 1.95:
        np.testing.assert_allclose(exact, at_rest(circuit.w_inh, DRIVES[0]), atol=1e-5)
    np.testing.assert_allclose(h, exact, atol=2e-2 if w > 1.95 else 2e-5)


@pytest.mark.parametrize("w", [1.2, 1.5, 1.9])
def test_the_linear_bound_of_a_ring(w):
    """2τ (1 + Re λ) / |1 + λ|² over the eigenvalues λ = w times a third root of 1."""
    bound = 2 * TAU_MS * (1 - w / 2) / (1 - w + w**2)
    circuit = ring(w)
    assert circuit.is_stable(DRIVES, 0.98 * bound, reset=True)
    assert not circuit.is_stable(DRIVES, 1.02 * bound, reset=True)


def test_the_step_that_a_refusal_names_is_accepted():
    settings = {
        "stimulus": Presentation(image_ms=400.0),
        "recording": Recording(activity_ms=None),
        "backend": "numpy",
    }
    with pytest.raises(ValueError, match="not stable with that step") as refusal:
        neurodyn.simulate(ring(1.5), np.ones((1, 1)), DRIVES.T, dt_ms=4.0)
    named = float(re.findall(r"one of (\S+) ms", str(refusal.value))[0])
    assert ring(1.5).is_stable(DRIVES, named, reset=True)
    traces = neurodyn.simulate(ring(1.5), np.ones((1, 1)), DRIVES.T, **settings)
    expected = at_rest(ring(1.5).w_inh, DRIVES[0])
    np.testing.assert_allclose(traces["final_activity"][0], expected, atol=1e-3)


def numbered(order):
    """40 cells, 20 of them with strong synapses, which are the driven ones."""
    strong = np.repeat([False, True], 20)[order]
    circuit = DaleInhibition(
        tau_inh_ms=10.0,
        w_self=0.0,
        w_ei=np.where(strong, 1.0, 0.05)[None],
        w_ie=np.where(strong, 4.0, 0.2)[:, None],
    )
    return circuit, strong[None].astype(float)


def test_the_step_of_a_dale_circuit_is_that_of_its_driven_cells():
    """Trace −2/τ, determinant (1 + 20·4)/τ²: bound 2/81 τ; h = 1 − 80 h at rest."""
    orders = [np.arange(40), np.arange(40)[::-1], np.random.default_rng(0).permutation(40)]
    for order in orders:
        circuit, drive = numbered(order)
        assert circuit.step_limit_ms(drive, reset=True) == pytest.approx(20 / 81)
        assert not circuit.is_stable(drive, 0.5, reset=True)
        dt_ms = circuit.default_step_ms(drive, reset=True)
        assert dt_ms == pytest.approx(10 / 81)
        h = euler(circuit, drive, dt_ms, 1000.0)[-1, 0, :40]
        np.testing.assert_allclose(h[drive[0] > 0], 1 / 81, rtol=1e-9)


def test_numbering_does_not_matter():
    rng = np.random.default_rng(3)
    matrix = rng.random((12, 12)) * 0.9 * (1 - np.eye(12))
    drive = rng.uniform(-0.5, 1.0, (5, 12))
    steps = []
    for _ in range(3):
        units, images = rng.permutation(12), rng.permutation(5)
        circuit = LateralInhibition(w_inh=matrix[np.ix_(units, units)])
        shown = drive[np.ix_(images, units)]
        steps.append(circuit.default_step_ms(shown, reset=True))
        steps.append(circuit.safe_step_ms(shown, reset=True))
    np.testing.assert_allclose(steps[2:], (steps[:2] * 2)[: len(steps) - 2], rtol=1e-6)


def test_a_true_oscillation_is_followed():
    """Above w = 2 the ring goes on for ever: its period and its size."""
    circuit = ring(2.5)
    dt_ms = circuit.default_step_ms(DRIVES, reset=True)
    assert dt_ms > 0.01
    late = euler(circuit, DRIVES, dt_ms, 3000.0)[:, 0]
    exact = lsoda(circuit, DRIVES[0], 3000.0)
    assert np.ptp(exact[:, 0]) > 0.5
    np.testing.assert_allclose(np.ptp(late, axis=0), np.ptp(exact, axis=0), rtol=0.05)
    up = [np.diff(one[:, 0] > one[:, 0].mean()).sum() for one in (late, exact)]
    assert abs(int(up[0]) - int(up[1])) <= 1


def test_activity_that_runs_away_has_a_step():
    circuit = DaleInhibition(w_ie=3.0, w_self=3.0, tau_inh_ms=200.0)
    drive = np.ones((1, 1))
    dt_ms = circuit.default_step_ms(drive, reset=True)
    exact = lsoda(circuit, drive[0], 30.0)[-1]
    late = euler(circuit, drive, dt_ms, 30.0)[-1, 0]
    np.testing.assert_allclose(late, exact, rtol=0.3)
    assert late[0] > 50


def fixed_point(matrix, drive):
    """r = max(I − W r, 0) for symmetric W, the minimum of a convex energy over r ≥ 0."""
    lower = np.linalg.cholesky(np.eye(len(matrix)) + matrix)
    return nnls(lower.T, np.linalg.solve(lower, drive))[0]


def test_a_symmetric_matrix_is_proved_to_settle_from_any_start():
    rng = np.random.default_rng(0)
    matrix = distance_dependent(30, w_inh=0.9, width=4.0)
    circuit = LateralInhibition(w_inh=matrix)
    drive = rng.uniform(-0.2, 1.0, (1, 30))
    row_sum = matrix.sum(axis=1).max()
    assert row_sum > 5
    start = 2 * rng.normal(size=(1, 30))
    for dt_ms in (10 / (1 + row_sum), 9.9 / (1 + row_sum)):
        assert circuit.is_stable(drive, dt_ms, reset=False)
        h = euler(circuit, drive, dt_ms, 3000.0, start)[-1, 0]
        expected = fixed_point(matrix, drive[0])
        np.testing.assert_allclose(np.maximum(h, 0), expected, atol=1e-9)


def test_a_contraction_is_proved_to_settle_from_any_start():
    """Spectral radius below 1, asymmetric, up to the shortest time constant."""
    rng = np.random.default_rng(1)
    matrix = rng.random((20, 20)) * (1 - np.eye(20))
    matrix *= 0.95 / abs(np.linalg.eigvals(matrix)).max()
    tau = rng.uniform(5, 20, 20)
    circuit = LateralInhibition(w_inh=matrix, tau_ms=tau)
    drive = rng.uniform(-0.2, 1.0, (1, 20))
    assert circuit.is_stable(drive, tau.min(), reset=False)
    ends = [
        euler(circuit, drive, tau.min(), 20_000.0, 3 * rng.normal(size=(1, 20)))[-1]
        for _ in range(3)
    ]
    np.testing.assert_allclose(ends[1:], [ends[0]] * 2, atol=1e-9)
    r = np.maximum(ends[0][0], 0)
    np.testing.assert_allclose(ends[0][0], drive[0] - matrix @ r, atol=1e-9)


def test_the_bound_of_pooled_inhibition():
    """20 equal units stay active: 2τ / (1 + 19 w)."""
    circuit, drive = LateralInhibition(w_inh=0.9), np.ones((1, 20))
    bound = 2 * 10 / (1 + 19 * 0.9)
    assert circuit.is_stable(drive, 0.98 * bound, reset=True)
    assert not circuit.is_stable(drive, 1.01 * bound, reset=True)


def alone_among(num):
    """Drives of one unit that wins and many that rise with it at first."""
    drive = np.linspace(0.999, 1.0, num)[None].copy()
    drive[0, -1] = 1.3
    return drive


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_cycle_far_from_a_stable_state_is_refused(symmetric):
    """One unit wins, and alone it bears any step up to 2τ; but they overshoot together."""
    matrix = np.full((200, 200), 0.95) * (1 - np.eye(200))
    if not symmetric:
        matrix *= np.random.default_rng(0).uniform(0.999, 1, (200, 200))
    circuit, drive = LateralInhibition(w_inh=matrix), alone_among(200)
    expected = equilibrium.settle(drive, w_inh=0.95)
    late = euler(circuit, drive, 4.0, 4000.0)
    assert abs(late[-1] - expected).max() > 0.5
    assert not circuit.is_stable(drive, 4.0, reset=True)
    dt_ms = circuit.default_step_ms(drive, reset=True)
    late = euler(circuit, drive, dt_ms, 4000.0)
    np.testing.assert_allclose(late[-1, 0, -1], expected[0, -1], rtol=0.01)


@pytest.mark.parametrize("pooled", [True, False])
def test_of_many_images_the_one_that_decides_is_tried(pooled):
    rng = np.random.default_rng(5)
    num = 60
    drive = np.where(rng.random((30_000, num)) < 0.05, rng.random((30_000, num)), -1.0)
    w = 0.9 if pooled else 0.9 * (1 - np.eye(num))
    circuit = LateralInhibition(w_inh=w)
    assert circuit.is_stable(drive, 2.0, reset=True)
    drive[12_345] = np.linspace(0.99, 1.0, num)
    assert not circuit.is_stable(drive, 2.0, reset=True)


def test_crowded_images_come_first():
    drive = np.diag(np.arange(1.0, 9.0))
    drive[5] = 1.0
    drive[7] = drive[6]
    assert set(images_to_try(drive, 100)) == {0, 1, 2, 3, 4, 5, 6}
    assert 5 in images_to_try(drive, 2)
    assert len(images_to_try(drive, 3)) == 3


def test_two_thousand_cells_have_a_step():
    """Of 1000 driven: 2τ_I-like rings are bounded as for one inhibitory cell."""
    drive = np.where(np.arange(2000) % 2, 1.0, -1.0)[None] * np.ones((3, 1))
    circuit = DaleInhibition()
    limit = (10 + 1 * (1 - 0.9)) / (1 - 0.9 + 0.9 * 1000)
    assert circuit.step_limit_ms(drive, reset=True) == pytest.approx(limit, rel=1e-6)
    assert circuit.default_step_ms(drive, reset=True) == pytest.approx(limit / 2, rel=1e-6)


def test_pooled_default_steps_still_settle():
    rng = np.random.default_rng(6)
    for w in (0.5, 0.9, 1.2):
        drive = rng.uniform(-0.2, 1.0, (4, 50))
        circuit = LateralInhibition(w_inh=w)
        dt_ms = circuit.default_step_ms(drive, reset=True)
        assert dt_ms == 0.5
        explicit = LateralInhibition(w_inh=w * (1 - np.eye(50)))
        late = euler(explicit, drive, dt_ms, 20_000.0)[-1]
        np.testing.assert_allclose(late, equilibrium.settle(drive, w_inh=w), atol=1e-6)
