"""Spikes of the input: their distribution, their seeds, and images shown again."""

import itertools

import numpy as np
import pytest
from scipy import stats

from neurodyn import (
    PoissonPresentation,
    SpikeRecording,
    SpikingInhibition,
    SpikingNetwork,
    spiking,
    stimulus,
)
from neurodyn.engine import poisson, random
from tests.neurodyn.spiking_reference import trains

SPIKES = SpikeRecording(spikes=("input", "exc"))
CHANCE = 0.1  # 200 Hz in steps of 0.5 ms


def by_hand(image, steps, chance, *, phase, number, attempt=0, seed=0):
    """Return the spikes (step, pixel) of an image: silences by the inverse of 1 − (1−p)^n.

    The chance of n or more silent steps is (1−p)^n, so n is the largest with
    (1−p)^n ≥ u.
    """
    found = []
    for pixel, value in enumerate(image):
        now, draw = -1, 0
        while value:
            place = poisson.phase_number(phase) + attempt, pixel, number, draw
            (u,) = poisson.uniform_numbers(*random.seeds(seed).values(), *place)
            silent = 0
            while (1 - value * chance) ** (silent + 1) >= u and silent <= steps:
                silent += 1
            now, draw = now + 1 + silent, draw + 1
            if now >= steps:
                break
            found.append((now, pixel))
    return sorted(found)


def network(weights, *, seed=0, circuit=None, **settings):
    rates = {"rate_hz": 200.0, "raise_hz": 0.0, "max_rate_hz": 200.0, "min_spikes": 0}
    given = rates | {"image_ms": 50.0, "rest_ms": 5.0} | settings
    return SpikingNetwork(
        circuit or SpikingInhibition(tau_exc_ms=20.0),
        weights,
        stimulus=PoissonPresentation(**given),
        backend="numpy",
        seed=seed,
    )


def in_steps(intervals, num_steps):
    """Return the chi-square probability that intervals are geometric from 1 step on."""
    longest = 40
    counted = np.bincount(np.minimum(intervals, longest), minlength=longest + 1)[1:]
    share = CHANCE * (1 - CHANCE) ** np.arange(longest)
    share[-1] = (1 - CHANCE) ** (longest - 1)
    return stats.chisquare(counted, share * counted.sum()).pvalue


@pytest.fixture(scope="module")
def long_trains():
    """Spikes (step, pixel) of 300 pixels of value 1 and one dark one, for 400 ms."""
    weights = np.zeros((1, 301))
    weights[0, 0] = 50.0  # one spike is enough, or a warning tells that there was none
    built = network(weights, image_ms=400.0)
    image = np.append(np.ones(300), 0.0)[None]
    return trains(built.observe(image, recording=SPIKES, progress=False), "input")


def test_rates_and_variability_are_those_of_the_geometric_distribution(long_trains):
    counts = np.bincount([pixel for _, pixel in long_trains], minlength=301)
    assert counts[300] == 0  # a pixel of value 0 never fires
    error = np.sqrt(800 * CHANCE * (1 - CHANCE) / 300)
    assert counts[:300].mean() == pytest.approx(800 * CHANCE, abs=3 * error)
    # Counts of a Bernoulli process are binomial. sd of a variance: sqrt(2/300)
    expected = 800 * CHANCE * (1 - CHANCE)
    assert counts[:300].var() == pytest.approx(expected, rel=3 * np.sqrt(2 / 300))


def test_intervals_are_geometric_and_independent(long_trains):
    steps = np.array([now for now, _ in sorted(long_trains, key=lambda at: at[::-1])])
    pixels = np.sort([pixel for _, pixel in long_trains])
    intervals = np.diff(steps)[pixels[1:] == pixels[:-1]]
    assert intervals.min() == 1
    assert in_steps(intervals, 800) > 0.01
    # sqrt(1 - p); the standard error of the CV of n geometric numbers is near 1/sqrt(n)
    cv = intervals.std() / intervals.mean()
    assert cv == pytest.approx(np.sqrt(1 - CHANCE), abs=3 / np.sqrt(len(intervals)))
    along = np.corrcoef(intervals[1:], intervals[:-1])[0, 1]
    assert abs(along) < 4 / np.sqrt(len(intervals))


def test_the_chance_of_a_spike_is_the_same_in_each_step(long_trains):
    counts = np.bincount([now for now, _ in long_trains], minlength=810)
    assert (counts[:10] == 0).all()  # the rest comes first
    sd = np.sqrt(300 * CHANCE * (1 - CHANCE))
    assert abs(counts[10] - 300 * CHANCE) < 3 * sd
    assert ((counts[10:] - 300 * CHANCE) ** 2).mean() / sd**2 == pytest.approx(1, abs=0.2)
    assert abs(counts[10:] - 300 * CHANCE).max() < 5 * sd
    halves = counts[10:410].sum(), counts[410:].sum()
    assert halves[0] - halves[1] == pytest.approx(0, abs=3 * sd * np.sqrt(800))


def test_uniform_numbers_are_uniform():
    numbers = poisson.uniform_numbers(1, 2, 16, np.arange(500)[:, None], 3, np.arange(100))
    assert 0 < numbers.min() < numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("argument", range(6))
def test_every_argument_counts(argument):
    given = [1, 2, 16, 4, 5, 6]
    others = given.copy()
    others[argument] += 1
    assert poisson.uniform_numbers(*given) != poisson.uniform_numbers(*others)


