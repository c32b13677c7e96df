"""Times: what divides what, labels that are found, how many steps there can be."""

import math

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    Gated,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    times,
)
from neurodyn.engine import execute, spec


def run(**settings):
    rng = np.random.default_rng(4)
    stimulus = {name: settings.pop(name, 20.0) for name in ("image_ms",)}
    return neurodyn.simulate(
        LateralInhibition(w_inh=0.5),
        rng.random((4, 6)),
        rng.random((4, 6)),
        backend="numpy",
        stimulus=Presentation(**stimulus),
        **settings,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1, (1, 10)), (1000 / 30, (100, 3)), (0.3333333333333333, (1, 3)), (8, (8, 1))],
)
def test_a_time_is_the_fraction_that_was_meant(value, expected):
    assert times.fraction(value).as_integer_ratio() == expected


def test_what_is_no_simple_fraction_stays_what_it_is():
    assert float(times.fraction(math.pi)) == math.pi


@pytest.mark.parametrize("step", [0.1, 0.3, 0.05, 1 / 3, 1000 / 30, 2.0])
def test_multiples_are_the_nearest_floats(step):
    """As of exact arithmetic, rounded once."""
    exact = times.fraction(step)
    expected = [float(n * exact) for n in range(2000)]
    np.testing.assert_array_equal(times.multiples(step, np.arange(2000)), expected)


def test_samples_are_found_by_their_time():
    recorded = run(recording=Recording(by_image=False, activity_ms=0.1), image_ms=10.0)
    for label in (0.3, 0.7, 1.1, 9.9):
        assert recorded["activity"].sel(time=label).sizes == {"unit": 4}
    np.testing.assert_array_equal(recorded["time"], [n / 10 for n in range(401)])


def test_a_sample_on_the_boundary_belongs_to_the_presentation_before():
    recorded = run(recording=Recording(by_image=False, activity_ms=0.1), image_ms=0.3)
    expected = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    np.testing.assert_array_equal(recorded["presentation"], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"image_ms": 1000 / 30},
        {"image_ms": 1000 / 60, "recording": Recording(activity_ms=None)},
        {
            "image_ms": 1000 / 30,
            "recording": Recording(by_image=False, activity_ms=1000 / 90),
        },
        {
            "image_ms": 10 * math.pi,
            "recording": Recording(by_image=False, activity_ms=math.pi),
        },
        {"recording": Recording(by_image=False, activity_ms=1 / 3)},
    ],
)
def test_the_default_step_divides_any_frame_rate(settings):
    settings = {"recording": Recording(by_image=False)} | settings
    dt_ms = run(**settings).attrs["dt_ms"]
    recording = settings["recording"]
    for length in (settings.get("image_ms", 20.0), recording.activity_ms or 1000 / 60):
        assert length / dt_ms == pytest.approx(round(length / dt_ms), rel=1e-12)
    assert 0.1 < dt_ms <= 0.5


@pytest.mark.parametrize("lengths", [(10.0, math.pi), (1.0, 2**0.5), (0.3, 0.7 + 1e-10)])
def test_times_without_a_common_part_are_refused(lengths):
    with pytest.raises(ValueError, match=r"no time step near 0\.5 ms divides all times"):
        times.common_step(0.5, *lengths)


def test_a_step_much_shorter_than_need_be_is_told_of():
    """3.333 ms, as 33.333 for 30 Hz, share a microsecond with samples of 1 ms."""
    with pytest.warns(UserWarning, match=r"0\.001 ms, 500 times shorter than this circuit"):
        run(image_ms=3.333, order=[0], recording=Recording(by_image=False))


@pytest.mark.parametrize("timing", [Gated(last_ms=0.25), Gated(last_ms=0.75)])
def test_a_window_is_a_whole_number_of_steps(timing):
    rule = KrotovHopfield(tau_l_ms=1e3, timing=timing)
    with pytest.raises(ValueError, match=r"last_ms is 0\.\d+ ms, not a whole number of"):
        run(plasticity=rule, dt_ms=0.5)


@pytest.mark.parametrize("last_ms", [0.25, 0.26, 1 / 3, 20.0])
def test_the_default_step_divides_the_window(last_ms):
    """As long as it is, so long is what is learned in it: a short window learns too."""
    rule = KrotovHopfield(h_star=0.5, tau_l_ms=1e3, timing=Gated(last_ms=last_ms))
    learned = run(plasticity=rule)
    moved = abs(learned["weights"].values - np.random.default_rng(4).random((8, 6))[4:])
    assert moved.max() > 0.1 * last_ms / 1e3


