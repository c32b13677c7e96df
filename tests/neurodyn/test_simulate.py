"""Brian2's traces against Euler's method written out, a stiff ODE solver, and the fixed
point; the labels of the result; every refusal.
"""

import itertools
import json
import re
from contextlib import suppress

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurodyn import LateralInhibition, Presentation, Recording, equilibrium, simulate
from neurodyn.engine import backends

GIVEN = np.random.default_rng(0)
WEIGHTS = GIVEN.normal(0.2, 1.0, size=(5, 6))
IMAGES = GIVEN.random((3, 6))
TAU_MS = 10.0


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def run(images=IMAGES, weights=WEIGHTS, *, w_inh=0.5, p=2.0, backend="numpy", **settings):
    """Simulate with τ = 10 ms; what presentation and recording take goes there."""
    shown = {k: settings.pop(k) for k in ("image_ms", "rest_ms", "reset") if k in settings}
    kept = {
        k: settings.pop(k)
        for k in ("activity_ms", "by_image", "limit_gib")
        if k in settings
    }
    return simulate(
        LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh, p=p),
        images,
        weights,
        stimulus=Presentation(**{"image_ms": 30.0} | shown),
        recording=Recording(**{"by_image": False} | kept),
        backend=backend,
        **settings,
    )


def without_timing(traces):
    return traces.assign_attrs(run_seconds=0.0)


def drive_of(images, weights, p):
    """Σ_i sign(W_ui) |W_ui|^(p−1) v_i, term by term."""
    drive = np.zeros((len(images), len(weights)))
    for (b, image), (u, unit) in itertools.product(enumerate(images), enumerate(weights)):
        drive[b, u] = sum(
            np.sign(w) * abs(w) ** (p - 1) * v for w, v in zip(unit, image, strict=True)
        )
    return drive


def slope(h, drive, w_inh):
    """dh/dt of eq. 8 [1/ms], every pair of units written out."""
    between = w_inh * (np.ones((len(h), len(h))) - np.eye(len(h)))
    return (drive - np.maximum(h, 0) @ between - h) / TAU_MS


def euler(drive, w_inh, *, dt_ms, rest_steps, image_steps, reset, stride):
    """Activity at every `stride`-th step, and at the end of each presentation."""
    h = np.zeros(drive.shape[1])
    states, ends = [h], []
    for image in drive:
        if reset:
            h = np.zeros_like(h)
        for step in range(rest_steps + image_steps):
            h = h + dt_ms * slope(h, image * (step >= rest_steps), w_inh)
            states.append(h)
        ends.append(h)
    return np.array(states[::stride]), np.array(ends)


def stiff(drive, w_inh, t_ms):
    """Activity at t_ms from h = 0, by SciPy's LSODA."""
    solution = solve_ivp(
        lambda _, h: slope(h, drive, w_inh),
        (0, t_ms),
        np.zeros_like(drive),
        method="LSODA",
        rtol=1e-11,
        atol=1e-12,
        max_step=1.0,
    )
    return solution.y[:, -1]


# (p, rest_ms, reset): each with image_ms = 30, dt = 0.5 ms, sampled every 2.5 ms
CASES = [(2.0, 0.0, True), (3.0, 0.0, True), (2.0, 5.0, True), (3.0, 5.0, False)]


def run_case(p, rest_ms, reset, backend):
    return run(
        p=p, rest_ms=rest_ms, reset=reset, backend=backend, dt_ms=0.5, activity_ms=2.5
    )


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    """(p, rest_ms, reset) and its traces."""
    return request.param, run_case(*request.param, "numpy")


@pytest.fixture(scope="module")
def plain():
    """Traces of the first case."""
    return run_case(*CASES[0], "numpy")


def assert_is_eulers_method(traces, p, rest_ms, reset):
    drive = drive_of(IMAGES, WEIGHTS, p)
    activity, ends = euler(
        drive,
        0.5,
        dt_ms=0.5,
        rest_steps=round(rest_ms / 0.5),
        image_steps=60,
        reset=reset,
        stride=5,
    )
    # measured: 2e-15 with each backend, activities reach 5
    np.testing.assert_allclose(traces["drive"], drive, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["activity"], activity, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["final_activity"], ends, rtol=0, atol=1e-12)


