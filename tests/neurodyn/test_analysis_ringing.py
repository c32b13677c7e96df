"""Frequencies and rates of decay, against the sinusoids that they are of."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn import analysis

FUNCTIONS = (
    analysis.power_spectrum,
    analysis.dominant_frequency,
    analysis.damping_rate,
    analysis.ringing_frequency,
)


def trace(function, *, duration=500.0, step=0.5):
    """(time), of a function of the time in seconds."""
    time = np.arange(0, duration, step)
    return xr.DataArray(function(time / 1000), dims="time", coords={"time": time})


def ringing(rate, frequency, phase=0.3, offset=0.0, **times):
    return trace(
        lambda t: offset + np.exp(-rate * t) * np.cos(2 * np.pi * frequency * t + phase),
        **times,
    )


def fitted(activity):
    return (
        float(analysis.damping_rate(activity)),
        float(analysis.ringing_frequency(activity)),
    )


def test_power_of_a_sinusoid_at_a_listed_frequency():
    power = analysis.power_spectrum(3 * ringing(0, 40.0, offset=7.0))
    np.testing.assert_allclose(power["frequency"], np.arange(0, 1001, 2), rtol=1e-12)
    assert power["frequency"].attrs["units"] == "Hz"
    np.testing.assert_allclose(power.isel(frequency=[19, 20, 21]), [9 / 16, 9 / 4, 9 / 16])
    assert float(power.isel(frequency=[*range(19), *range(22, 501)]).max()) < 1e-25


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    frequency=st.floats(8.0, 990.0),  # 4 periods to half the rate of sampling, less 5 steps
    phase=st.floats(0, 6.28),
    offset=st.floats(-100, 100),
)
def test_dominant_frequency_is_within_a_fiftieth_of_a_step(frequency, phase, offset):
    activity = ringing(0, frequency, phase, offset)  # 500 ms: steps of 2 Hz
    assert abs(float(analysis.dominant_frequency(activity)) - frequency) < 0.02 * 2


def test_refinement_gains_on_the_step_of_the_spectrum():
    activity = ringing(0, 41.0)  # midway between 40 and 42 Hz
    power = analysis.power_spectrum(activity)
    assert abs(float(power.idxmax("frequency")) - 41.0) == pytest.approx(1.0)
    assert float(analysis.dominant_frequency(activity)) == pytest.approx(41.0, abs=0.01)


def test_the_larger_of_two_sinusoids_dominates_in_each_unit():
    low, high = ringing(0, 30.0), ringing(0, 110.0)
    units = xr.concat([2 * low + high, low + 2 * high, 0 * low + 0.1], "unit")
    for activity in (units, units.transpose("time", "unit")):
        result = analysis.dominant_frequency(activity)
        assert result.dims == ("unit",)
        np.testing.assert_allclose(result, [30.0, 110.0, 0.0], atol=0.04)


def test_the_highest_frequency_is_not_refined():
    activity = trace(lambda t: np.where(np.arange(len(t)) % 2, 1.0, -1.0))
    assert float(analysis.dominant_frequency(activity)) == pytest.approx(1000)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    rate=st.floats(-20, 60),
    frequency=st.floats(2, 200),
    phase=st.floats(0, 6.28),
    offset=st.floats(-10, 10),
)
def test_a_sinusoid_that_decays_or_grows_is_fitted_exactly(rate, frequency, phase, offset):
    found = fitted(ringing(rate, frequency, phase, offset))
    assert found == pytest.approx((rate, frequency), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("step", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_fine_sampling_costs_few_digits(step, offset):
    activity = ringing(20.0, 30.0, offset=offset, duration=200, step=step)
    assert fitted(activity) == pytest.approx((20.0, 30.0), rel=1e-8)


@pytest.mark.parametrize("rate", [20.0, -20.0])
def test_one_exponential_does_not_ring(rate):
    activity = trace(lambda t: 7 - 2 * np.exp(-rate * t), duration=200)
    damping, frequency = fitted(activity)
    assert damping == pytest.approx(rate, rel=1e-9)
    assert frequency == 0


def test_of_two_exponentials_the_slower_counts():
    activity = trace(lambda t: 1 + np.exp(-20 * t) - 3 * np.exp(-90 * t), duration=200)
    damping, frequency = fitted(activity)
    assert damping == pytest.approx(20.0, rel=1e-9)
    assert frequency == 0


def test_single_precision_is_fitted_to_its_digits():
    damped = ringing(20.0, 30.0, duration=100, step=1.0).astype(np.float32)
    assert fitted(damped) == pytest.approx((20.0, 30.0), rel=1e-3)
    single = trace(lambda t: 7 + np.exp(-20 * t)).astype(np.float32)
    assert fitted(single) == pytest.approx((20.0, 0.0), rel=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.1, -7.0])
def test_a_constant_neither_decays_nor_rings(level):
    activity = trace(lambda t: np.full(len(t), level))
    damping, frequency = fitted(activity)
    assert np.isnan(damping)  # nothing decays
    assert frequency == 0
    assert analysis.dominant_frequency(activity) == 0


def test_what_is_over_within_a_sample_decays_at_once():
    activity = trace(lambda t: np.array([3.0, 1.0, 0.0, 0.0, 0.0, 0.0]), duration=3.0)
    assert fitted(activity) == (np.inf, 0)
    later = activity[1:].assign_coords(time=activity["time"][:-1].values)
    np.testing.assert_equal(fitted(later), (np.nan, 0))  # nothing left to fit


def test_a_sign_that_turns_with_each_sample_rings_at_half_the_rate_of_sampling():
    activity = trace(lambda t: (-1.0) ** np.arange(len(t)) * np.exp(-30 * t))
    assert fitted(activity) == pytest.approx((30.0, 1000.0), rel=1e-9)


def test_each_unit_of_each_trial_has_its_own():
    units = xr.concat([ringing(20.0, 30.0), ringing(-3.0, 50.0)], "unit")
    activity = xr.concat([units, 5 - units], "trial").transpose("time", "trial", "unit")
    damping, frequency = (
        analysis.damping_rate(activity),
        analysis.ringing_frequency(activity),
    )
    assert damping.dims == frequency.dims == ("trial", "unit")
    np.testing.assert_allclose(damping, [[20.0, -3.0]] * 2, rtol=1e-9)
    np.testing.assert_allclose(frequency, [[30.0, 50.0]] * 2, rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "units"), list(zip(FUNCTIONS, ("1", "Hz", "1/s", "Hz"), strict=True))
)
def test_results_say_what_they_are(function, units):
    result = function(ringing(1.0, 20.0))
    assert result.name == function.__name__
    assert result.attrs["units"] == units
    assert result.attrs["long_name"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_finite_uniform_samples_will_do(function):
    good = ringing(1.0, 20.0, duration=50)
    for bad, message in (
        (good.rename(time="image"), "time is needed too"),
        (good.drop_vars("time"), "no coordinate 'time' in ms"),
        (good.assign_coords(time=("time", good["time"].data, {"units": "s"})), "in ms"),
        (good.isel(time=slice(0, 3)), "has 3 samples: at least [45] are needed"),
        (
            good.isel(time=[0, 1, 2, 3, 4, 6]),
            r"samples are 0.5 to 1 ms apart: they must be",
        ),
        (good.isel(time=[0, 1, 2, 2, 3, 4]), "samples are 0 to 0.5 ms apart"),
        (good.where(good["time"] != 1), "holds values that are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            function(bad)


def test_uniform_up_to_rounding_is_uniform():
    activity = ringing(20.0, 30.0)
    time = np.cumsum(np.full(len(activity), 0.1))  # 0.30000000000000004 and the like
    assert fitted(activity.assign_coords(time=time)) == pytest.approx((100.0, 150.0))
