"""Every circuit and rule against Euler's method written out in dense NumPy.

On each backend: numpy in the default run, the compiled ones in the slow run, CUDA where
there is a GPU. Measured: 4e-15 in h and in W (activities reach 4, weights 3).
"""

from dataclasses import dataclass

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Gated,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Oja,
    Presentation,
    Recording,
    Settled,
)

GIVEN = np.random.default_rng(1)
NUM_UNITS, NUM_PIXELS, NUM_INH = 6, 7, 3
FREE = GIVEN.normal(0.3, 1.0, (NUM_UNITS, NUM_PIXELS))
IMAGES = GIVEN.random((4, NUM_PIXELS))
ORDER = np.array([0, 3, 1, 1, 2, 0, 3])
DT_MS, IMAGE_MS, REST_MS = 0.25, 20.0, 4.0
TAU_L_MS, RADIUS, H_STAR, DELTA = 1e3, 1.3, 0.5, 0.4
TARGET, TAU_INH_L_MS = 0.3, 300.0


def without_diagonal(matrix):
    return matrix * (1 - np.eye(len(matrix)))


BETWEEN = without_diagonal(
    GIVEN.random((NUM_UNITS, NUM_UNITS)) * (GIVEN.random((NUM_UNITS, NUM_UNITS)) < 0.7) / 2
)
TAUS = GIVEN.uniform(8, 12, NUM_UNITS)
W_IE, W_EI = (
    GIVEN.random((NUM_UNITS, NUM_INH)) * 0.4,
    GIVEN.random((NUM_INH, NUM_UNITS)) * 0.6,
)
W_IE[2, 1] = 0.0  # no synapse, and none grows there
W_EE = without_diagonal(GIVEN.random((NUM_UNITS, NUM_UNITS)) * 0.1)
W_II = without_diagonal(GIVEN.random((NUM_INH, NUM_INH)) * 0.3)


@dataclass
class Run:
    """What Euler's method gives."""

    activity: list
    inh: list
    inhibition: list
    final: list
    drive: list
    weights: list
    between: np.ndarray


def relu(h):
    return np.maximum(h, 0)


def thresholds(h):
    return np.where(h < 0, 0.0, np.where(h < H_STAR, -DELTA, 1.0))


def linear(h):
    return h


def euler(  # noqa: C901, one loop with all variants reads best
    start,
    *,
    images=IMAGES,
    p=2.0,
    reset=True,
    sign=0,
    window_ms=None,
    activation=thresholds,
    learns=True,
    tau=10.0,
    w_inh=0.5,
    homeostatic=False,
    dale=False,
):
    """Integrate; window_ms: 0 settled, None not at all, else how long before the end.

    dale: with inhibitory cells, τ_I = 4 ms and self-excitation 0.4.
    """
    weights = start.copy()
    k = len(weights)
    between = np.array(w_inh, dtype=float)
    if between.ndim == 0:
        between = between * (1 - np.eye(k))
    if dale:
        between = W_IE.copy()
    exists = between > 0
    h, q = np.zeros(k), np.zeros(NUM_INH)
    run = Run([h], [q], [h], [], [], [weights], between)
    rest, steps = round(REST_MS / DT_MS), round((REST_MS + IMAGE_MS) / DT_MS)

    def change(rate, g, drive, v):
        moved = weights + rate * g[:, None] * (RADIUS**p * v - drive[:, None] * weights)
        return np.clip(moved, 0 if sign > 0 else -np.inf, 0 if sign < 0 else np.inf)

    for image in ORDER:
        v = images[image]
        if reset:
            h, q = np.zeros(k), np.zeros(NUM_INH)
        for step in range(steps):
            on = step >= rest
            drive = (np.sign(weights) * np.abs(weights) ** (p - 1)) @ v
            r, s = relu(h), relu(q)
            run.inhibition.append(between @ (s if dale else r))
            if dale:
                slope = (drive * on + 0.4 * r + W_EE @ r - between @ s - h) / tau
                next_q = q + DT_MS / 4.0 * (W_EI @ r - W_II @ s - q)
            else:
                slope = (drive * on - between @ r - h) / tau
                next_q = q
            if learns and window_ms and on and step >= steps - round(window_ms / DT_MS):
                weights = change(DT_MS / TAU_L_MS, activation(h), drive, v)
            if homeostatic and on:
                sending = s if dale else r
                moved = between + DT_MS / TAU_INH_L_MS * np.outer(r - TARGET, sending)
                between = np.where(exists, relu(moved), 0)
            h, q = h + DT_MS * slope, next_q
            run.activity.append(h)
            run.inh.append(q)
        if learns and window_ms == 0:
            weights = change(IMAGE_MS / TAU_L_MS, activation(h), drive, v)
        run.final.append(h)
        run.drive.append(drive)
        run.weights.append(weights)
    run.between = between
    return run


