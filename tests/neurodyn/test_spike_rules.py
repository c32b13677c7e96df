"""Rules of spikes: every change against loops over all earlier spikes, and closed forms."""

import itertools

import numpy as np
import pytest

from neurodyn import (
    DiehlCook,
    PairSTDP,
    PoissonPresentation,
    SpikeRecording,
    SpikingInhibition,
    SpikingNetwork,
    TripletSTDP,
)
from tests.neurodyn.spiking_reference import EVERYTHING, FADING, follow, trains

GIVEN = np.random.default_rng(1)
WEIGHTS = GIVEN.random((3, 6)) * 1.5 + 0.1
IMAGES = GIVEN.random((2, 6)) * 0.6 + 0.4
# E cells fire often, and at times in the same step as pixels.
FAST = {"tau_exc_ms": 20.0, "refractory_exc_ms": 2.0, "tau_theta_ms": 500.0}
OWN = SpikingInhibition(**FAST, w_ie=2.0, theta_plus_mv=0.5)
SHARED = SpikingInhibition(**FAST, num_inh=2, w_ie=3.0, theta_plus_mv=0.5)
PAIR = {"a_plus": 0.1, "a_minus": 0.15, "w_max": 2.0}
CASES = {
    "Diehl and Cook": (
        DiehlCook(eta_pre=0.05, eta_post=0.2, w_max=2.0, total=6.0),
        OWN,
        False,
    ),
    "additive": (PairSTDP(**PAIR), SHARED, False),
    "multiplicative": (PairSTDP(**PAIR, mu=1.0), OWN, True),
    "between": (PairSTDP(**PAIR, mu=0.4, total=5.0), OWN, False),
    "nearest": (PairSTDP(**PAIR, nearest=True), SHARED, True),
    "triplet": (
        TripletSTDP(a_plus_2=0.05, a_plus_3=0.1, a_minus_2=0.05, a_minus_3=0.02, w_max=2.0),
        OWN,
        False,
    ),
}

EACH = ("Diehl and Cook", "between", "triplet")
SLOW = {  # compiling takes 10 s and more
    "numpy": [name for name in CASES if name not in EACH],
    "cython": EACH,
    "cpp": EACH,
}


def shown(*, reset=False, **settings):
    """Short presentations, shown again if there are fewer than 5 spikes."""
    defaults = {"image_ms": 40.0, "rest_ms": 5.0, "min_spikes": 5}
    rates = {"rate_hz": 100.0, "raise_hz": 50.0, "max_rate_hz": 200.0}
    return PoissonPresentation(**(defaults | rates | settings), reset=reset)


def trained(rule, *, circuit=OWN, weights=WEIGHTS, images=IMAGES, stimulus, **settings):
    defaults = {"backend": "numpy", "seed": 0}
    network = SpikingNetwork(
        circuit, weights, plasticity=rule, stimulus=stimulus, **(defaults | settings)
    )
    return network.train(images, recording=EVERYTHING, progress=False)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        *(("numpy", name) for name in EACH),
        *(
            pytest.param(backend, name, marks=pytest.mark.slow)
            for backend, names in SLOW.items()
            for name in names
        ),
    ],
)
def test_weights_follow_the_rule_spike_by_spike(name, backend):
    rule, circuit, reset = CASES[name]
    stimulus = shown(reset=reset)
    traces = trained(rule, circuit=circuit, stimulus=stimulus, backend=backend)
    sent = trains(traces, "input")
    expected = follow(sent, traces.sizes["time"], circuit, WEIGHTS, stimulus, rule=rule)
    assert expected.exc == trains(traces, "exc")
    assert expected.inh == trains(traces, "inh")
    assert len(expected.exc) >= 10
    assert {now for now, _ in sent} & {now for now, _ in expected.exc}
    # measured: 6e-15
    np.testing.assert_allclose(traces["weights"], expected.weights, rtol=0, atol=1e-12)
    assert np.median(abs(expected.weights - WEIGHTS)) > 0.05
    assert 0 <= traces["weights"].min() <= traces["weights"].max() <= rule.w_max