def test_a_window_longer_than_the_image_is_refused_at_the_door(monkeypatch):
    monkeypatch.setattr(execute, "chunks", None)  # nothing is built
    rule = KrotovHopfield(timing=Gated(last_ms=30.0))
    with pytest.raises(ValueError, match="last_ms is 30, but an image is shown for 20 ms"):
        run(plasticity=rule)


@pytest.mark.parametrize(
    "recording",
    [
        Recording(by_image=False, activity_ms=1e12),
        Recording(activity_ms=None, images_every=10**12),
        Recording(activity_ms=None, images_every=None, weights_every=10**12),
    ],
    ids=["activity", "images", "weights"],
)
def test_an_interval_longer_than_the_run_ends_with_it(recording):
    rule = KrotovHopfield(h_star=0.5, tau_l_ms=1e5, timing=Continuous())
    recorded = run(recording=recording, plasticity=rule)  # else for years
    expected = run(plasticity=rule)
    np.testing.assert_array_equal(recorded["weights"], expected["weights"])
    if "activity" in recorded:
        np.testing.assert_array_equal(recorded["time"], [0.0])
    assert recorded.sizes.get("image", 0) == (4 if recording.images_every == 1 else 0)
    assert recorded.sizes.get("snapshot", 0) == (1 if recording.weights_every else 0)


def check_parts(monkeypatch, most, **settings):
    whole = run(**settings)
    monkeypatch.setattr(times, "MOST_STEPS", most)
    parts = run(**settings)
    for name, variable in whole.variables.items():
        np.testing.assert_array_equal(parts[name], variable, err_msg=name)


EVERYTHING = Recording(by_image=False, activity_ms=0.5, norms=True, weights_every=1)
LEARNING = KrotovHopfield(h_star=0.5, tau_l_ms=1e3, timing=Continuous())
ORDER = [0, 3, 1, 1, 2, 0, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"plasticity": LEARNING, "recording": EVERYTHING},
        {"batch_size": 2},
    ],
    ids=["in turn", "side by side"],
)
def test_more_steps_than_can_be_counted_are_run_in_parts(settings, monkeypatch):
    """100 of 280 steps at a time; in memory, without a file."""
    check_parts(monkeypatch, 100, order=ORDER, dt_ms=0.5, **settings)


def test_a_sweep_of_more_steps_than_can_be_counted(monkeypatch):
    def swept():
        rng = np.random.default_rng(4)
        circuits = [LateralInhibition(w_inh=w, noise=0.1) for w in (0.5, 0.8)]
        stimulus = Presentation(image_ms=20.0, reset=False)
        settings = {"backend": "numpy", "dt_ms": 0.5, "stimulus": stimulus}
        return neurodyn.sweep(circuits, *rng.random((2, 4, 6)), **settings)

    whole = swept()
    monkeypatch.setattr(times, "MOST_STEPS", 100)
    parts = swept()
    np.testing.assert_array_equal(parts["activity"], whole["activity"])
    np.testing.assert_array_equal(parts["final_activity"], whole["final_activity"])


def test_a_presentation_with_more_steps_than_can_be_counted_is_refused():
    with pytest.raises(
        ValueError, match=r"a presentation of 1e\+09 ms has 2000000000 time"
    ):
        run(image_ms=1e9, dt_ms=0.5, recording=Recording(activity_ms=None))


def test_strides_that_never_meet_in_time_are_refused():
    recording = Recording(activity_ms=None, images_every=999_983, weights_every=1_000_003)
    order = np.zeros(20_000_000, dtype=int)
    with pytest.raises(ValueError, match="the strides of the recording meet after"):
        run(order=order, dt_ms=0.5, recording=recording, plasticity=LEARNING)


def test_two_epochs_of_mnist_are_cut_into_parts_of_countable_steps():
    """120,000 presentations of 20,000 steps: 2.4e9, more than 32 bits hold."""
    job = spec.validate(
        LateralInhibition(w_inh=0.5),
        np.ones((1, 2)),
        np.ones((500, 2)),
        order=np.zeros(120_000, dtype=int),
        stimulus=Presentation(),
        dt_ms=0.05,
        recording=Recording(activity_ms=None, images_every=10),
        plasticity=None,
        backend="numpy",
        batch_size=1,
        seed=0,
    )
    length = execute.chunk_length(job, in_memory=True)
    assert length * 20_000 <= times.MOST_STEPS
    assert length % 10 == 0