def test_phases_and_attempts_have_numbers_of_their_own():
    """At up to 60 attempts. Noise has those of both kinds of cells in each phase."""
    phases = ("train", "observe", "test")
    used = [poisson.phase_number(phase) + n for phase in phases for n in range(61)]
    used += [
        poisson.population_number(*of) for of in itertools.product(phases, ("exc", "inh"))
    ]
    assert len({*used}) == 3 * 61 + 6


PIXELS = np.array([[1.0, 0.5, 0.0, 0.3], [0.2, 0.9, 1.0, 0.0], [0.6, 0.6, 0.6, 0.6]])


@pytest.mark.parametrize("seed", [2**40 + 5, pytest.param(0, marks=pytest.mark.slow)])
def test_spikes_are_those_of_the_uniform_numbers(seed):
    """In each phase: of each image in its order, by its number among all."""
    built = network(np.full((1, 4), 9.0), seed=seed, image_ms=30.0)
    found = {}
    order = [2, 0, 0]
    for phase, first in (("train", 0), ("observe", 0), ("train", 3), ("test", 0)):
        show = getattr(built, phase)
        traces = show(PIXELS, order=order, recording=SPIKES, progress=False)
        expected = [
            (number * 70 + 10 + step, pixel)
            for number, image in enumerate(order)
            for step, pixel in by_hand(
                PIXELS[image], 60, CHANCE, phase=phase, number=first + number, seed=seed
            )
        ]
        assert trains(traces, "input") == expected
        found[phase, first] = {(step, pixel) for step, pixel in expected}
    for one, other in itertools.combinations(found.values(), 2):
        assert len(one & other) < 0.3 * len(one)


def expected_shows(exc, num_images, *, enough, last):
    """Return (image, attempt) of each presentation, from the spikes of E cells."""
    found, image, attempt = [], 0, 0
    for slot in itertools.count():
        if image == num_images:
            return found
        found.append((image, attempt))
        fired = sum(now // 110 == slot for now, _ in exc)
        finished = fired >= enough or attempt == last
        image, attempt = (image + 1, 0) if finished else (image, attempt + 1)


RAISED = {"rate_hz": 50.0, "raise_hz": 40.0, "max_rate_hz": 175.0}  # at most 3 times


def test_an_image_is_shown_again_at_a_higher_rate_until_it_causes_enough_spikes():
    """A dark one up to the highest rate, with a warning that names it."""
    built = network(np.array([[4.0, 1.0, 3.0, 2.0]]), **RAISED, min_spikes=3)
    bank, order = np.vstack([PIXELS, np.zeros(4)]), [0, 1, 3, 0, 1]
    message = r"1 of 5 .* highest rate \(170 Hz\): numbers 2. Raise the weights or rates"
    with pytest.warns(UserWarning, match=message) as caught:
        traces = built.observe(bank, order=order, recording=SPIKES, progress=False)
    assert caught[0].filename.endswith("test_poisson.py")
    exc, sent = trains(traces, "exc"), trains(traces, "input")
    shows = expected_shows(exc, 5, enough=3, last=3)
    expected = []
    for slot, (number, attempt) in enumerate(shows):
        spikes = by_hand(
            bank[order[number]],
            100,
            (50 + 40 * attempt) * 0.5e-3,
            phase="observe",
            number=number,
            attempt=attempt,
        )
        expected += [(slot * 110 + 10 + step, pixel) for step, pixel in spikes]
    assert sent == expected
    attempts = [max(n for image, n in shows if image == number) for number in range(5)]
    assert len({*attempts}) >= 3
    assert attempts[2] == 3
    np.testing.assert_array_equal(traces["attempts"], attempts)
    # Counted are the spikes of the last presentation of each image.
    last = [shows.index((number, attempts[number])) for number in range(5)]
    for name, events in (("input_spikes", sent), ("counts", exc)):
        by_slot = np.bincount([now // 110 for now, _ in events], minlength=len(shows))
        np.testing.assert_array_equal(traces[name].values.ravel(), by_slot[last])


def test_raises_stop_at_the_highest_rate():
    """From 50 Hz by 40 Hz: 90, 130, 170, but not 210."""
    assert PoissonPresentation(**RAISED).last_attempt == 3
    assert PoissonPresentation().last_attempt == 4  # 63.75 to 191.25 Hz by 31.875
    assert PoissonPresentation(raise_hz=0.0).last_attempt == 0


def test_refuses_too_many_rises():
    with pytest.raises(
        ValueError,
        match=r"from rate_hz = 63.75 to max_rate_hz = 191.25 there are 1275 rises of 0.1 "
        "Hz: at most 60 are possible, so give a larger raise_hz",
    ):
        PoissonPresentation(raise_hz=0.1)
    with pytest.raises(ValueError, match=r"there are 1e\+09 rises of 1e-300 Hz: at"):
        PoissonPresentation(raise_hz=1e-300)


def test_random_weights_and_epochs():
    weights = spiking.random_weights(50, 40, largest=0.3, seed=2)
    assert weights.shape == (50, 40)
    assert 0.003 <= weights.min() < 0.0035 < 0.3025 < weights.max() < 0.303
    assert weights.mean() == pytest.approx(0.153, abs=0.006)
    np.testing.assert_array_equal(weights, spiking.random_weights(50, 40, seed=2))
    assert (weights != spiking.random_weights(50, 40, seed=3)).all()
    assert len(stimulus.epochs(5, 2, seed=0)) == 10