def test_brian2_takes_the_steps_of_eulers_method(case):
    settings, traces = case
    assert_is_eulers_method(traces, *settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "settings"), [("cython", CASES[0]), ("cpp", CASES[3])], ids=str
)
def test_compiled_code_takes_the_steps_of_eulers_method(backend, settings):
    assert_is_eulers_method(run_case(*settings, backend), *settings)


def test_order_of_activity_is_the_order_of_drive_at_all_times(case):
    """From equal initial values; a rest without reset is no equal start."""
    (*_, reset), traces = case
    if not reset:
        traces = traces.sel(time=traces["presentation"] == 0)
    checked = 0
    for h, image in zip(
        traces["activity"].values, traces["presentation"].values, strict=True
    ):
        order = np.argsort(traces["drive"].values[image])
        assert (np.diff(h[order]) >= 0).all()
        checked += (np.diff(h[order]) > 0).all()
    assert checked >= 10  # samples with all activities different


def test_settles_at_the_fixed_point_within_20_tau():
    traces = run(image_ms=20 * TAU_MS, activity_ms=None)
    drive = drive_of(IMAGES, WEIGHTS, 2)
    h = equilibrium.settle(drive, w_inh=0.5)
    assert ((h > 0).sum(axis=1) > 1).any()  # a shared win, the slow case
    # measured: 1.4e-5; a difference of active units decays to exp(−20 (1 − w)) = 4.5e-5
    error = np.abs(traces["final_activity"].values - h).max() / np.abs(drive).max()
    assert error <= 1e-4


