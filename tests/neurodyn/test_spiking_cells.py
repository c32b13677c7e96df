"""Spiking cells: a whole network against loops; conductances, thresholds, noise."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurodyn import PairSTDP, PoissonPresentation, SpikingInhibition, SpikingNetwork
from tests.neurodyn.spiking_reference import EVERYTHING, follow, synapses, trains

GIVEN = np.random.default_rng(5)
# The last cell has no input.
WEIGHTS = np.vstack([GIVEN.random((3, 6)) * 2.0, np.zeros((1, 6))])
IMAGES = GIVEN.random((3, 6)) * 0.6 + 0.4
FAST = {"tau_exc_ms": 20.0, "tau_theta_ms": 500.0, "theta_plus_mv": 0.5}
CIRCUITS = {
    "own": SpikingInhibition(**FAST, w_ie=2.0, reset_exc_mv=-60.0),
    "shared": SpikingInhibition(**FAST, num_inh=2, w_ie=3.0),
    "matrices": SpikingInhibition(
        **FAST, num_inh=2, w_ei=GIVEN.random((2, 4)) * 12, w_ie=GIVEN.random((4, 2)) * 3
    ),
}


def shown(*, reset=False, **settings):
    """Presentations without a rest: cells are active when the next image comes."""
    rates = {"rate_hz": 200.0, "max_rate_hz": 200.0}
    given = {"image_ms": 40.0, "rest_ms": 0.0, "min_spikes": 0} | rates | settings
    return PoissonPresentation(**given, reset=reset)


def trained(circuit, weights, images, stimulus, *, backend="numpy", seed=0):
    network = SpikingNetwork(
        circuit, weights, stimulus=stimulus, backend=backend, seed=seed
    )
    return network.train(images, recording=EVERYTHING, progress=False)


@pytest.mark.parametrize(
    ("backend", "name", "reset"),
    [
        ("numpy", "own", True),
        pytest.param("numpy", "shared", True, marks=pytest.mark.slow),
        ("numpy", "matrices", False),
        *(
            pytest.param(backend, *case, marks=pytest.mark.slow)
            for backend in ("cython", "cpp")
            for case in (("own", True), ("matrices", False))
        ),
    ],
)
def test_a_network_fires_as_the_equations_say(backend, name, reset):
    circuit, stimulus = CIRCUITS[name], shown(reset=reset)
    traces = trained(circuit, WEIGHTS, IMAGES, stimulus, backend=backend)
    steps = traces.sizes["time"]
    expected = follow(trains(traces, "input"), steps, circuit, WEIGHTS, stimulus)
    assert expected.exc == trains(traces, "exc")
    assert expected.inh == trains(traces, "inh")
    assert len(expected.exc) > 10
    for sampled in ("potential", "excitation", "inhibition"):
        values = np.array(getattr(expected, sampled))
        # measured: 3e-13 mV at currents of 100 mV
        np.testing.assert_allclose(traces[sampled], values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["theta"], expected.theta, rtol=0, atol=1e-12)


def test_weights_and_thresholds_are_frozen_while_it_observes():
    circuit, stimulus = CIRCUITS["shared"], shown()
    rule = PairSTDP(a_plus=0.5, a_minus=0.5, w_max=2.0)
    network = SpikingNetwork(
        circuit, WEIGHTS, plasticity=rule, stimulus=stimulus, backend="numpy"
    )
    traces = network.observe(IMAGES, recording=EVERYTHING, progress=False)
    sent, steps = trains(traces, "input"), traces.sizes["time"]
    expected = follow(sent, steps, circuit, WEIGHTS, stimulus, adapts=False)
    assert expected.exc == trains(traces, "exc")
    assert len(expected.exc) > 10
    np.testing.assert_allclose(traces["potential"], expected.potential, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def inhibited():
    """Three cells that fire and inhibit each other, and a fourth without input."""
    return trained(CIRCUITS["own"], WEIGHTS, IMAGES, shown())


def test_inhibition_pushes_a_cell_below_rest(inhibited):
    first = min(now for now, _ in trains(inhibited, "inh"))
    v = inhibited["potential"].values[:, 3]
    np.testing.assert_array_equal(v[: first + 2], -65.0)
    assert (v[first + 2 :] < -65.0).all()
    assert v.min() > -100.0
    assert (inhibited["excitation"].values[:, 3] == 0).all()
    assert (inhibited["inhibition"].values >= 0).all()


def test_theta_grows_at_each_spike_and_decays(inhibited):
    steps = inhibited.sizes["time"]
    assert (inhibited["counts"].sum("image") > 3).sum() == 3
    for unit in range(4):
        after = [
            steps - 1 - now for now, which in trains(inhibited, "exc") if which == unit
        ]
        expected = 20 * np.exp(-0.5 * steps / 500) + sum(
            0.5 * np.exp(-0.001 * n) for n in after
        )
        assert inhibited["theta"].values[unit] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", CIRCUITS)
def test_weights_between_cells_are_magnitudes(name):
    """Signs come from the conductance that a synapse acts on, never from a weight."""
    found = CIRCUITS[name].matrices(4)
    expected = synapses(CIRCUITS[name], 4)
    for matrix, by_hand in zip(found.values(), expected, strict=True):
        np.testing.assert_array_equal(matrix, by_hand)
        assert (matrix >= 0).all()


@pytest.fixture(scope="module")
def driven():
    """One cell with a drive far above its threshold, one below; without inhibition."""
    circuit = SpikingInhibition(tau_exc_ms=20.0, tau_g_exc_ms=50.0, w_ie=0.0, w_ei=100.0)
    weights = np.array([[200.0, 0.0], [0.0, 0.02]])
    return trained(circuit, weights, np.ones((1, 2)), shown(image_ms=150.0))


def test_a_strongly_driven_cell_fires_once_per_refractory_period(driven):
    exc = [now for now, unit in trains(driven, "exc") if unit == 0]
    inh = [now for now, unit in trains(driven, "inh") if unit == 0]
    assert len(exc) > 10
    assert set(np.diff(exc)) == {10}  # 5 ms
    assert set(np.diff(inh)) == {4}  # 2 ms
    first = min(now for now, pixel in trains(driven, "input") if pixel == 0)
    assert exc[0] == first + 1  # a spike acts from the next step on
    assert inh[0] == exc[0] + 1
    v = driven["potential"].values[:, 0]
    np.testing.assert_allclose(v[exc[0] + 1 : exc[0] + 11], -65.0, rtol=1e-14)
    assert v[first + 1] == pytest.approx(-65.0)


def conductance(traces, time_ms):
    """Return the conductance of the weakly driven cell after each of its spikes."""
    sent = [0.5 * (now + 1) for now, pixel in trains(traces, "input") if pixel == 1]
    return sum(0.02 * np.exp(-(time_ms - t) / 50) for t in sent if time_ms >= t)


def test_conductances_decay_and_move_the_potential(driven):
    v = driven["potential"].values[:, 1]
    times = driven["time"].values
    expected = np.array([conductance(driven, time) for time in times])
    assert expected.max() > 0.1
    g = driven["excitation"].values[:, 1] / (0 - v)
    np.testing.assert_allclose(g, expected, rtol=0, atol=1e-12)

    def slope(time, v):
        return ((-65 - v) + conductance(driven, time) * (0 - v)) / 20

    exact = solve_ivp(
        slope, (0, times[-1]), [-65.0], t_eval=times, max_step=0.5, rtol=1e-6
    ).y[0]
    assert exact.max() > -62
    # Conductances stand still in a step: the error is of the order dt. measured: 0.3 %
    assert abs(v - exact).max() < 0.01 * (exact.max() + 65)


@pytest.mark.slow
def test_noise_of_the_given_size_and_each_cell_its_own():
    sd, tau_n, tau = 2.0, 5.0, 10.0
    circuit = SpikingInhibition(
        num_inh=1, tau_exc_ms=tau, noise_mv=sd, noise_tau_ms=tau_n, threshold_exc_mv=-25.0
    )
    stimulus = shown(image_ms=200.0, rate_hz=100.0)
    traces = trained(circuit, np.zeros((300, 1)), np.zeros((1, 1)), stimulus)
    settled = traces["potential"].values[100:] + 65.0
    assert abs(settled.mean()) < 0.15
    # 300 cells, 10 independent times each: sd of a variance 2.6 %
    assert settled.var() == pytest.approx(sd**2 * tau_n / (tau + tau_n), rel=0.1)
    between = np.corrcoef(settled[-1], np.roll(settled[-1], 1))[0, 1]
    assert abs(between) < 0.2
