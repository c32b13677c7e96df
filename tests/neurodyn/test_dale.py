"""The excitatory-inhibitory circuit: its limit, its linear theory, noise, its time step."""

import itertools

import numpy as np
import pytest

import neurodyn
from neurodyn import DaleInhibition, LateralInhibition, Presentation, Recording, analysis
from neurodyn.circuits.dale import oscillation
from neurodyn.circuits.lateral import distance_dependent

ENDS = Recording(activity_ms=None)


@pytest.mark.slow
def test_fast_inhibition_is_eq_8():
    """At T = 10 τ; the distance from eq. 8 falls with τ_I."""
    rng = np.random.default_rng(4)
    images, weights = rng.random((3, 6)), rng.random((5, 6)) * 2
    settings = {
        "stimulus": Presentation(image_ms=100.0),
        "recording": ENDS,
        "backend": "numpy",
        "dt_ms": 0.02,
    }
    w = 0.7
    eq_8 = neurodyn.simulate(LateralInhibition(w_inh=w), images, weights, **settings)
    circuits = [
        DaleInhibition(tau_inh_ms=tau_inh, w_ie=w, w_self=w) for tau_inh in (0.2, 0.1)
    ]
    dale = neurodyn.sweep(circuits, images, weights, **settings)
    away = abs(dale["final_activity"] - eq_8["final_activity"])
    largest = away.max(["image", "unit"]).values / eq_8["drive"].values.max()
    assert largest[1] <= 1e-3  # τ_I = 0.01 τ_E; measured: 3e-4
    assert largest[0] / largest[1] == pytest.approx(2, rel=0.1)  # measured: 2.01


def transient(circuits, num_units, *, dt_ms=0.05, image_ms=60.0):
    """Activities after a step of drive, as long as nobody is rectified."""
    run = neurodyn.sweep(
        circuits,
        np.ones((1, 1)),
        np.ones((num_units, 1)),
        stimulus=Presentation(image_ms=image_ms),
        recording=Recording(by_image=False, activity_ms=0.2),
        backend="numpy",
        dt_ms=dt_ms,
    )
    for trial in run["trial"].values:
        activity = run["activity"].sel(trial=trial)[1:]
        silent = (activity <= 0).any("unit").values
        until = int(np.argmax(silent)) if silent.any() else len(silent)
        yield activity.isel(time=slice(0, until), unit=0)


CASES = [(1, 0.7, 5.0), (1, 0.7, 20.0), (5, 0.7, 5.0), (1, 2.0, 9.0), (1, 2.0, 11.0)]
CASES += [(1, 1.5, 18.0), (1, 1.5, 22.0), (5, 0.9, 10.0)]


@pytest.mark.slow
def test_the_common_mode_is_that_of_linear_theory():
    """Frequency and damping, on both sides of the Hopf bifurcation at τ_E / (w − 1)."""
    for num_units, group in itertools.groupby(sorted(CASES), key=lambda case: case[0]):
        cases = list(group)
        circuits = [
            DaleInhibition(w_ie=w, w_self=w, tau_inh_ms=tau_inh) for _, w, tau_inh in cases
        ]
        for (_, w, tau_inh), h in zip(
            cases, transient(circuits, num_units, dt_ms=0.02), strict=True
        ):
            theory = oscillation(
                tau_exc_ms=10.0, tau_inh_ms=tau_inh, w=w, num_active=num_units
            )
            frequency, damping = analysis.ringing_frequency(h), analysis.damping_rate(h)
            # measured: 0.1 %; Euler's method adds dt ω² / 2 of growth
            assert float(frequency) == pytest.approx(theory[0], rel=0.02)
            assert float(damping) == pytest.approx(theory[1], abs=0.03 * abs(theory[0]))


@pytest.mark.parametrize("w", [1.2, 1.5, 2.0, 3.0])
def test_oscillation_sets_in_where_linear_theory_says(w):
    onset = 10.0 / (w - 1)
    ratios = np.array([0.8, 0.9, 1.1, 1.2])
    circuits = [
        DaleInhibition(w_ie=w, w_self=w, tau_inh_ms=float(ratio * onset))
        for ratio in ratios
    ]
    damping = [float(analysis.damping_rate(h)) for h in transient(circuits, 1)]
    assert (np.diff(damping) < 0).all()
    measured = np.interp(0, damping[::-1], ratios[::-1])
    assert measured == pytest.approx(1, abs=0.05)  # measured: 0.99 to 1.00


@pytest.mark.slow
def test_below_the_onset_it_settles_and_above_it_goes_on():
    """The whole circuit, rectification included, 5 % to either side."""
    circuits = [
        DaleInhibition(w_ie=2.0, w_self=2.0, tau_inh_ms=tau_inh) for tau_inh in (9.5, 10.5)
    ]
    run = neurodyn.sweep(
        circuits,
        np.ones((1, 1)),
        np.ones((1, 1)),
        stimulus=Presentation(image_ms=3000.0),
        recording=Recording(by_image=False, activity_ms=1.0),
        backend="cpp",
        dt_ms=0.02,
    )
    late = run["activity"].sel(time=slice(2500, None)).isel(unit=0)
    below, above = (late.sel(trial=trial) for trial in (0, 1))
    assert float(abs(below - 1).max()) < 0.01  # at its fixed point, h = I
    assert float(above.max() - above.min()) > 1
    theory = oscillation(tau_exc_ms=10.0, tau_inh_ms=10.5, w=2.0)[0]
    # Rectification slows it down a little; measured: 0.96 of theory
    assert float(analysis.dominant_frequency(above)) == pytest.approx(theory, rel=0.05)


