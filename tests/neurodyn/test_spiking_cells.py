"""Spiking cells: a whole network against loops; conductances, thresholds, noise.

Also which circuits are refused.
"""

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurodyn import PairSTDP, PoissonPresentation, SpikingInhibition, SpikingNetwork
from neurodyn.circuits import noise
from neurodyn.engine import poisson, random
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
        pytest.param("numpy", "matrices", False, marks=pytest.mark.slow),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("cpp", "own", True), ("cython", "matrices", False))
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
    circuit, stimulus = CIRCUITS["matrices"], shown()
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


NOISY = SpikingInhibition(tau_exc_ms=20.0, num_inh=2, noise_mv=1.0, noise_tau_ms=5.0)


def noisy(kind, phase, numbers, *, shows, reset):
    """Return potentials (time, cell) without input, and the noise at the end, by hand.

    Of two cells, which do not fire, so that images are shown `shows` times, for 10 steps.
    """
    how = noise.parameters(sd=1.0, tau_ms=5.0, dt_ms=0.5)
    place = *random.seeds(7).values(), poisson.population_number(phase, kind), np.arange(2)
    v, x, found = np.full(2, -65.0), None, []
    for number, attempt in itertools.product(numbers, range(shows)):
        shown = 64 * number + attempt
        if reset or x is None:
            x = noise.standard_normal(*place, shown, 0, 0)
        for step in range(1, 11):
            found.append(v)
            xi, zeta = (noise.standard_normal(*place, shown, step, n) for n in (0, 1))
            mean = how["mean_x"] * x + how["mean_xi"] * xi + how["mean_zeta"] * zeta - 65.0
            start = np.full(2, -65.0) if reset and step == 1 else v
            v = mean + (start - mean) * np.exp(-0.5 / 20)
            x = how["keep"] * x + how["kick"] * xi
    return np.array(found), x


@pytest.mark.filterwarnings("ignore:.* presentations had no spike")
@pytest.mark.parametrize(
    ("phase", "reset"),
    [
        ("train", False),
        ("observe", True),
        pytest.param("test", True, marks=pytest.mark.slow),
    ],
)
def test_noise_is_that_of_the_phase_the_image_and_the_attempt(phase, reset):
    """From rest it starts anew; otherwise it goes on, also in a further training."""
    shows = 2 if reset else 1
    rates = {"rate_hz": 150.0, "raise_hz": 50.0 * (shows - 1), "min_spikes": 1}
    built = SpikingNetwork(
        NOISY,
        np.zeros((2, 1)),
        stimulus=shown(image_ms=5.0, **rates, reset=reset),
        backend="numpy",
        seed=7,
    )
    found = [
        getattr(built, phase)(images, recording=EVERYTHING, progress=False)["potential"]
        for images in np.zeros((2, 1, 1) if phase == "train" else (1, 2, 1))
    ]
    expected, _ = noisy("exc", phase, range(2), shows=shows, reset=reset)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=0, atol=1e-12)
    if phase == "train":
        _, x = noisy("inh", phase, range(2), shows=shows, reset=reset)
        np.testing.assert_allclose(built._state["inh", "x"], x, rtol=0, atol=1e-12)


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


REFUSED = [
    ({"num_inh": 0}, "num_inh is 0: at least 1 cell must inhibit"),
    ({"num_inh": 1.5}, "num_inh is 1.5: a whole number is needed"),
    ({"w_ei": -1.0}, "w_ei is -1.0: a weight, which acts by its synapse's type, must be 0"),
    ({"w_ie": -np.eye(2), "num_inh": 2}, "w_ie is an array with -1.0: a weight"),
    (
        {"w_ie": np.ones((3, 3))},
        "w_ie is a matrix, but each E cell has an I cell of its own: give one number, or "
        "the number num_inh of shared I cells",
    ),
    ({"w_ei": np.ones((3, 3))}, "w_ei is a matrix, but each E cell"),
    *(
        ({f"tau_{name}_ms": 0.0}, f"tau_{name}_ms is 0.0: a time constant must be positive")
        for name in ("exc", "inh", "g_exc", "g_inh", "theta")
    ),
    ({"noise_tau_ms": -1.0}, "noise_tau_ms is -1.0: a time constant"),
    ({"noise_mv": -1.0}, "noise_mv is -1.0: it must be 0 or more"),
    ({"refractory_exc_ms": -1.0}, "refractory_exc_ms is -1.0: it must be 0 or more"),
    ({"refractory_inh_ms": np.inf}, "refractory_inh_ms is inf: it must be .* finite"),
    ({"theta_start_mv": -1.0}, "theta_start_mv is -1.0: it must be 0 or more"),
    ({"theta_plus_mv": -1.0}, "theta_plus_mv is -1.0: it must be 0 or more"),
    (
        {"theta_start_mv": 5.0},
        r"^threshold_exc_mv \+ θ is -67 mV, not above rest \(-65 mV\) and reset "
        r"\(-65 mV\): cells would fire without input, so raise it",
    ),
    ({"threshold_inh_mv": -50.0}, "^threshold_inh_mv is -50 mV, not above rest"),
    ({"reset_inh_mv": -40.0}, r"not above rest \(-60 mV\) and reset \(-40 mV\)"),
    (
        {"threshold_exc_mv": 0.0},
        r"^threshold_exc_mv \+ θ is 20 mV, not below reversal_exc_mv \(0 mV\): cells would "
        "never fire, so lower it",
    ),
    ({"threshold_inh_mv": 1.0}, "^threshold_inh_mv is 1 mV, not below reversal_exc_mv"),
    (
        {"reversal_inh_of_exc_mv": -64.0},
        r"reversal_inh_of_exc_mv is -64 mV, above rest \(-65 mV\): inhibition would excite",
    ),
    ({"reversal_inh_of_inh_mv": -59.5}, r"inh_mv is -59.5 mV, above rest \(-60 mV\)"),
    *(
        ({f"{name}_mv": bad}, f"{name}_mv is {bad}: a finite number is needed")
        for name, bad in (
            ("rest_exc", np.nan),
            ("reset_inh", -np.inf),
            ("threshold_inh", np.nan),
            ("reversal_exc", np.inf),
            ("reversal_inh_of_exc", -np.inf),
            ("reversal_inh_of_inh", np.nan),
        )
    ),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_refuses_circuits(settings, message):
    with pytest.raises(ValueError, match=message):
        SpikingInhibition(**settings)