def kh(p=2.0, timing=None):
    return KrotovHopfield(
        p=p,
        delta=DELTA,
        h_star=H_STAR,
        tau_l_ms=TAU_L_MS,
        radius=RADIUS,
        timing=timing or Settled(),
    )


HOMEOSTATIC = Homeostatic(target=TARGET, tau_l_ms=TAU_INH_L_MS)
TIMINGS = {0.0: Settled(), 10.0: Gated(last_ms=10.0), IMAGE_MS: Continuous()}
DALE = DaleInhibition(
    num_inh=NUM_INH, tau_inh_ms=4.0, w_ie=W_IE, w_ei=W_EI, w_ii=W_II, w_ee=W_EE, w_self=0.4
)


def simulated(circuit, start, plasticity, backend, *, images=IMAGES, reset=True, **more):
    return neurodyn.simulate(
        circuit,
        images,
        start,
        plasticity=plasticity,
        stimulus=Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS, reset=reset),
        order=ORDER,
        recording=Recording(
            by_image=False, activity_ms=DT_MS, weights_every=1, inhibition=True
        ),
        backend=backend,
        dt_ms=DT_MS,
        **more,
    )


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def assert_equal(traces, run, *, synapses=None):
    close(traces["activity"], run.activity)
    close(traces["final_activity"], run.final)
    close(traces["drive"], run.drive)
    close(traces["weights_snapshots"], run.weights)
    close(traces["weights"], run.weights[-1])
    assert np.abs(run.weights[-1] - run.weights[0]).max() > 0.1  # it did learn
    if synapses:
        close(traces[synapses], run.between)
        close(traces[f"{synapses}_snapshots"].isel(snapshot=-1), run.between)


MARKS = {"cython": pytest.mark.slow, "cpp": pytest.mark.slow, "cuda": pytest.mark.gpu}
CYTHON, CPP, CUDA = (pytest.param(name, marks=mark) for name, mark in MARKS.items())
BACKENDS = ["numpy", CYTHON, CPP, CUDA]
CASES = [
    (p, window_ms, sign)
    for p in (2.0, 2.5, 3.0)
    for window_ms in TIMINGS
    for sign in (0, 1, -1)
    if p == 2.0 or sign != -1
]
# Compilation takes 5 to 40 s for each: the three ways in which weights move.
COMPILED = [
    (2.0, 0.0, 0, "cython"),
    (2.0, IMAGE_MS, 0, "cpp"),
    (3.0, 10.0, 1, "cython"),
    (3.0, 10.0, 1, "cpp"),
    *((*case, "cuda") for case in ((2.0, 0.0, 0), (2.0, IMAGE_MS, 0), (3.0, 10.0, 1))),
]


def check_case(p, window_ms, sign, backend):
    start = sign * abs(FREE) if sign else FREE
    circuit = LateralInhibition(w_inh=0.5, p=p, input_sign=sign)
    rule = kh(p, TIMINGS[window_ms])
    # Negative inputs excite through negative weights, so that somebody learns.
    shown = {"images": -IMAGES if sign < 0 else IMAGES, "reset": False}
    traces = simulated(circuit, start, rule, backend, **shown)
    assert_equal(traces, euler(start, p=p, window_ms=window_ms, sign=sign, **shown))
    if sign:
        assert (traces["weights_snapshots"] * sign >= 0).all()


@pytest.mark.parametrize(("p", "window_ms", "sign"), CASES)
def test_rule_of_the_paper(p, window_ms, sign):
    check_case(p, window_ms, sign, "numpy")


@pytest.mark.parametrize(
    ("p", "window_ms", "sign", "backend"),
    [pytest.param(*case, marks=MARKS[case[-1]]) for case in COMPILED],
)
def test_rule_of_the_paper_compiled(p, window_ms, sign, backend):
    check_case(p, window_ms, sign, backend)


