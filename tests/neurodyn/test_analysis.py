"""What is read off traces, on cases computed by hand."""

import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis


def at_the_end(values, **coords):
    return xr.DataArray(values, dims=("image", "unit"), coords=coords)


def trace(values, presentation, step_ms=2.0):
    """(time, unit), sampled every `step_ms`."""
    values = np.array(values, dtype=float)
    time = step_ms * np.arange(len(values))
    coords = {"time": time, "presentation": ("time", presentation)}
    return xr.DataArray(values, dims=("time", "unit"), coords=coords)


ENDS = at_the_end(
    [
        [0.1, 2.0, -1.0],  # the second is largest, two are active
        [-0.5, -0.1, -2.0],  # nobody is active
        [0.0, 0.0, 0.0],  # 0 is not active
        [3.0, 1.0, 3.0],  # a tie: the first is named
    ]
)


def test_winners():
    np.testing.assert_array_equal(analysis.winners(ENDS), [1, -1, -1, 0])


def test_winners_are_named_by_their_coordinate():
    named = ENDS.assign_coords(unit=[10, 20, 30])
    result = analysis.winners(named)
    np.testing.assert_array_equal(result, [20, -1, -1, 10])
    assert "unit" not in result.coords


def test_winners_at_each_time_keep_the_time_axis():
    result = analysis.winners(trace([[0, 0], [1, 2], [3, 2]], [0, 0, 1]))
    assert result.dims == ("time",)
    np.testing.assert_array_equal(result, [-1, 1, 0])
    np.testing.assert_array_equal(result["time"], [0, 2, 4])
    np.testing.assert_array_equal(result["presentation"], [0, 0, 1])


def test_active_units():
    np.testing.assert_array_equal(analysis.active_units(ENDS), [2, 0, 0, 3])


def test_the_order_of_dims_does_not_matter():
    turned = ENDS.transpose("unit", "image")
    np.testing.assert_array_equal(analysis.winners(turned), [1, -1, -1, 0])
    np.testing.assert_array_equal(analysis.active_units(turned), [2, 0, 0, 3])


def test_settling_time_of_each_presentation():
    """Tolerance 1 % of 2.0, the largest last value: 0.02, for every unit."""
    values = [
        *([0.0, 0.0], [1.0, -0.5], [1.97, -1.0], [1.99, -1.0], [2.0, -1.0]),
        *([0.0, 0.0], [2.0, 0.5], [2.0, 0.05], [2.0, 0.015], [2.0, 0.0]),
    ]
    result = analysis.settling_time(trace(values, [0] * 5 + [1] * 5))
    assert result.dims == ("image",)
    np.testing.assert_array_equal(result["image"], [0, 1])
    # The second starts with the last sample of the first, 2 ms before its own first.
    np.testing.assert_array_equal(result, [6.0, 8.0])


def test_settling_time_depends_on_the_tolerance():
    activity = trace([[0.0], [0.5], [0.8], [0.95], [1.0]], [0] * 5)
    for tolerance, expected in ((0.6, 2.0), (0.25, 4.0), (0.1, 6.0), (0.01, 8.0)):
        assert analysis.settling_time(activity, tolerance=tolerance) == expected


def test_the_tolerance_is_relative_to_the_largest_size_of_a_last_value():
    """Here that of a unit below 0: 1 % of 2.0, so 0.985 has settled at 1.0."""
    activity = trace([[0.0, 0.0], [0.985, -2.0], [1.0, -2.0]], [0] * 3)
    assert analysis.settling_time(activity) == 2.0


def test_a_unit_that_leaves_again_had_not_settled():
    activity = trace([[0.0], [1.0], [0.5], [1.0], [1.0]], [0] * 5)
    assert analysis.settling_time(activity) == 6.0


def test_what_does_not_move_has_settled_by_its_first_sample():
    np.testing.assert_array_equal(
        analysis.settling_time(
            trace([[1.0, -1.0]] * 3 + [[0.0, 0.0]] * 2, [0, 0, 0, 1, 1])
        ),
        [0.0, 2.0],
    )


def test_settling_time_of_a_decay_is_that_of_its_exponential():
    """1 − exp(−t/τ) is within 1 % of its end after τ ln 100 = 4.6 τ."""
    time = np.arange(0, 200, 0.5)
    activity = trace(1 - np.exp(-time / 10)[:, None], [0] * len(time), step_ms=0.5)
    assert analysis.settling_time(activity) == pytest.approx(10 * np.log(100), abs=0.5)


@pytest.mark.parametrize(
    ("result", "name", "units"),
    [
        (analysis.winners(ENDS), "winners", "1"),
        (analysis.active_units(ENDS), "active_units", "1"),
        (analysis.settling_time(trace([[1.0]] * 2, [0, 0])), "settling_time", "ms"),
    ],
)
def test_results_say_what_they_are(result, name, units):
    assert result.name == name
    assert result.attrs["units"] == units
    assert result.attrs["long_name"]


def test_the_input_keeps_its_name_and_attributes():
    activity = ENDS.rename("activity").assign_attrs(units="1")
    analysis.winners(activity)
    analysis.active_units(activity)
    assert (activity.name, activity.attrs) == ("activity", {"units": "1"})


@pytest.mark.parametrize("function", [analysis.winners, analysis.active_units])
def test_a_missing_unit_dim_is_named(function):
    with pytest.raises(ValueError, match=r"dims \('image',\), unit is needed too"):
        function(ENDS.isel(unit=0))


def test_settling_time_needs_time_and_unit():
    for wrong in (ENDS, ENDS.isel(unit=0), trace([[1.0]] * 2, [0, 0]).expand_dims("trial")):
        with pytest.raises(ValueError, match="time and unit are needed, and no other"):
            analysis.settling_time(wrong)


def test_settling_time_needs_to_know_the_presentations():
    activity = trace([[1.0]] * 2, [0, 0]).drop_vars("presentation")
    with pytest.raises(ValueError, match="no coordinate 'presentation': give a trace of"):
        analysis.settling_time(activity)


@pytest.mark.parametrize("tolerance", [0.0, -0.1, np.nan])
def test_settling_time_needs_a_positive_tolerance(tolerance):
    with pytest.raises(ValueError, match=rf"tolerance is {tolerance}: it must be positive"):
        analysis.settling_time(trace([[1.0]] * 2, [0, 0]), tolerance=tolerance)
