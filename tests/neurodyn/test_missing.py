"""Missing, infinite and empty values, and types, in every analysis and what draws it."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis, plots

NAN = np.nan


@pytest.fixture
def ax():
    _, axes = plt.subplots()
    yield axes
    plt.close("all")


def traces():
    """Activity (time, unit) of two presentations of 6 samples, of 3 units."""
    time = np.arange(12.0)
    decay = np.exp(-np.r_[time[:6], time[:6]] / 2)
    values = np.stack([1 - decay, 0.5 + 0.2 * decay, -decay], axis=1)
    presentation = ("time", np.repeat([0, 1], 6))
    coords = {"time": time, "unit": [10, 11, 12], "presentation": presentation}
    return xr.DataArray(values, dims=("time", "unit"), coords=coords)


def ends():
    """Activity (image, unit)."""
    values = [[1.0, -1.0, 0.5], [0.2, -2.0, 0.5], [0.9, -1.0, 0.1], [0.1, -1.0, 0.2]]
    return xr.DataArray(values, dims=("image", "unit"), coords={"unit": [10, 11, 12]})


def weights():
    """Weights (unit, pixel)."""
    values = [[3.0, -4.0], [1.0, 0.0], [0.5, 2.0]]
    return xr.DataArray(values, dims=("unit", "pixel"), coords={"unit": [10, 11, 12]})


LABELS = xr.DataArray([0, 1, 0, 1], dims="image")


def selectivity(activity):
    return analysis.selectivity(activity, LABELS)


def violations(array):
    return analysis.sign_violations(array, sign=1)


def spoilt(array, value=NAN, **where):
    """A copy with one value, or one row, replaced."""
    copy = array.copy(deep=True)
    copy[where] = value
    return copy


def assert_only_missing(result, complete, **where):
    """NaN there and nowhere else, and otherwise as without the missing value."""
    expected = complete.astype(float).copy(deep=True)
    expected[where] = NAN
    np.testing.assert_array_equal(result, expected)


BY_TIME = [
    analysis.winners,
    analysis.active_units,
    analysis.population_rate,
]


@pytest.mark.parametrize("function", BY_TIME)
def test_one_missing_value_is_missing_at_its_time(function):
    complete = function(traces())
    result = function(spoilt(traces(), time=4, unit=2))  # not the winner's, but who knows
    assert_only_missing(result, complete, time=4)
    assert result.attrs == complete.attrs
    assert function(traces()).dtype == complete.dtype


@pytest.mark.parametrize("function", BY_TIME)
@pytest.mark.parametrize("where", [{"time": 4}, {"unit": 1}, {}])
def test_all_values_of_a_time_or_unit_may_be_missing(function, where):
    result = function(spoilt(traces(), **where))
    if "time" in where:
        assert_only_missing(result, function(traces()), time=4)
    else:
        assert np.isnan(result).all()


def test_nobody_active_is_not_the_same_as_missing():
    silent = spoilt(-abs(traces()), time=0)
    np.testing.assert_array_equal(analysis.winners(silent)[:2], [NAN, -1])
    np.testing.assert_array_equal(analysis.active_units(silent)[:2], [NAN, 0])
    assert analysis.winners(-abs(traces())).dtype.kind == "i"


def test_infinite_activity_wins_and_is_active():
    infinite = spoilt(traces(), np.inf, time=4, unit=2)
    assert analysis.winners(infinite)[4] == 12
    assert analysis.active_units(infinite)[4] == 3
    assert analysis.population_rate(infinite)[4] == np.inf
    negative = spoilt(traces(), -np.inf, time=4, unit=2)
    np.testing.assert_array_equal(analysis.winners(negative), analysis.winners(traces()))


@pytest.mark.parametrize("value", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize(
    "where", [{"time": 8, "unit": 2}, {"time": 11}, {"time": slice(6, 12)}]
)
def test_settling_time_is_that_of_complete_presentations(value, where):
    result = analysis.settling_time(spoilt(traces(), value, **where))
    assert_only_missing(result, analysis.settling_time(traces()), image=1)


def test_settling_time_without_any_value():
    result = analysis.settling_time(spoilt(traces()))
    np.testing.assert_array_equal(result, [NAN, NAN])


@pytest.mark.parametrize("value", [NAN, np.inf])
def test_selectivity_of_a_unit_with_a_missing_image(value):
    complete = selectivity(ends())
    result = selectivity(spoilt(ends(), value, image=2, unit=0))
    assert_only_missing(result, complete, unit=0)
    assert_only_missing(result["preferred"], complete["preferred"], unit=0)
    np.testing.assert_array_equal(complete["preferred"], [0, -1, 1])
    assert complete["preferred"].dtype.kind == "i"


def test_selectivity_without_any_value():
    for where in ({"image": 1}, {}):
        result = selectivity(spoilt(ends(), **where))
        assert np.isnan(result).all()
        assert np.isnan(result["preferred"]).all()


def test_negative_infinity_is_silence():
    result = selectivity(spoilt(ends(), -np.inf, image=0, unit=1))
    np.testing.assert_array_equal(result, selectivity(ends()))


def test_weights():
    missing = spoilt(weights(), unit=1, pixel=0)
    norms = analysis.weight_norms(weights())
    assert_only_missing(analysis.weight_norms(missing), norms, unit=1)
    assert analysis.weight_norms(spoilt(weights(), np.inf, unit=1))[1] == np.inf
    assert np.isnan(violations(missing))
    history = xr.concat([weights(), missing], "image")
    np.testing.assert_array_equal(violations(history), [1, NAN])
    columns = xr.DataArray([0, 1], dims="pixel")
    assert np.isnan(analysis.sign_violations(missing, sign=columns))
    assert violations(spoilt(weights(), -np.inf, unit=1)) == 3
    assert violations(weights()).dtype.kind == "i"


WHOLE = [
    (analysis.power_spectrum, traces),
    (analysis.dominant_frequency, traces),
    (analysis.damping_rate, traces),
    (analysis.ringing_frequency, traces),
    (analysis.participation_ratio, traces),
    (analysis.explained_variance, traces),
    (lambda array: analysis.receptive_field_similarity(weights(), array), weights),
    (lambda array: analysis.receptive_field_similarity(array, weights()), weights),
    (lambda array: analysis.e_i_balance(array, abs(traces())), lambda: abs(traces())),
    (lambda array: analysis.e_i_balance(abs(traces()), array), lambda: abs(traces())),
]


@pytest.mark.parametrize(("function", "make"), WHOLE)
@pytest.mark.parametrize("value", [NAN, np.inf])
def test_what_needs_the_whole_array_says_how_much_is_missing(function, make, value):
    array = make()
    function(array)
    with pytest.raises(ValueError, match=rf"\(1 of {array.size} .*NaN or infinite"):
        function(spoilt(array, value, **dict.fromkeys(map(str, array.dims), 1)))
    with pytest.raises(ValueError, match=rf"\({array.size} of {array.size} "):
        function(spoilt(array, value))


def test_what_does_not_exist_is_missing():
    constant = traces() * 0 + 0.3
    assert np.isnan(analysis.damping_rate(constant)).all()
    assert (analysis.ringing_frequency(constant) == 0).all()
    assert (analysis.dominant_frequency(constant) == 0).all()
    varied = analysis.damping_rate(xr.where(traces().unit == 11, 0.3, traces())[:6])
    np.testing.assert_array_equal(np.isnan(varied), [False, True, False])


EMPTY = [
    (analysis.winners, traces, "unit"),
    (analysis.active_units, traces, "unit"),
    (analysis.population_rate, traces, "unit"),
    (analysis.settling_time, traces, "time"),
    (analysis.settling_time, traces, "unit"),
    (analysis.participation_ratio, traces, "time"),
    (analysis.explained_variance, traces, "unit"),
    (selectivity, ends, "image"),
    (selectivity, ends, "unit"),
    (analysis.power_spectrum, traces, "time"),
    (analysis.damping_rate, traces, "time"),
    (analysis.weight_norms, weights, "pixel"),
    (lambda array: analysis.receptive_field_similarity(array, array), weights, "unit"),
    (lambda array: analysis.receptive_field_similarity(array, array), weights, "pixel"),
]


@pytest.mark.parametrize(("function", "make", "dim"), EMPTY)
def test_an_empty_dim_is_named(function, make, dim):
    with pytest.raises(ValueError, match=f"no values along .*{dim}"):
        function(make().isel({dim: slice(0)}))


def test_no_times_or_images_give_no_results():
    assert analysis.winners(traces()[:0]).shape == (0,)
    assert analysis.active_units(traces()[:0]).shape == (0,)
    assert analysis.e_i_balance(traces()[:0], traces()[:0]).shape == (0, 3)
    assert violations(weights()[:0]) == 0


INTEGERS = [
    (analysis.winners, traces),
    (analysis.active_units, traces),
    (analysis.population_rate, traces),
    (analysis.settling_time, traces),
    (analysis.power_spectrum, traces),
    (analysis.dominant_frequency, traces),
    (analysis.damping_rate, traces),
    (analysis.ringing_frequency, traces),
    (analysis.participation_ratio, traces),
    (analysis.explained_variance, traces),
    (selectivity, ends),
    (analysis.weight_norms, weights),
    (violations, weights),
    (lambda array: analysis.sign_violations(array, sign=-1), weights),
    (lambda array: analysis.receptive_field_similarity(array, weights()), weights),
    (lambda array: analysis.e_i_balance(array, array[::-1].data + 0 * array), traces),
]


@pytest.mark.parametrize(("function", "make"), INTEGERS)
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, bool])
def test_integers_count_as_floats(function, make, kind):
    levels = (100 * abs(make())).round()
    array = (levels > 50 if kind is bool else levels).astype(kind)
    xr.testing.assert_allclose(
        function(array), function(array.astype(float)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("function", "make"), INTEGERS[:-1])
def test_what_is_not_a_real_number_is_refused(function, make):
    for array in (make() * 1j, make().astype(object), make().astype(str)):
        with pytest.raises(ValueError, match="real numbers are needed"):
            function(array)


def test_plots_leave_out_what_is_missing(ax):
    missing = spoilt(traces(), time=4)
    plots.winners(analysis.winners(missing), ax)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), analysis.winners(missing).where(lambda w: w != -1)
    )
    ax.clear()
    plots.active_units(analysis.active_units(missing), ax)
    assert sum(bar.get_height() for bar in ax.patches) == 11
    assert "without 1 missing" in ax.get_legend().get_texts()[0].get_text()
    ax.clear()
    times = analysis.settling_time(spoilt(traces(), time=8))
    plots.settling_time(times, ax)
    assert sum(bar.get_height() for bar in ax.patches) == 1
    ax.clear()
    plots.population_rate(analysis.population_rate(missing), ax)
    assert np.isnan(ax.lines[-1].get_ydata()).sum() == 1
    ax.clear()
    plots.phase_portrait(missing, missing.rename(unit="inh"), ax)
    assert np.isnan(ax.lines[0].get_ydata()).sum() == 1
    ax.clear()
    plots.activity_traces(spoilt(traces(), time=11, unit=2), ax)
    assert len(ax.lines) == 4


def test_more_plots_leave_out_what_is_missing(ax):
    plots.selectivity(selectivity(spoilt(ends(), image=2, unit=0)), ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["class 1", "silent"]
    ax.clear()
    plots.weight_norms(analysis.weight_norms(spoilt(weights(), unit=1)), ax)
    assert sum(bar.get_height() for bar in ax.patches) == 2
    ax.clear()
    history = xr.concat([weights(), spoilt(weights(), unit=1)], "image")
    plots.sign_violations(violations(history), ax)
    assert "up to 1" in ax.get_title()
    ax.clear()
    plots.raster(spoilt(traces(), time=4), ax)
    shown = np.ma.filled(ax.images[0].get_array(), NAN)
    assert np.isnan(shown).any(axis=0).sum() == 1
    ax.clear()
    plots.ringing(
        analysis.damping_rate(traces() * 0), analysis.ringing_frequency(traces() * 0), ax
    )


@pytest.mark.parametrize(
    "draw", [plots.active_units, plots.settling_time, plots.weight_norms]
)
def test_nothing_to_draw_is_said(draw, ax):
    missing = xr.DataArray([NAN, NAN], dims="unit")
    with pytest.raises(ValueError, match="none of the 2 values is finite"):
        draw(missing, ax)
