"""What the pictures of weights show, by their lines and pixels."""

import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis, plots
from tests.neurodyn.helpers import band, bars, data_of, legend, normal_weights, over


@pytest.mark.parametrize(
    ("num_units", "size"),
    [
        (1, (2, 3)),
        (4, (2 * 2 + 1, 2 * 3 + 1)),  # 2 x 2 images of 2 x 3 pixels, one line between
        (5, (2 * 2 + 1, 3 * 3 + 2)),  # 2 rows of 3, one place empty
    ],
)
def test_gray_weights_are_a_mosaic(num_units, size):
    fields = normal_weights(num_units, 6)
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
    (image,) = plots.receptive_fields(normal_weights(1, 6), (2, 3, 1)).images
    assert image.get_array().shape == (2, 3)


def test_dims_may_come_in_the_other_order():
    fields = normal_weights(2, 6)
    images = [
        plots.receptive_fields(one, (2, 3)).images[0].get_array()
        for one in (fields, fields.transpose())
    ]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3), (3, 2, 2), (1, 3, 2), (12,), ()])
def test_a_shape_of_other_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"image_shape is .*: weights with 6 pixels need"):
        plots.receptive_fields(normal_weights(2, 6), shape)


def test_a_common_scale_makes_pictures_comparable():
    fields = normal_weights(2, 6)
    scale = xr.DataArray([10.0, 20.0], dims="unit")
    (image,) = plots.receptive_fields(fields, (2, 3), scale=scale).images
    mosaic = np.asarray(image.get_array())
    np.testing.assert_allclose(mosaic[:, :3].ravel(), fields[0] / 10, rtol=1e-12)
    np.testing.assert_allclose(mosaic[:, 4:].ravel(), fields[1] / 20, rtol=1e-12)


def test_weight_norms_against_presentation_or_counted():
    norms = analysis.weight_norms(normal_weights(5, 3) * over("image", [1.0, 2.0]), p=3)
    ax = plots.weight_norms(norms)
    expected = norms.quantile([0.25, 0.5, 0.75], "unit").values
    np.testing.assert_allclose(data_of(ax, 0), [[0, 1], expected[1]])
    np.testing.assert_allclose(band(ax), [[0, 1], expected[0], expected[2]])
    assert ax.get_ylabel() == "norm of the weights, p = 3"
    ax = plots.weight_norms(norms.isel(image=0))
    assert sum(bars(ax).values()) == 5
    np.testing.assert_allclose(data_of(ax, 0)[0], expected[1][0])
    with pytest.raises(ValueError, match="image and unit needed, and no other"):
        plots.weight_norms(norms.expand_dims("trial"))


@pytest.mark.parametrize(
    ("numbers", "title"), [([0, 0, 0], "0, at every presentation"), ([3, 0, 1], "up to 3")]
)
def test_sign_violations_state_their_number(numbers, title):
    ax = plots.sign_violations(over("image", numbers))
    np.testing.assert_array_equal(data_of(ax, 0), [[0, 1, 2], numbers])
    assert ax.get_title() == f"weights of the wrong sign: {title}"
    assert ax.get_ylim()[0] < 0
    assert ax.get_ylim()[1] > max(numbers)
    with pytest.raises(ValueError, match="image is needed too"):
        plots.sign_violations(over("trial", numbers))


def test_similarities_are_sorted():
    ax = plots.receptive_field_similarity(over("unit", [0.2, 0.9, -0.1, 1.0]))
    np.testing.assert_array_equal(data_of(ax, 0), [[1, 2, 3, 4], [1.0, 0.9, 0.2, -0.1]])
    np.testing.assert_allclose(data_of(ax, 1)[1], 0.5)
    assert legend(ax) == ["mean 0.5"]