# A spike of pixel 0 makes the cell fire once; pixel 1 is too weak to.
ONE = SpikingInhibition(tau_exc_ms=20.0, refractory_exc_ms=2.0, w_ie=0.0)
STRONG = np.array([[7.0, 3.0]])


def lags(traces, pixel):
    """Return post − pre [ms] of all pairs of spikes in the same presentation."""
    period = 90
    pairs = itertools.product(trains(traces, "input"), trains(traces, "exc"))
    return np.array(
        [
            0.5 * (post - pre)
            for (pre, which), (post, _) in pairs
            if which == pixel and pre // period == post // period
        ]
    )


PAIRED = {"tau_plus_ms": 8.0, "tau_minus_ms": 15.0, "w_max": 50.0}


def paired(rule):
    stimulus = shown(reset=True, min_spikes=0, rate_hz=150.0)
    images = np.ones((5, 2))
    return trained(rule, circuit=ONE, weights=STRONG, images=images, stimulus=stimulus)


def test_additive_pairs_add_up_by_their_lags():
    """ΔW = Σ a₊ e^(−s/τ₊) over lags s > 0, − Σ a₋ e^(s/τ₋) over s < 0, none at s = 0."""
    pair = paired(PairSTDP(a_plus=1e-3, a_minus=2e-3, **PAIRED))
    for pixel in (0, 1):
        s = lags(pair, pixel)
        assert (s > 0).sum() > 20
        assert (s < 0).sum() > 20
        potentiation = 1e-3 * np.exp(-s[s > 0] / 8).sum()
        depression = 2e-3 * np.exp(s[s < 0] / 15).sum()
        change = pair["weights"].values[0, pixel] - STRONG[0, pixel]
        assert change == pytest.approx(potentiation - depression, abs=1e-12)
    assert (lags(pair, 1) == 0).any()


@pytest.mark.slow
def test_triplets_without_triplet_terms_are_pairs():
    pair = paired(PairSTDP(a_plus=1e-3, a_minus=2e-3, **PAIRED))
    sizes = {"a_plus_2": 1e-3, "a_minus_2": 2e-3, "a_plus_3": 0.0, "a_minus_3": 0.0}
    triplet = paired(TripletSTDP(**sizes, **PAIRED))
    np.testing.assert_allclose(triplet["weights"], pair["weights"], rtol=0, atol=1e-12)


