"""The schedule of presentations, and the time steps that fit it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn import Presentation
from neurodyn.times import is_multiple

LENGTHS_US = st.integers(1, 2_000_000)


def test_a_period_is_rest_and_image():
    assert Presentation(image_ms=300.0, rest_ms=50.0).period_ms == 350.0


def test_steps_of_rest_and_of_the_whole():
    assert Presentation(image_ms=300.0, rest_ms=50.0).steps(0.5) == (100, 700)
    assert Presentation(image_ms=0.3).steps(0.1) == (0, 3)  # 0.3 / 0.1 = 2.9999999999999996


@pytest.mark.parametrize(("name", "dt_ms"), [("image_ms", 0.7), ("rest_ms", 2.0)])
def test_a_step_that_does_not_divide_is_refused(name, dt_ms):
    stimulus = Presentation(image_ms=10.0, rest_ms=7.0)
    message = rf"{name} is \d+ ms, not a whole number of time steps of {dt_ms:g} ms"
    with pytest.raises(ValueError, match=message):
        stimulus.steps(dt_ms)


@given(image_us=LENGTHS_US, rest_us=st.integers(0, 10**6), bound_us=st.floats(0.5, 5000))
@settings(derandomize=True, deadline=None)
def test_the_fitting_step_divides_and_keeps_the_bound(image_us, rest_us, bound_us):
    stimulus = Presentation(image_ms=image_us / 1000, rest_ms=rest_us / 1000)
    dt_ms = stimulus.fitting_step(bound_us / 1000)
    assert 0 < dt_ms <= bound_us / 1000 * (1 + 1e-12)
    rest, period = stimulus.steps(dt_ms)
    assert rest * dt_ms == pytest.approx(rest_us / 1000, rel=1e-9, abs=1e-9)
    assert period * dt_ms == pytest.approx(stimulus.period_ms, rel=1e-9, abs=1e-9)


@given(image_us=LENGTHS_US, bound_us=st.integers(1, 5000))
@settings(derandomize=True, deadline=None)
def test_no_larger_step_fits(image_us, bound_us):
    dt_ms = Presentation(image_ms=image_us / 1000).fitting_step(bound_us / 1000)
    one_step_fewer = round(image_us / 1000 / dt_ms) - 1
    if one_step_fewer:
        assert image_us / one_step_fewer > bound_us


def test_the_fitting_step_divides_the_sampling_interval_too():
    stimulus = Presentation(image_ms=300.0, rest_ms=100.0)
    assert stimulus.fitting_step(0.8) == pytest.approx(100 / 125)
    assert stimulus.fitting_step(0.8, 1.0) == 0.5


@pytest.mark.parametrize(
    ("length", "step", "expected"),
    [(0.3, 0.1, True), (0.0, 0.1, True), (0.35, 0.1, False), (0.05, 0.1, False)],
)
def test_is_multiple(length, step, expected):
    assert is_multiple(length, step) is expected


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_an_image_must_be_shown_for_a_positive_time(value):
    with pytest.raises(
        ValueError, match=rf"image_ms is {value}: the time an image is shown"
    ):
        Presentation(image_ms=value)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_a_rest_must_not_be_negative(value):
    with pytest.raises(ValueError, match=rf"rest_ms is {value}: the rest must be 0 or"):
        Presentation(rest_ms=value)


def test_defaults_are_one_image_of_a_second_after_another():
    stimulus = Presentation()
    assert (stimulus.image_ms, stimulus.rest_ms, stimulus.reset) == (1000.0, 0.0, True)
    assert np.isclose(stimulus.fitting_step(0.5), 0.5)