def test_linear_theory_of_one_unit():
    """Against the eigenvalues of the two equations written as a matrix."""
    for w, tau_inh, m in ((0.5, 1.0, 1), (2.0, 10.0, 1), (0.9, 20.0, 7), (3.0, 30.0, 1)):
        matrix = np.array([[(w - 1) / 10.0, -w * m / 10.0], [1 / tau_inh, -1 / tau_inh]])
        slowest = max(np.linalg.eigvals(matrix), key=lambda value: value.real)
        frequency, damping = oscillation(
            tau_exc_ms=10.0, tau_inh_ms=tau_inh, w=w, num_active=m
        )
        assert frequency == pytest.approx(1000 * abs(slowest.imag) / (2 * np.pi), abs=1e-9)
        assert damping == pytest.approx(-1000 * slowest.real, abs=1e-9)
    assert oscillation(tau_exc_ms=10.0, tau_inh_ms=10.0, w=2.0)[1] == pytest.approx(0)


def test_the_step_limit_is_where_eulers_method_turns_unstable():
    """M = 1: dt < (τ_E + τ_I (1 − w)) / (1 − w + w m), from trace and determinant."""
    circuit = DaleInhibition(w_ie=0.7, w_self=0.7, tau_inh_ms=5.0)
    drive = np.ones((1, 20))
    limit = circuit.step_limit_ms(drive, reset=True)
    assert limit == pytest.approx((10 + 5 * 0.3) / (1 - 0.7 + 0.7 * 20), rel=1e-6)
    assert circuit.is_stable(drive, 0.99 * limit, reset=True)
    assert not circuit.is_stable(drive, 1.01 * limit, reset=True)
    # The same from a few eigenvalues of a large circuit.
    many = np.ones((1, 400))
    limit = circuit.step_limit_ms(many, reset=True)
    assert limit == pytest.approx((10 + 5 * 0.3) / (1 - 0.7 + 0.7 * 400), rel=1e-6)


@pytest.mark.slow
def test_activity_that_runs_away_is_refused():
    """trace² > 4 determinant and trace > 0: an unstable node, and r has no ceiling."""
    circuit = DaleInhibition(w_ie=3.0, w_self=3.0, tau_inh_ms=200.0)
    with pytest.raises(ValueError, match="activity grows without bound"):
        neurodyn.simulate(
            circuit,
            np.ones((1, 1)),
            np.ones((1, 1)),
            stimulus=Presentation(image_ms=10_000.0),
            recording=ENDS,
            backend="numpy",
            dt_ms=0.5,
        )


def noisy(*, seed=0, **parameters):
    return neurodyn.simulate(
        LateralInhibition(noise=0.5, noise_tau_ms=5.0, **parameters),
        np.zeros((1, 2)),
        np.ones((400, 2)),
        stimulus=Presentation(image_ms=400.0, reset=False),
        recording=Recording(by_image=False, activity_ms=2.0),
        backend="numpy",
        dt_ms=0.25,
        seed=seed,
    )


def test_noise_has_the_variance_and_memory_asked_for():
    """An Ornstein-Uhlenbeck current through τ: variance σ² τ_n / (τ + τ_n)."""
    h = noisy(w_inh=0.0)["activity"].sel(time=slice(100, None)).values
    expected = 0.5**2 * 5.0 / (10.0 + 5.0)
    # 400 units x 300 ms: about 8000 independent values, 1.6 % in the variance
    assert h.var() == pytest.approx(expected, rel=0.06)
    assert abs(h.mean()) < 0.01
    lag = 10.0  # ms; C(t) = σ² τ_n (τ e^(−t/τ) − τ_n e^(−t/τ_n)) / (τ² − τ_n²)
    covariance = (h[5:] * h[:-5]).mean()
    theory = 0.25 * 5 * (10 * np.exp(-lag / 10) - 5 * np.exp(-lag / 5)) / (100 - 25)
    assert covariance == pytest.approx(theory, rel=0.08)


@pytest.mark.slow
def test_a_seed_gives_one_noise():
    one, again = noisy(w_inh=0.0), noisy(w_inh=0.0)
    other = noisy(w_inh=0.0, seed=1)
    np.testing.assert_array_equal(one["activity"], again["activity"])
    assert not np.allclose(one["activity"], other["activity"])


def test_inhibition_by_distance():
    weights = distance_dependent(6, w_inh=0.8, width=2.0)
    for u, v in itertools.product(range(6), range(6)):
        d = min((u - v) % 6, (v - u) % 6)
        expected = 0.0 if u == v else 0.8 * np.exp(-(d**2) / 8)
        assert weights[u, v] == pytest.approx(expected, abs=1e-15)
    for wrong in ({"w_inh": -1.0, "width": 1.0}, {"w_inh": 1.0, "width": 0.0}):
        with pytest.raises(ValueError, match=r"(w_inh|width) is"):
            distance_dependent(6, **wrong)
