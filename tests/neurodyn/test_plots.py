"""What the pictures show, by their lines and pixels."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

import matplotlib.pyplot as plt

from neurodyn import plots

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