@pytest.mark.parametrize("window_ms", TIMINGS)
def test_oja(window_ms):
    rule = Oja(tau_l_ms=TAU_L_MS, radius=RADIUS, timing=TIMINGS[window_ms])
    traces = simulated(LateralInhibition(w_inh=0.5), FREE, rule, "numpy")
    assert_equal(traces, euler(FREE, window_ms=window_ms, activation=linear))


@pytest.mark.parametrize("backend", ["numpy", CPP, CUDA])
def test_explicit_inhibition_that_learns(backend):
    rules = {"feedforward": kh(), "lateral": HOMEOSTATIC}
    circuit = LateralInhibition(w_inh=BETWEEN, tau_ms=TAUS)
    traces = simulated(circuit, FREE, rules, backend, reset=False)
    run = euler(FREE, window_ms=0.0, reset=False, w_inh=BETWEEN, tau=TAUS, homeostatic=True)
    assert_equal(traces, run, synapses="weights_lateral")
    assert np.abs(run.between - BETWEEN).max() > 0.1
    assert (traces["weights_lateral"].values[BETWEEN == 0] == 0).all()
    # The current that acted in the step which led to the sample.
    close(traces["inhibition"], run.inhibition)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dale(backend):
    rules = {"feedforward": kh(), "inh_to_exc": HOMEOSTATIC}
    traces = simulated(DALE, abs(FREE), rules, backend, reset=False)
    run = euler(abs(FREE), window_ms=0.0, reset=False, sign=1, homeostatic=True, dale=True)
    assert_equal(traces, run, synapses="weights_ie")
    close(traces["inh_activity"], run.inh)
    assert np.abs(run.between - W_IE).max() > 0.1
    assert traces["weights_ie"].values[2, 1] == 0
    # The current that acted in the step which led to the sample.
    close(traces["inhibition"], run.inhibition)


def test_dale_static():
    traces = neurodyn.simulate(
        DALE,
        IMAGES,
        abs(FREE),
        stimulus=Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS),
        order=ORDER,
        recording=Recording(by_image=False, activity_ms=DT_MS, inhibition=True),
        backend="numpy",
        dt_ms=DT_MS,
    )
    run = euler(abs(FREE), learns=False, dale=True)
    close(traces["activity"], run.activity)
    close(traces["inhibition"], relu(np.array(run.inh)) @ W_IE.T)
    for trace, matrix in (
        ("weights_ie", W_IE),
        ("weights_ei", W_EI),
        ("weights_ee", W_EE),
        ("weights_ii", W_II),
    ):
        np.testing.assert_array_equal(traces[trace], matrix)


@pytest.mark.parametrize("backend", ["numpy", CPP, CUDA])
def test_static_weights_with_each_cells_own_time_constant(backend):
    traces = neurodyn.simulate(
        LateralInhibition(w_inh=0.5, tau_ms=TAUS),
        IMAGES,
        FREE,
        stimulus=Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS),
        order=ORDER,
        recording=Recording(by_image=False, activity_ms=DT_MS, inhibition=True),
        backend=backend,
        dt_ms=DT_MS,
    )
    run = euler(FREE, tau=TAUS, learns=False)
    close(traces["activity"], run.activity)
    r = relu(np.array(run.activity))
    close(traces["inhibition"], 0.5 * (r.sum(axis=1, keepdims=True) - r))
    np.testing.assert_array_equal(traces["shown"], ORDER)


@pytest.mark.parametrize(
    ("backend", "num_units"),  # without and with subtotals
    [("numpy", 40), *(pytest.param(b, 600, marks=MARKS["cpp"]) for b in ("numpy", "cpp"))],
)
def test_pooled_is_explicit_inhibition(backend, num_units):
    weights = np.random.default_rng(2).normal(size=(num_units, NUM_PIXELS))
    settings = {
        "stimulus": Presentation(image_ms=20.0),
        "recording": Recording(by_image=False, activity_ms=1.0, inhibition=True),
        "backend": backend,
        "dt_ms": 0.05,
    }
    everyone = 0.3 * (1 - np.eye(num_units))
    pooled, explicit = (
        neurodyn.simulate(LateralInhibition(w_inh=w_inh), IMAGES[:2], weights, **settings)
        for w_inh in (0.3, everyone)
    )
    for trace in ("activity", "final_activity", "inhibition"):
        # measured: 4e-14 at 600 units
        np.testing.assert_allclose(pooled[trace], explicit[trace], rtol=0, atol=1e-12)