@pytest.mark.parametrize("w_inh", [0.5, 1.5])
def test_agrees_with_a_stiff_solver_after_20_tau(w_inh):
    """At w = 0.5 the transient is not over: 4e-5 of it is left, and must be right too."""
    traces = run(w_inh=w_inh, image_ms=20 * TAU_MS, dt_ms=0.05, activity_ms=None)
    exact = [stiff(drive, w_inh, 20 * TAU_MS) for drive in drive_of(IMAGES, WEIGHTS, 2)]
    # measured: 5e-7 at w = 0.5, 7e-9 at w = 1.5 (dt = τ/200; the default dt = τ/20: 4e-6)
    np.testing.assert_allclose(traces["final_activity"], exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("w_inh", [0.5, 1.5])
def test_transient_error_is_of_first_order(w_inh):
    """At t = τ, in the middle of the transient."""
    drive = drive_of(IMAGES[:1], WEIGHTS, 2)[0]
    exact = stiff(drive, w_inh, TAU_MS)
    ends = [
        run(IMAGES[:1], w_inh=w_inh, image_ms=TAU_MS, dt_ms=dt, activity_ms=None)
        for dt in (0.4, 0.2, 0.1, 0.05)
    ]
    h = [traces["final_activity"].values[0] for traces in ends]
    errors = [np.abs(one - exact).max() for one in h]
    for coarse, fine in itertools.pairwise(errors):
        assert 1.8 <= coarse / fine <= 2.2  # measured: 2.003 to 2.019
    # Richardson takes the first-order error away; measured: 1.1e-5, 0.006 of the error
    assert np.abs(2 * h[3] - h[2] - exact).max() <= 0.02 * errors[3]


def test_default_time_step_divides_everything_and_is_stable(rng):
    """40 units of about equal drive are all active: stability asks for less than τ/20."""
    weights = np.full((40, 6), 0.5) + 1e-3 * rng.normal(size=(40, 6))
    traces = run(weights=weights, image_ms=9.0, rest_ms=3.0, activity_ms=1.5)
    dt_ms = json.loads(traces.attrs["config"])["dt_ms"]
    # All 40 active: Euler is unstable above 2 τ / (1 + 39 w).
    assert dt_ms < 2 * TAU_MS / (1 + 39 * 0.5)
    for length in (9.0, 3.0, 1.5):
        assert length / dt_ms == pytest.approx(round(length / dt_ms), abs=1e-9)
    assert traces["final_activity"].max() < 2 * traces["drive"].max()


@pytest.mark.parametrize("num_units", [300, 1500])
def test_the_default_step_settles_though_few_units_stay_active(num_units):
    """One unit wins, but all rise with it at first: τ/20 ends in a cycle at 1500 units."""
    drive = np.linspace(0.999, 1.0, num_units)[None].copy()
    drive[0, -1] = 1.2
    circuit = LateralInhibition(tau_ms=TAU_MS, w_inh=0.9)
    assert circuit.settles(drive, TAU_MS / 20) == (num_units == 300)
    dt_ms = circuit.default_step_ms(drive, reset=True)
    assert (dt_ms == TAU_MS / 20) == (num_units == 300)
    h = np.zeros_like(drive)
    for _ in range(round(100 * TAU_MS / dt_ms)):
        r = np.maximum(h, 0)
        h = h + dt_ms / TAU_MS * (drive - 0.9 * (r.sum(axis=1, keepdims=True) - r) - h)
    # At 100 τ the slowest mode has fallen to exp(-10); a cycle stays 0.75 away.
    np.testing.assert_allclose(h, equilibrium.settle(drive, w_inh=0.9), atol=1e-3)


def test_default_time_step_resolves_tau(plain):
    assert json.loads(run(activity_ms=None).attrs["config"])["dt_ms"] == TAU_MS / 20


@pytest.mark.parametrize(
    ("drive", "w_inh", "reset", "safe_ms"),
    [
        ([[3.0, 2.0, -1.0]], 0.5, True, 10 / 1.5),  # 2 can be active
        ([[3.0, 1.0, 0.0], [3.0, 3.0, 3.0]], 0.5, True, 10 / 2),  # 2 and 3: the most count
        ([[-1.0, -1.0, -2.0]], 0.5, True, 10),  # nobody can
        ([[3.0, 2.0, -1.0]], 2.0, True, 10 / 3),
        ([[3.0, 2.0, -1.0]], 0.5, False, 10 / 2),  # carried over: all units count
    ],
)
def test_safe_step_rule(drive, w_inh, reset, safe_ms):
    circuit = LateralInhibition(tau_ms=10.0, w_inh=w_inh)
    safe = circuit.safe_step_ms(np.array(drive), reset=reset)
    assert safe == pytest.approx(safe_ms, rel=1e-12)


@pytest.mark.parametrize("w_inh", [0.5, 0.9, 1.5])
def test_settles_at_the_safe_step_and_refuses_one_that_does_not_settle(w_inh):
    weights = np.linspace(0.5, 1.0, 12)[:, None] * np.ones((12, 6))
    drive = drive_of(IMAGES, weights, 2)
    safe = LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh).safe_step_ms(drive, reset=True)
    settings = {"w_inh": w_inh, "image_ms": 2400 * safe, "activity_ms": None}
    traces = run(weights=weights, dt_ms=safe, **settings)
    np.testing.assert_allclose(
        traces["final_activity"],
        equilibrium.settle(drive, w_inh=w_inh),
        rtol=0,
        atol=1e-9 * drive.max(),  # measured: 4e-11 at w = 0.9, else 6e-13
    )
    with pytest.raises(ValueError, match=r"not stable with that step .*; one of .* ms is"):
        run(weights=weights, dt_ms=2.5 * TAU_MS, **settings)


