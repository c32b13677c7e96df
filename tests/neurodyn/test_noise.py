"""Noise: exact for any time step, from its stationary start, a function of its seed."""

import numpy as np
import pytest
from scipy import stats

import neurodyn
from neurodyn import DaleInhibition, LateralInhibition, Presentation, Recording
from neurodyn.circuits import noise
from neurodyn.engine import random


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_generator_is_philox(counter, key, expected):
    """The known answers of Random123, the authors' library."""
    words = random.philox(counter, key)
    assert tuple(int(word[0]) for word in words) == expected


def test_numbers_are_normal_and_independent():
    cell, step = np.arange(1000)[:, None], np.arange(200)
    one, other = (noise.standard_normal(1, 2, 0, cell, 3, step, which) for which in (0, 1))
    assert stats.kstest(one.ravel(), "norm").pvalue > 0.01
    assert stats.kstest(other.ravel(), "norm").pvalue > 0.01
    neighbours = (one[:, 1:], one[:, :-1]), (one[1:], one[:-1]), (one, other)
    for first, second in neighbours:  # sd of a correlation of 2e5 pairs: 0.0022
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.009


@pytest.mark.parametrize("argument", range(6))
def test_every_argument_counts(argument):
    given = [1, 2, 0, 4, 5, 6]
    others = given.copy()
    others[argument] += 1
    assert noise.standard_normal(*given, 0) != noise.standard_normal(*others, 0)


@pytest.mark.parametrize("tau_ms", [1e6, 100.0, 10.0, 5.0, 1.0, 0.5, 0.25, 0.01])
def test_moments_are_those_of_the_continuous_process(tau_ms):
    """Var x, Var of its mean over a step, their covariance: in closed form."""
    sd, dt_ms = 0.3, 0.5
    a, keep = dt_ms / tau_ms, np.exp(-dt_ms / tau_ms)
    lost = -np.expm1(-a)
    of_mean = 2 * sd**2 * (1 - lost / a) / a if a > 1e-3 else sd**2 * (1 - a / 3)
    found = noise.parameters(sd=sd, tau_ms=tau_ms, dt_ms=dt_ms)
    assert found["keep"] == pytest.approx(keep, rel=1e-15)
    variance = found["keep"] ** 2 * sd**2 + found["kick"] ** 2
    assert variance == pytest.approx(sd**2, rel=1e-12)
    mean = (found["mean_x"] * sd) ** 2 + found["mean_xi"] ** 2 + found["mean_zeta"] ** 2
    assert mean == pytest.approx(of_mean, rel=1e-9)
    both = found["keep"] * found["mean_x"] * sd**2 + found["kick"] * found["mean_xi"]
    assert both == pytest.approx(sd**2 * lost / a, rel=1e-12)


def response(tau_n, tau=10.0, sd=0.1):
    """Return the variance of h, τ dh/dt = x − h, once settled."""
    return sd**2 * tau_n / (tau + tau_n)


@pytest.mark.parametrize(
    "tau_n", [5.0, 0.5, *(pytest.param(t, marks=pytest.mark.slow) for t in (10, 1, 0.1))]
)
def test_cells_respond_as_in_continuous_time(tau_n):
    """At the default step of 0.5 ms, however short the noise is correlated."""
    traces = neurodyn.simulate(
        LateralInhibition(w_inh=0.0, noise=0.1, noise_tau_ms=tau_n),
        np.zeros((1, 1)),
        np.zeros((3000, 1)),
        stimulus=Presentation(image_ms=800.0),
        recording=Recording(by_image=False, activity_ms=50.0),
        backend="numpy",
        dt_ms=0.5,
    )
    settled = traces["activity"].values[3:]
    # 14 × 3000 nearly independent values: sd 0.7 %; Euler's step of h adds 2.5 %.
    assert settled.var() == pytest.approx(response(tau_n), rel=0.05)


def test_the_noise_is_stationary_from_the_first_step_on():
    """Early in a presentation h is τ⁻¹ ∫ x: its variance tells that of x at the start."""
    traces = neurodyn.simulate(
        LateralInhibition(w_inh=0.0, noise=0.1, noise_tau_ms=1e4),
        np.zeros((1, 1)),
        np.zeros((4000, 1)),
        order=[0, 0],
        stimulus=Presentation(image_ms=5.0, reset=True),
        recording=Recording(by_image=False, activity_ms=5.0),
        backend="numpy",
        dt_ms=0.5,
    )
    expected = 0.01 * (1 - 0.95**10) ** 2  # x stands still
    for h in traces["activity"].values[1:]:
        assert h.var() == pytest.approx(expected, rel=0.08)  # sd of a variance: 2.2 %


def drawn(seed, population, num_cells, presentation, step, which):
    words = random.seeds(seed)
    cells = np.arange(num_cells)
    return noise.standard_normal(
        *words.values(), population, cells, presentation, step, which
    )