def alone(rule):
    """Yield pre and post spikes [ms] of pixel 1, and its change, image by image."""
    stimulus = shown(reset=True, min_spikes=0, rate_hz=50.0, rest_ms=0.0)
    network = SpikingNetwork(
        ONE, STRONG, plasticity=rule, stimulus=stimulus, backend="numpy"
    )
    recording = SpikeRecording(spikes=("input", "exc"), weights_every=1)
    traces = network.train(
        np.tile([1.0, 0.5], (60, 1)), recording=recording, progress=False
    )
    changes = np.diff(traces["weights_snapshots"].values[:, 0, 1])
    sent, fired = trains(traces, "input"), trains(traces, "exc")
    for image, change in enumerate(changes):
        pre = [0.5 * now for now, pixel in sent if pixel and now // 80 == image]
        yield pre, [0.5 * now for now, _ in fired if now // 80 == image], change


@pytest.mark.slow
def test_an_isolated_pair_changes_the_weight_by_the_window():
    rule, found = PairSTDP(a_plus=0.1, a_minus=0.2, tau_plus_ms=8.0, w_max=50.0), set()
    for pre, post, change in alone(rule):
        if len(pre) == len(post) == 1:
            s = post[0] - pre[0]
            window = 0.1 * np.exp(-s / 8) if s > 0 else -0.2 * np.exp(s / 20) * (s < 0)
            assert change == pytest.approx(window, abs=1e-12)
            found.add(np.sign(s))
    assert {-1, 1} <= found


@pytest.mark.slow
def test_isolated_triplets_of_diehl_and_cook():
    """A pair pre, post changes nothing; post, pre, post strengthens."""
    rule, found = DiehlCook(eta_pre=0.1, eta_post=0.2, w_max=50.0, total=None), set()
    for pre, post, change in alone(rule):
        if len(pre) != 1 or len(post) not in (1, 2) or pre[0] in post:
            continue
        before = [pre[0] - time for time in post if time < pre[0]]
        expected = -0.1 * np.exp(-before[-1] / 20) if before else 0.0
        if len(post) == 2 and pre[0] < post[1]:
            first, second = post[1] - pre[0], post[1] - post[0]
            expected += 0.2 * np.exp(-first / 20 - second / 40)
        assert change == pytest.approx(expected, abs=1e-12)
        found.add((len(before), len(post)))
    assert {(0, 1), (1, 1), (1, 2)} <= found


@pytest.mark.slow
@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_large_changes_stop_at_the_bounds(mu):
    rule = PairSTDP(a_plus=90.0, a_minus=90.0, mu=mu, w_max=2.0)
    weights = trained(rule, stimulus=shown(min_spikes=0))["weights"].values
    changed = weights != WEIGHTS
    assert changed.sum() >= 10
    assert set(weights[changed]) == {0.0, 2.0}


@pytest.mark.slow
def test_the_sum_of_weights_is_restored_before_an_image():
    rule = DiehlCook(eta_pre=0.0, eta_post=0.0, w_max=2.0, total=6.0)
    stimulus = shown(min_spikes=0, image_ms=5.0)
    weights = trained(rule, stimulus=stimulus)["weights"].values
    scaled = WEIGHTS * 6 / WEIGHTS.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights, scaled, rtol=1e-14)


class Hebb:
    """A rule of one's own: the trace of the sender strengthens, its spikes weaken."""

    pre_traces = "dmine/dt = -mine/tau_mine : 1"
    post_traces = ""
    at_pre = "mine += 1"
    at_post = ""
    on_pre = "W = clip(W - loss, 0, w_max)"
    on_post = "W = clip(W + gain*mine_pre, 0, w_max)"
    w_max, total = 50.0, None

    def __init__(self, gain=0.1):
        import brian2 as b2

        self.parameters = {"tau_mine": 8 * b2.ms, "gain": gain, "loss": 1e-3}


def test_a_rule_of_ones_own():
    """Its changes are sums over pairs and spikes: none comes near a bound."""
    learned = trained(Hebb(), stimulus=shown(min_spikes=0, image_ms=15.0))
    unit, time = learned["spike_unit"].values, learned["spikes"].values
    population = learned["spike_population"].values
    for post, pixel in np.ndindex(3, 6):
        sent = time[(population == "input") & (unit == pixel)]
        fired = time[(population == "exc") & (unit == post)]
        s = np.subtract.outer(fired, sent)
        expected = 0.1 * np.exp(-s[s > 0] / 8).sum() - 1e-3 * len(sent)
        change = learned["weights"].values[post, pixel] - WEIGHTS[post, pixel]
        assert change == pytest.approx(expected, abs=1e-12)


def test_a_rule_that_acts_at_spikes_of_the_sender_only():
    """It has no `on_post`, no traces, and no hash."""
    assert type(FADING).__hash__ is None
    learned = trained(FADING, stimulus=shown(min_spikes=0, image_ms=15.0))
    sent = learned["spike_unit"].values[learned["spike_population"].values == "input"]
    assert learned["counts"].sum() > 0
    expected = WEIGHTS - 0.01 * np.bincount(sent, minlength=6)
    np.testing.assert_allclose(learned["weights"], expected, rtol=0, atol=1e-12)