def test_a_step_that_cycles_is_refused_and_the_one_that_is_named_is_taken():
    """Brian2 itself is shown to go wrong with the step that is refused."""
    weights = np.linspace(0.97, 1.0, 30)[:, None] * np.ones((30, 6))
    drive = drive_of(IMAGES, weights, 2)
    circuit = LateralInhibition(tau_ms=TAU_MS, w_inh=0.9)
    assert not circuit.settles(drive, TAU_MS / 2)
    with pytest.raises(ValueError, match=r"one of .* ms is") as refusal:
        run(weights=weights, dt_ms=TAU_MS / 2, w_inh=0.9, activity_ms=None)
    named = float(re.search(r"one of (\S+) ms", str(refusal.value))[1])
    assert circuit.is_stable(drive, named, reset=True)


def test_labels(plain):
    assert dict(plain.sizes) == {"time": 37, "unit": 5, "image": 3, "pixel": 6}
    dims = {name: variable.dims for name, variable in plain.data_vars.items()}
    assert dims == {
        "activity": ("time", "unit"),
        "final_activity": ("image", "unit"),
        "drive": ("image", "unit"),
        "weights": ("unit", "pixel"),
    }
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in plain.variables.values())
    assert plain["time"].attrs["units"] == "ms"
    np.testing.assert_array_equal(plain["weights"], WEIGHTS)
    for dim in ("unit", "image", "pixel"):
        np.testing.assert_array_equal(plain[dim], np.arange(plain.sizes[dim]))


def test_time_axis_and_presentation(plain):
    """A sample on a boundary is the end of the presentation before it."""
    np.testing.assert_allclose(plain["time"], 2.5 * np.arange(37), rtol=1e-15)
    expected = [0] * 13 + [1] * 12 + [2] * 12  # t = 0, then (0, 30], (30, 60], (60, 90]
    np.testing.assert_array_equal(plain["presentation"], expected)
    ends = plain["activity"].sel(time=[30.0, 60.0, 90.0])
    np.testing.assert_array_equal(ends, plain["final_activity"])


def test_an_interval_that_does_not_divide_the_presentation_is_sampled_all_the_same(plain):
    traces = run(dt_ms=0.5, activity_ms=7.0)
    np.testing.assert_array_equal(traces["time"], np.arange(0, 91, 7))
    expected = [0] * 5 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(traces["presentation"], expected)
    common = [0.0, 35.0, 70.0]
    np.testing.assert_array_equal(
        traces["activity"].sel(time=common), plain["activity"].sel(time=common)
    )


def test_config_says_how_to_repeat_the_run(plain):
    assert json.loads(plain.attrs["config"]) == {
        "circuit": {
            "name": "LateralInhibition",
            "tau_ms": 10.0,
            "w_inh": 0.5,
            "p": 2.0,
            "input_sign": 0,
            "noise": 0.0,
            "noise_tau_ms": 10.0,
        },
        "plasticity": {},
        "stimulus": {"image_ms": 30.0, "rest_ms": 0.0, "reset": True},
        "recording": {
            "activity_ms": 2.5,
            "by_image": False,
            "inhibition": False,
            "images_every": 1,
            "norms": False,
            "weights_every": None,
            "limit_gib": 2.0,
        },
        "backend": "numpy",
        "dt_ms": 0.5,
        "batch_size": 1,
        "seed": 0,
    }
    assert "Brian2" in plain.attrs["history"]
    assert 0 < plain.attrs["run_seconds"] < 60


def test_without_recording_only_the_final_values_are_there(plain):
    traces = run(dt_ms=0.5, activity_ms=None)
    assert set(traces.data_vars) == {"drive", "weights", "final_activity"}
    assert "time" not in traces.dims
    np.testing.assert_array_equal(traces["final_activity"], plain["final_activity"])


def test_pixels_are_taken_in_c_order():
    images = IMAGES.reshape(3, 2, 3)
    drive = run(images, image_ms=1.0, activity_ms=None)["drive"]
    np.testing.assert_allclose(drive, IMAGES @ WEIGHTS.T, rtol=0, atol=1e-12)


def test_each_of_many_images_is_shown_in_its_turn(rng):
    """Also where the period is no round number of ms: nothing slips by a step."""
    images = rng.random((200, 6))
    traces = run(images, image_ms=0.7, rest_ms=0.1, dt_ms=0.1, activity_ms=None)
    np.testing.assert_allclose(traces["drive"], images @ WEIGHTS.T, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "cython", "cpp"])
