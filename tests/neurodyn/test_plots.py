"""What the pictures show, by their lines and pixels."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

import matplotlib.pyplot as plt

from neurodyn import analysis, plots

TIME = np.array([0.0, 1.0, 2.0])
ENDS = {3: 0.5, 5: 2.0, 8: -1.0}  # the last activity of units 3, 5 and 8


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def activity():
    values = TIME[:, None] / 2 * np.array(list(ENDS.values()))
    coords = {"time": ("time", TIME, {"units": "ms"}), "unit": list(ENDS)}
    return xr.DataArray(values, dims=("time", "unit"), coords=coords)


def weights(num_units, num_pixels):
    values = np.random.default_rng(0).normal(size=(num_units, num_pixels))
    return xr.DataArray(values, dims=("unit", "pixel"))


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
    assert plots.receptive_fields(weights(2, 6), (2, 3), right) is right
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("num_units", "size"),
    [
        (1, (2, 3)),
        (4, (2 * 2 + 1, 2 * 3 + 1)),  # 2 x 2 images of 2 x 3 pixels, one line between
        (5, (2 * 2 + 1, 3 * 3 + 2)),  # 2 rows of 3, one place empty
    ],
)
def test_gray_weights_are_a_mosaic(num_units, size):
    fields = weights(num_units, 6)
    ax = plots.receptive_fields(fields, (2, 3))
    (image,) = ax.images
    mosaic = np.ma.filled(image.get_array(), np.nan)
    assert mosaic.shape == size
    assert image.get_clim() == (-1, 1)
    for unit in range(num_units):
        columns = (size[1] + 1) // 4
        top, left = 3 * (unit // columns), 4 * (unit % columns)
        expected = fields[unit] / abs(fields[unit]).max()  # each on its own scale
        shown = mosaic[top : top + 2, left : left + 3].ravel()
        np.testing.assert_allclose(shown, expected, rtol=1e-12)
    assert np.isfinite(mosaic).sum() == 6 * num_units


def test_rgb_weights_are_colours_with_zero_as_mid_gray():
    values = np.zeros((2, 12))
    values[0, :3] = [2.0, -2.0, 0.0]  # the first pixel: red up, green down
    fields = xr.DataArray(values, dims=("unit", "pixel"))
    (image,) = plots.receptive_fields(fields, (2, 2, 3)).images
    mosaic = np.asarray(image.get_array())
    assert mosaic.shape == (2, 5, 3)
    np.testing.assert_array_equal(mosaic[0, 0], [1.0, 0.0, 0.5])
    np.testing.assert_array_equal(mosaic[1, 1], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(mosaic[:, 2], 1.0)  # the line between
    np.testing.assert_array_equal(mosaic[:, 3:], 0.5)  # a unit without weights


def test_one_channel_is_gray():
    (image,) = plots.receptive_fields(weights(1, 6), (2, 3, 1)).images
    assert image.get_array().shape == (2, 3)


def test_dims_may_come_in_the_other_order():
    fields = weights(2, 6)
    images = [
        plots.receptive_fields(one, (2, 3)).images[0].get_array()
        for one in (fields, fields.transpose())
    ]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3), (3, 2, 2), (1, 3, 2), (12,), ()])
def test_a_shape_of_other_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"image_shape is .*: weights with 6 pixels need"):
        plots.receptive_fields(weights(2, 6), shape)


def test_a_common_scale_makes_pictures_comparable():
    fields = weights(2, 6)
    scale = xr.DataArray([10.0, 20.0], dims="unit")
    (image,) = plots.receptive_fields(fields, (2, 3), scale=scale).images
    mosaic = np.asarray(image.get_array())
    np.testing.assert_allclose(mosaic[:, :3].ravel(), fields[0] / 10, rtol=1e-12)
    np.testing.assert_allclose(mosaic[:, 4:].ravel(), fields[1] / 20, rtol=1e-12)


def over(dims, values, **coords):
    return xr.DataArray(np.array(values), dims=dims, coords=coords)


def line(ax, place):
    return [np.asarray(values) for values in ax.lines[place].get_data()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_population_rate_of_one_run_is_one_line(activity):
    ax = plots.population_rate(analysis.population_rate(activity))
    assert len(ax.lines) == 1
    np.testing.assert_array_equal(line(ax, 0)[0], TIME)
    np.testing.assert_allclose(line(ax, 0)[1], TIME / 2 * 2.5 / 3)
    assert ax.get_xlabel() == "time [ms]"


def test_population_rate_of_trials_is_a_line_each_and_their_mean():
    rate = over(("trial", "time"), [[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]], time=TIME)
    ax = plots.population_rate(rate)
    shown = [line(ax, place)[1] for place in range(3)]
    np.testing.assert_array_equal(shown, [[1, 2, 3], [3, 2, 5], [2, 2, 4]])
    with pytest.raises(ValueError, match="time is needed too"):
        plots.population_rate(rate.isel(time=0))


def test_participation_shows_the_variance_and_the_ratio(activity):
    corners = over(("time", "unit"), [[0, 0], [0, 1], [1, 0], [1, 1.0]])  # equal variances
    ax = plots.participation(corners)
    np.testing.assert_allclose(line(ax, 0), [[1, 2], [0.5, 1]])
    np.testing.assert_allclose(line(ax, 1)[0], [2, 2])
    assert legend(ax) == ["participation ratio 2"]
    images = plots.participation(corners.rename(time="image"), dim="image")
    np.testing.assert_allclose(line(images, 0), line(ax, 0))
    with pytest.raises(ValueError, match="time and unit needed, and no other"):
        plots.participation(corners.expand_dims("trial"))


@pytest.mark.parametrize(("dim", "style"), [("time", "steps-post"), ("image", "default")])
def test_winners_are_drawn_where_there_are_any(dim, style):
    ax = plots.winners(over(dim, [4, -1, 2], **{dim: TIME}))
    np.testing.assert_array_equal(line(ax, 0)[0], TIME)
    np.testing.assert_array_equal(line(ax, 0)[1], [4, np.nan, 2])
    assert ax.lines[0].get_drawstyle() == style
    np.testing.assert_array_equal(line(ax, 1)[0], [1.0])
    assert legend(ax) == ["none active"]
    assert ax.get_xlabel() == {"time": "time [ms]", "image": "presentation"}[dim]


def test_winners_at_all_times_need_no_legend():
    assert plots.winners(over("time", [1, 2], time=TIME[:2])).get_legend() is None
    with pytest.raises(ValueError, match=r"dims \('trial', 'time'\): time needed, and no"):
        plots.winners(over(("trial", "time"), [[1, 2]], time=TIME[:2]))


def bars(ax):
    return {
        (round(bar.get_x(), 9), round(bar.get_x() + bar.get_width(), 9)): bar.get_height()
        for bar in ax.patches
    }


def test_active_units_have_a_bar_a_number():
    ax = plots.active_units(over("image", [2, 3, 3, 5]))
    assert bars(ax) == {(1.5, 2.5): 1, (2.5, 3.5): 2, (3.5, 4.5): 0, (4.5, 5.5): 1}
    np.testing.assert_array_equal(line(ax, 0)[0], [3.25, 3.25])
    assert legend(ax) == ["mean 3.25"]


def test_many_numbers_of_active_units_share_bars():
    ax = plots.active_units(over("image", np.arange(1000)))
    assert set(bars(ax).values()) == {20}
    assert len(bars(ax)) == 50


def test_settling_times_are_counted():
    ax = plots.settling_time(over("image", [10.0, 12.0, 30.0, 14.0]))
    assert bars(ax) == {(10.0, 20.0): 3, (20.0, 30.0): 1}
    np.testing.assert_array_equal(line(ax, 0)[0], [13.0, 13.0])
    assert legend(ax) == ["median 13 ms"]
    assert ax.get_xlabel() == "settling time [ms]"


def test_selectivity_is_sorted_and_coloured_by_class():
    values = over("unit", [0.5, 0.0, 0.9, 0.7], preferred=("unit", [3, -1, 1, 3]))
    ax = plots.selectivity(values)
    np.testing.assert_array_equal(line(ax, 0), [[1, 2, 3, 4], [0.9, 0.7, 0.5, 0.0]])
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


def band(ax):
    """Lower and upper edge, from the outline of the filled area."""
    points = ax.collections[0].get_paths()[0].vertices
    at = np.unique(points[:, 0])
    shown = [points[points[:, 0] == x, 1] for x in at]
    return at, [y.min() for y in shown], [y.max() for y in shown]


def test_e_i_balance_shows_median_and_quartiles():
    values = np.array([[-0.4, 0.0, 0.2, 0.4, 0.6], [0.0, 0.1, 0.2, 0.3, 0.4]])
    ax = plots.e_i_balance(over(("unit", "time"), values.T, time=TIME[:2]))
    np.testing.assert_array_equal(line(ax, 0), [TIME[:2], [0.2, 0.2]])
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
    np.testing.assert_array_equal(line(ax, 0), [[40, np.inf, -2], [30, 0, 25]])
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="give both for the same traces"):
        plots.ringing(rates, rates[:2])


def test_weight_norms_against_presentation_or_counted():
    norms = analysis.weight_norms(weights(5, 3) * over("image", [1.0, 2.0]), p=3)
    ax = plots.weight_norms(norms)
    expected = norms.quantile([0.25, 0.5, 0.75], "unit").values
    np.testing.assert_allclose(line(ax, 0), [[0, 1], expected[1]])
    np.testing.assert_allclose(band(ax), [[0, 1], expected[0], expected[2]])
    assert ax.get_ylabel() == "norm of the weights, p = 3"
    ax = plots.weight_norms(norms.isel(image=0))
    assert sum(bars(ax).values()) == 5
    np.testing.assert_allclose(line(ax, 0)[0], expected[1][0])
    with pytest.raises(ValueError, match="image and unit needed, and no other"):
        plots.weight_norms(norms.expand_dims("trial"))


@pytest.mark.parametrize(
    ("numbers", "title"), [([0, 0, 0], "0, at every presentation"), ([3, 0, 1], "up to 3")]
)
def test_sign_violations_state_their_number(numbers, title):
    ax = plots.sign_violations(over("image", numbers))
    np.testing.assert_array_equal(line(ax, 0), [[0, 1, 2], numbers])
    assert ax.get_title() == f"weights of the wrong sign: {title}"
    assert ax.get_ylim()[0] < 0
    assert ax.get_ylim()[1] > max(numbers)
    with pytest.raises(ValueError, match="image is needed too"):
        plots.sign_violations(over("trial", numbers))


def test_similarities_are_sorted():
    ax = plots.receptive_field_similarity(over("unit", [0.2, 0.9, -0.1, 1.0]))
    np.testing.assert_array_equal(line(ax, 0), [[1, 2, 3, 4], [1.0, 0.9, 0.2, -0.1]])
    np.testing.assert_allclose(line(ax, 1)[1], 0.5)
    assert legend(ax) == ["mean 0.5"]


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
    np.testing.assert_allclose(line(ax, 0), expected)
    for place, at in ((1, 0), (2, -1)):
        np.testing.assert_allclose(np.ravel(line(ax, place)), [e[at] for e in expected])
    assert legend(ax) == ["start", "end"]


def test_phase_portrait_needs_two_populations_at_the_same_times(relay):
    with pytest.raises(ValueError, match="give both at the same times"):
        plots.phase_portrait(relay, relay.assign_coords(time=TIME + 1))
    for wrong in (
        relay.isel(unit=0),
        relay.expand_dims("trial"),
        relay.rename(time="image"),
    ):
        with pytest.raises(ValueError, match="time and one of units are needed, and no"):
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