def by_hand(circuit, drive, *, seed, dt_ms, image_steps, reset):
    """Euler's method for eq. 8 with its noise, one step after another."""
    c = noise.parameters(sd=circuit.noise, tau_ms=circuit.noise_tau_ms, dt_ms=dt_ms)
    num_units, rate = drive.shape[1], dt_ms / circuit.tau_ms
    h, x, ends = np.zeros(num_units), np.zeros(num_units), []
    for presentation, current in enumerate(drive):
        if reset:
            h = np.zeros(num_units)
        if reset or presentation == 0:
            x = circuit.noise * drawn(seed, 0, num_units, presentation, 0, 0)
        for step in range(1, image_steps + 1):
            xi, zeta = (drawn(seed, 0, num_units, presentation, step, i) for i in (0, 1))
            mean = c["mean_x"] * x + c["mean_xi"] * xi + c["mean_zeta"] * zeta
            r = np.maximum(h, 0)
            h = h + rate * (current + mean - circuit.w_inh * (r.sum() - r) - h)
            x = c["keep"] * x + c["kick"] * xi
        ends.append(h)
    return np.array(ends)


@pytest.mark.parametrize("reset", [True, False])
def test_a_noisy_circuit_is_a_loop_of_its_equations(reset):
    rng = np.random.default_rng(7)
    images, weights = rng.random((3, 4)), rng.random((5, 4))
    circuit = LateralInhibition(w_inh=0.5, noise=0.2, noise_tau_ms=3.0)
    traces = neurodyn.simulate(
        circuit,
        images,
        weights,
        stimulus=Presentation(image_ms=10.0, reset=reset),
        backend="numpy",
        dt_ms=0.5,
        seed=2**40 + 5,
    )
    expected = by_hand(
        circuit, images @ weights.T, seed=2**40 + 5, dt_ms=0.5, image_steps=20, reset=reset
    )
    np.testing.assert_allclose(traces["final_activity"], expected, rtol=0, atol=1e-14)


NOISY = {
    "lateral": LateralInhibition(w_inh=0.5, noise=0.1, noise_tau_ms=3.0),
    "dale": DaleInhibition(num_inh=2, noise=0.1, noise_tau_ms=3.0),
}


def run(circuit, backend="numpy", *, reset=True, seed=3, **settings):
    rng = np.random.default_rng(8)
    return neurodyn.simulate(
        circuit,
        rng.random((3, 6)),
        rng.random((4, 6)),
        stimulus=Presentation(image_ms=10.0, rest_ms=2.0, reset=reset),
        backend=backend,
        dt_ms=0.5,
        seed=seed,
        **settings,
    )


@pytest.mark.parametrize(
    ("backend", "name", "reset"),
    [
        *(
            pytest.param(backend, name, reset, marks=pytest.mark.slow)
            for backend, name, reset in (
                ("cython", "lateral", True),
                ("cython", "dale", False),
                ("cpp", "lateral", False),
                ("cpp", "dale", True),
            )
        ),
        *(
            pytest.param("cuda", name, reset, marks=pytest.mark.gpu)
            for name in NOISY
            for reset in (True, False)
        ),
    ],
)
def test_a_seed_is_the_same_noise_on_every_backend(backend, name, reset):
    one, two = (run(NOISY[name], which, reset=reset) for which in ("numpy", backend))
    # measured: 1e-15
    np.testing.assert_allclose(two["activity"], one["activity"], rtol=0, atol=1e-12)
    assert np.ptp(one["activity"].values) > 0.1


def test_another_seed_is_other_noise_and_the_same_one_the_same():
    first, again, other = (run(NOISY["lateral"], seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first["activity"], again["activity"])
    assert abs(first["activity"] - other["activity"]).max() > 0.01


def test_excitatory_and_inhibitory_cells_have_noise_of_their_own():
    """Two kinds of cells with one equation: without synapses, both follow their noise."""
    circuit = DaleInhibition(num_inh=4, w_ie=0, w_ei=0, w_self=0, tau_inh_ms=10, noise=0.1)
    traces = neurodyn.simulate(
        circuit,
        np.zeros((1, 6)),
        np.zeros((4, 6)),
        stimulus=Presentation(image_ms=10.0),
        backend="numpy",
    )
    assert abs(traces["activity"].values - traces["inh_activity"].values).max() > 0.01


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed}: 0 to 2\^64 - 1 is needed"):
        run(NOISY["lateral"], seed=seed)


def test_the_whole_seed_counts():
    noises = [run(NOISY["lateral"], seed=seed)["activity"] for seed in (0, 2**32, 2**63)]
    assert abs(noises[0] - noises[1]).max() > 0.01
    assert abs(noises[0] - noises[2]).max() > 0.01