def test_images_stay_on_time(backend, rng):
    """In C++, k periods of 11 steps were later than 11 k steps, by rounding, first at k = 7
    for these lengths: the images then changed a step too late.
    """
    images = rng.random((700, 6))
    circuit = LateralInhibition(tau_ms=22000.0, w_inh=0.5)
    stimulus = Presentation(image_ms=12100.0)
    recording = Recording(activity_ms=5500.0, by_image=False)
    settings = {"backend": backend, "dt_ms": 1100.0, "recording": recording}
    traces = simulate(circuit, images, WEIGHTS, stimulus=stimulus, **settings)
    activity, ends = euler(
        drive_of(images, WEIGHTS, 2),
        0.5,
        dt_ms=1100.0 * TAU_MS / 22000,  # `slope` is for τ = 10 ms
        rest_steps=0,
        image_steps=11,
        reset=True,
        stride=5,
    )
    # measured: 9e-16 with each backend
    np.testing.assert_allclose(traces["activity"], activity, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["final_activity"], ends, rtol=0, atol=1e-12)
    np.testing.assert_allclose(traces["time"], 5500.0 * np.arange(1541), rtol=1e-12)


def test_the_end_of_a_long_presentation_is_not_lost():
    """Brian2 rounds the end of a run by up to 1e-4 of the slowest clock's interval."""
    drive = drive_of(IMAGES[:1], WEIGHTS, 2)
    traces = run(IMAGES[:1], image_ms=15000.0, dt_ms=0.5, activity_ms=7500.0)
    settled = equilibrium.settle(drive, w_inh=0.5)
    np.testing.assert_allclose(traces["final_activity"], settled, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(traces["time"], [0.0, 7500.0, 15000.0])
    assert traces.sizes["image"] == 1


def test_two_runs_are_equal(plain):
    again = run_case(*CASES[0], "numpy")
    assert without_timing(again).identical(without_timing(plain))


def test_names_of_the_caller_do_not_leak_into_the_equations(plain):
    tau = w_inh = I = S = r = h = v = W = 123.0  # noqa: E741, F841
    shown = rest_steps = period_steps = table = image_at = period = 7  # noqa: F841
    traces = run_case(*CASES[0], "numpy")
    assert without_timing(traces).identical(without_timing(plain))


class NoSuchCircuit(Exception):
    pass


class Broken(LateralInhibition):
    """A circuit that cannot be built."""

    def build(self, *_, **__):
        raise NoSuchCircuit


@pytest.mark.parametrize("circuit", [LateralInhibition(), Broken()])
def test_brian2s_global_state_is_left_as_found(circuit):
    import brian2 as b2

    device, target = b2.get_device(), b2.prefs.codegen.target
    clock = [b2.defaultclock.variables[name].get_value().item() for name in ("dt", "t")]
    b2.prefs.codegen.target = "cython"
    try:
        with suppress(NoSuchCircuit):
            simulate(circuit, IMAGES, WEIGHTS, backend="numpy")
    finally:
        left, b2.prefs.codegen.target = b2.prefs.codegen.target, target
    assert left == "cython"
    assert b2.get_device() is device
    # A clock that has run took part: all its ticks, in steps of its own, cost time.
    for name, before in zip(("dt", "t"), clock, strict=True):
        assert b2.defaultclock.variables[name].get_value().item() == before


@pytest.mark.skipif(backends.why_not("cpp") is not None, reason="no C++ compiler")
def test_a_failing_compiled_run_leaves_the_device_as_found():
    import brian2 as b2

    device = b2.get_device()
    with pytest.raises(NoSuchCircuit):
        simulate(Broken(), IMAGES, WEIGHTS, backend="cpp")
    assert b2.get_device() is device


NOT_FINITE = np.where(np.arange(18).reshape(3, 6) == 7, np.nan, IMAGES)
INFINITE = np.where(np.arange(30).reshape(5, 6) == 7, np.inf, WEIGHTS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": WEIGHTS[:, :4]}, "weights have 4 pixels per unit, the images 6"),
        ({"weights": WEIGHTS[0]}, r"weights have shape \(6,\): \(unit, pixel\) is needed"),
        ({"weights": WEIGHTS[:0]}, r"weights have shape \(0, 6\)"),
        ({"images": IMAGES[0]}, r"images have shape \(6,\): \(image, pixel\) or"),
        ({"images": IMAGES[:0]}, r"images have shape \(0, 6\): .* none of them 0"),
        ({"images": NOT_FINITE}, "images: 1 of .* values are NaN or infinite"),
        ({"weights": INFINITE}, "weights: 1 of .* values are NaN or infinite"),
        (
            {"w_inh": -0.5},
            "w_inh is -0.5: the strength of inhibition, .* must be 0 or more",
        ),
        ({"w_inh": np.nan}, "w_inh is nan"),
        ({"p": 1.5}, "p is 1.5: the exponent of the metric must be 2 or more"),
        ({"image_ms": 0.0}, "image_ms is 0.0: the time an image is shown must be pos"),
        ({"rest_ms": -1.0}, "rest_ms is -1.0: the rest must be 0 or more"),
        ({"dt_ms": 0.7}, "image_ms is 30 ms, not a whole number of time steps of 0.7 ms"),
        ({"dt_ms": 0.5, "rest_ms": 0.7}, "rest_ms is 0.7 ms, not a whole number"),
        ({"dt_ms": 0.0}, "dt_ms is 0.0: the time step must be positive"),
        ({"dt_ms": -1.0}, "dt_ms is -1.0: the time step must be positive"),
        ({"dt_ms": np.nan}, "dt_ms is nan: the time step must be positive"),
        (
            {"dt_ms": 0.5, "activity_ms": 0.7},
            "activity_ms is 0.7 ms, not a whole number of time steps of 0.5",
        ),
        ({"activity_ms": 0.0}, "activity_ms is 0.0: the interval must be positive"),
        (
            {"activity_ms": -1.0},
            "activity_ms is -1.0: the interval must be positive",
        ),
        (
            {"activity_ms": np.nan},
            "activity_ms is nan: the interval must be positive",
        ),
        ({"backend": "fortran"}, "unknown backend 'fortran': give one of numpy, cython, c"),
        (
            {"image_ms": 1e6, "activity_ms": 1e-2},
            r"would take 11.2 GiB, the limit is 2 GiB \(activity \(samples x units\): "
            r"300000001 x 5 x 8 bytes = 11.18 GiB; drive .* record less often",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else ",".join(value),
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**settings)


@pytest.mark.parametrize("tau_ms", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_time_constant_that_is_not_positive(tau_ms):
    with pytest.raises(ValueError, match=rf"tau_ms is {tau_ms}: .* positive and finite"):
        LateralInhibition(tau_ms=tau_ms)


@pytest.mark.parametrize("settings", [{"image_ms": 10 * np.pi}, {"activity_ms": 2**-0.5}])
def test_refuses_lengths_that_no_default_time_step_divides(settings):
    with pytest.raises(ValueError, match=r"no time step near 0\.5 ms divides all times"):
        run(**settings)


def test_the_largest_trace_allowed_is_allowed():
    """3 images of 2 ms: 7 samples of 5 units, and drive and final activity."""
    size = 8 * (7 * 5 + 3 * 2 * 5)
    settings = {"image_ms": 2.0, "activity_ms": 1.0, "dt_ms": 0.5}
    traces = run(limit_gib=size / 2**30, **settings)
    recorded = ("activity", "drive", "final_activity")
    assert sum(traces[name].nbytes for name in recorded) == size
    with pytest.raises(ValueError, match=r"7 x 5 x 8 bytes .*3 x 10 x 8 bytes"):
        run(limit_gib=(size - 1) / 2**30, **settings)
