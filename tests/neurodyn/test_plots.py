"""What the pictures of activity show, by their lines and pixels."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis, plots
from tests.neurodyn.helpers import band, bars, data_of, legend, normal_weights, over

TIME = np.array([0.0, 1.0, 2.0])


ENDS = {3: 0.5, 5: 2.0, 8: -1.0}  # the last activity of units 3, 5 and 8


@pytest.fixture
def activity():
    values = TIME[:, None] / 2 * np.array(list(ENDS.values()))
    coords = {"time": ("time", TIME, {"units": "ms"}), "unit": list(ENDS)}
    return xr.DataArray(values, dims=("time", "unit"), coords=coords)


def brightness(line):
    return sum(mpl.colors.to_rgb(line.get_color()))


def test_one_line_a_unit_and_the_zero(activity):
    ax = plots.activity_traces(activity)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == len(TIME)]
    assert len(ax.lines) == len(drawn) + 1 == 4
    shown = {float(line.get_ydata()[-1]): line for line in drawn}
    assert shown.keys() == set(ENDS.values())
    for end, line in shown.items():
        np.testing.assert_array_equal(line.get_xdata(), TIME)
        np.testing.assert_allclose(line.get_ydata(), TIME / 2 * end, rtol=1e-15)
    assert ax.get_xlabel() == "time [ms]"
    assert ax.get_ylabel() == "activity h"


def test_the_winner_is_darkest(activity):
    ax = plots.activity_traces(activity)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == len(TIME)]
    by_end = sorted(drawn, key=lambda line: -line.get_ydata()[-1])
    assert (np.diff([brightness(line) for line in by_end]) > 0).all()


def test_settled_values_are_dashes_in_the_colour_of_their_unit(activity):
    levels = xr.DataArray(
        [2.5, 0.7, -1.5], dims="unit", coords={"unit": [5, 3, 8]}
    )  # in another order than the activity
    ax = plots.activity_traces(activity, settled=levels)
    dashes = {line.get_color(): line for line in ax.lines if line.get_linestyle() == "--"}
    solid = {
        line.get_color(): line for line in ax.lines if len(line.get_xdata()) == len(TIME)
    }
    assert dashes.keys() == solid.keys()
    assert len(dashes) == 3
    level_of_end = {0.5: 0.7, 2.0: 2.5, -1.0: -1.5}
    for color, line in dashes.items():
        level = level_of_end[solid[color].get_ydata()[-1]]
        np.testing.assert_array_equal(line.get_ydata(), [level, level])
        np.testing.assert_array_equal(line.get_xdata(), [0.0, 2.0])


def test_without_settled_values_there_are_no_dashes(activity):
    ax = plots.activity_traces(activity)
    assert not [line for line in ax.lines if line.get_linestyle() == "--"]


def test_pictures_go_into_the_axes_given(activity):
    _, (left, right) = plt.subplots(1, 2)
    assert plots.activity_traces(activity, left) is left
    assert plots.receptive_fields(normal_weights(2, 6), (2, 3), right) is right
    assert len(plt.get_fignums()) == 1


def test_population_rate_of_one_run_is_one_line(activity):
    ax = plots.population_rate(analysis.population_rate(activity))
    assert len(ax.lines) == 1
    np.testing.assert_array_equal(data_of(ax, 0)[0], TIME)
    np.testing.assert_allclose(data_of(ax, 0)[1], TIME / 2 * 2.5 / 3)
    assert ax.get_xlabel() == "time [ms]"


def test_population_rate_of_trials_is_a_line_each_and_their_mean():
    rate = over(("trial", "time"), [[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]], time=TIME)
    ax = plots.population_rate(rate)
    shown = [data_of(ax, place)[1] for place in range(3)]
    np.testing.assert_array_equal(shown, [[1, 2, 3], [3, 2, 5], [2, 2, 4]])
    with pytest.raises(ValueError, match="time is needed too"):
        plots.population_rate(rate.isel(time=0))


def test_participation_shows_the_variance_and_the_ratio(activity):
    corners = over(("time", "unit"), [[0, 0], [0, 1], [1, 0], [1, 1.0]])  # equal variances
    ax = plots.participation(corners)
    np.testing.assert_allclose(data_of(ax, 0), [[1, 2], [0.5, 1]])
    np.testing.assert_allclose(data_of(ax, 1)[0], [2, 2])
    assert legend(ax) == ["participation ratio 2"]
    images = plots.participation(corners.rename(time="image"), dim="image")
    np.testing.assert_allclose(data_of(images, 0), data_of(ax, 0))
    with pytest.raises(ValueError, match="time and unit needed, and no other"):
        plots.participation(corners.expand_dims("trial"))


@pytest.mark.parametrize(("dim", "style"), [("time", "steps-post"), ("image", "default")])
def test_winners_are_drawn_where_there_are_any(dim, style):
    ax = plots.winners(over(dim, [4, -1, 2], **{dim: TIME}))
    np.testing.assert_array_equal(data_of(ax, 0)[0], TIME)
    np.testing.assert_array_equal(data_of(ax, 0)[1], [4, np.nan, 2])
    assert ax.lines[0].get_drawstyle() == style
    np.testing.assert_array_equal(data_of(ax, 1)[0], [1.0])
    assert legend(ax) == ["none active"]
    assert ax.get_xlabel() == {"time": "time [ms]", "image": "presentation"}[dim]


def test_winners_at_all_times_need_no_legend():
    assert plots.winners(over("time", [1, 2], time=TIME[:2])).get_legend() is None
    with pytest.raises(ValueError, match=r"dims \('trial', 'time'\): time needed, and no"):
        plots.winners(over(("trial", "time"), [[1, 2]], time=TIME[:2]))


def test_active_units_have_a_bar_a_number():
    ax = plots.active_units(over("image", [2, 3, 3, 5]))
    assert bars(ax) == {(1.5, 2.5): 1, (2.5, 3.5): 2, (3.5, 4.5): 0, (4.5, 5.5): 1}
    np.testing.assert_array_equal(data_of(ax, 0)[0], [3.25, 3.25])
    assert legend(ax) == ["mean 3.25"]


def test_many_numbers_of_active_units_share_bars():
    ax = plots.active_units(over("image", np.arange(1000)))
    assert set(bars(ax).values()) == {20}
    assert len(bars(ax)) == 50


def test_settling_times_are_counted():
    ax = plots.settling_time(over("image", [10.0, 12.0, 30.0, 14.0]))
    assert bars(ax) == {(10.0, 20.0): 3, (20.0, 30.0): 1}
    np.testing.assert_array_equal(data_of(ax, 0)[0], [13.0, 13.0])
    assert legend(ax) == ["median 13 ms"]
    assert ax.get_xlabel() == "settling time [ms]"


def test_selectivity_is_sorted_and_coloured_by_class():
    values = over("unit", [0.5, 0.0, 0.9, 0.7], preferred=("unit", [3, -1, 1, 3]))
    ax = plots.selectivity(values)
    np.testing.assert_array_equal(data_of(ax, 0), [[1, 2, 3, 4], [0.9, 0.7, 0.5, 0.0]])
    points = {each.get_label(): np.array(each.get_data()) for each in ax.lines[1:]}
    assert points.keys() == {"class 1", "class 3", "silent"}
    np.testing.assert_array_equal(points["class 1"], [[1], [0.9]])
    np.testing.assert_array_equal(points["class 3"], [[2, 3], [0.7, 0.5]])
    np.testing.assert_array_equal(points["silent"], [[4], [0]])
    assert len({str(each.get_color()) for each in ax.lines}) == 4


def test_selectivity_of_silent_units_and_of_many_classes_is_drawn():
    silent = over("unit", [0.0, 0.0], preferred=("unit", [-1, -1]))
    assert legend(plots.selectivity(silent)) == ["silent"]
    many = over("unit", np.ones(30), preferred=("unit", np.arange(30)))
    ax = plots.selectivity(many)
    assert len({each.get_color() for each in ax.lines[1:]}) == 30
    with pytest.raises(ValueError, match="no coordinate 'preferred': give the result of"):
        plots.selectivity(many.drop_vars("preferred"))


def test_e_i_balance_shows_median_and_quartiles():
    values = np.array([[-0.4, 0.0, 0.2, 0.4, 0.6], [0.0, 0.1, 0.2, 0.3, 0.4]])
    ax = plots.e_i_balance(over(("unit", "time"), values.T, time=TIME[:2]))
    np.testing.assert_array_equal(data_of(ax, 0), [TIME[:2], [0.2, 0.2]])
    np.testing.assert_allclose(band(ax), [TIME[:2], [0.0, 0.1], [0.4, 0.3]])
    assert legend(ax) == ["quartiles of units", "median"]
    with pytest.raises(ValueError, match="time and unit needed, and no other"):
        plots.e_i_balance(over("time", [0.0, 0.1], time=TIME[:2]))


def sinusoids(*frequencies):
    time = np.arange(0, 500, 1.0)
    values = np.sin(2 * np.pi * np.outer(time / 1000, frequencies))
    return over(("time", "unit"), values, time=time)


def test_spectrum_marks_the_peak_of_each_unit_that_varies():
    activity = sinusoids(40.0, 0.0, 120.0)
    ax = plots.spectrum(activity)
    power = analysis.power_spectrum(activity)
    spectra, peaks = ax.lines[0:4:2], ax.lines[1:4:2]
    for unit, spectrum in zip((0, 2), spectra, strict=True):
        np.testing.assert_array_equal(spectrum.get_xdata(), power["frequency"])
        np.testing.assert_array_equal(spectrum.get_ydata(), power.isel(unit=unit))
    marked = [(peak.get_xdata()[0], peak.get_ydata()[0]) for peak in peaks]
    np.testing.assert_allclose(marked, [(40.0, 0.25), (120.0, 0.25)], rtol=1e-3)
    assert legend(ax) == ["peaks, median 80 Hz"]
    assert ax.get_yscale() == "log"


def test_spectrum_of_what_does_not_vary_says_so():
    ax = plots.spectrum(sinusoids(0.0))
    assert legend(ax) == ["no unit varies"]
    ax.figure.canvas.draw()


def test_ringing_is_a_point_a_trace():
    rates = over("unit", [40.0, np.inf, -2.0])
    ax = plots.ringing(rates, over("unit", [30.0, 0.0, 25.0]))
    np.testing.assert_array_equal(data_of(ax, 0), [[40, np.inf, -2], [30, 0, 25]])
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="give both for the same traces"):
        plots.ringing(rates, rates[:2])


@pytest.fixture
def relay():
    """Unit 5 never wins, 8 does first, then 3."""
    values = [[-1.0, 0.5, 2.0], [3.0, 0.5, 1.0], [1.0, 0.5, 2.0]]
    return over(("time", "unit"), values, time=TIME, unit=[3, 5, 8])


def test_raster_shows_rates_by_first_win(relay):
    for activity in (relay, relay.transpose()):
        ax = plots.raster(activity)
        (image,) = ax.images
        expected = [[2.0, 1.0, 2.0], [0.0, 3.0, 1.0], [0.5, 0.5, 0.5]]
        np.testing.assert_array_equal(image.get_array(), expected)
        assert image.get_extent() == [-0.5, 2.5, 3.5, 0.5]
        assert image.get_clim() == (0, 3)


def test_raster_takes_an_order(relay):
    (image,) = plots.raster(relay, order=[5, 3]).images
    np.testing.assert_array_equal(image.get_array(), [[0.5, 0.5, 0.5], [0.0, 3.0, 1.0]])
    (image,) = plots.raster(relay.drop_vars("unit"), order=over("unit", [2])).images
    np.testing.assert_array_equal(image.get_array(), [[2.0, 1.0, 2.0]])


def test_raster_of_silence_is_drawn(relay):
    ax = plots.raster(-abs(relay))
    assert not np.asarray(ax.images[0].get_array()).any()
    ax.figure.canvas.draw()


def test_raster_refuses_what_it_cannot_place(relay):
    for order, message in (
        ([5, 4], "order names 4: give units .* 3 to 8"),
        ([], "no unit"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.raster(relay, order=order)
    for activity in (relay[:1], relay.assign_coords(time=[0, 1, 3])):
        with pytest.raises(ValueError, match="two samples or more, equally far apart"):
            plots.raster(activity)
    with pytest.raises(ValueError, match="time and unit needed, and no other"):
        plots.raster(relay.expand_dims("trial"))


def test_phase_portrait_from_start_to_end(relay):
    inh = over(("inh", "time"), [[0.0, 1.0, -5.0], [2.0, 3.0, 4.0]], time=TIME)
    ax = plots.phase_portrait(relay, inh)
    expected = [[2.5 / 3, 1.5, 3.5 / 3], [1.0, 2.0, 2.0]]
    np.testing.assert_allclose(data_of(ax, 0), expected)
    for place, at in ((1, 0), (2, -1)):
        np.testing.assert_allclose(np.ravel(data_of(ax, place)), [e[at] for e in expected])
    assert legend(ax) == ["start", "end"]


def test_phase_portrait_needs_two_populations_at_the_same_times(relay):
    with pytest.raises(ValueError, match="give both at the same times"):
        plots.phase_portrait(relay, relay.assign_coords(time=TIME + 1))
    for wrong in (
        relay.isel(unit=0),
        relay.expand_dims("trial"),
        relay.rename(time="image"),
    ):
        with pytest.raises(ValueError, match="time and one dim of units are needed, and"):
            plots.phase_portrait(relay, wrong)


def test_every_picture_goes_into_the_axes_given(relay):
    count = over("image", [1, 2])
    values = over("unit", [0.5, 0.2], preferred=("unit", [0, 1]))
    _, axes = plt.subplots(4, 4)
    drawn = [
        lambda ax: plots.population_rate(relay.isel(unit=0), ax),
        lambda ax: plots.participation(relay, ax),
        lambda ax: plots.winners(count, ax),
        lambda ax: plots.active_units(count, ax),
        lambda ax: plots.settling_time(count, ax),
        lambda ax: plots.selectivity(values, ax),
        lambda ax: plots.e_i_balance(relay, ax),
        lambda ax: plots.spectrum(sinusoids(10.0), ax),
        lambda ax: plots.ringing(values, values, ax),
        lambda ax: plots.weight_norms(values, ax),
        lambda ax: plots.weight_norms(relay.rename(time="image"), ax),
        lambda ax: plots.sign_violations(count, ax),
        lambda ax: plots.receptive_field_similarity(values, ax),
        lambda ax: plots.raster(relay, ax),
        lambda ax: plots.phase_portrait(relay, relay, ax),
    ]
    for draw, ax in zip(drawn, axes.flat, strict=False):
        assert draw(ax) is ax
    assert len(plt.get_fignums()) == 1
