"""What drives the units of a stack, against loops over images, units and positions."""

import numpy as np
import pytest
import torch

from fastpath.competition import Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings, stack
from fastpath.layers.receptive_field import receptive_field
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    FullyConnected,
    MaxPool,
    Rectifier,
    Triangle,
)
from fastpath.runs.responses import activity_maps, preferred_patches

STAGES = (
    Convolution(num_units=4, kernel_size=3, padding=1, competition=Soft()),
    Triangle(),
    MaxPool(size=2),
    BatchNorm(),
    Convolution(num_units=5, kernel_size=2, padding=1, competition=Soft()),
    MaxPool(size=2),
    FullyConnected(num_units=7, competition=Soft()),
    Rectifier(),
)


@pytest.fixture
def world():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (20, 10, 14, 3), generator=generator, dtype=torch.uint8)
    layer = StackSettings(stages=STAGES).start((10, 14, 3), generator=generator)
    return layer, x, Preprocess(subtract_mean=True).fit(x)


def at(image, top, left, size):
    patch = np.full((size, size, 3), np.nan)
    for y in range(size):
        for x in range(size):
            if 0 <= top + y < 10 and 0 <= left + x < 14:
                patch[y, x] = image[top + y, left + x] / np.float32(255)
    return patch


def test_patches_are_those_that_drive_a_unit_most(world, monkeypatch):
    monkeypatch.setattr(stack, "BLOCK_SIZE", 2**15)  # a few images at a time
    layer, x, preprocess = world
    assert 1 < layer.block < 10
    found = preferred_patches(layer, x, preprocess, num_units=3, num_patches=6)
    assert found.keys() == {2, 3}
    size, stride, start = receptive_field(STAGES, 4)
    outputs = layer.outputs(preprocess(x), [4])[4].numpy()
    assert found[2]["unit"].values.tolist() == [0, 1, 3]
    assert found[2]["patches"].shape == (3, 6, size, size, 3)
    for unit in found[2]["unit"].values:
        best = []
        for image in range(20):
            maps = outputs[image, :, :, unit]
            places = [(maps[y, x], image, y, x) for y, x in np.ndindex(maps.shape)]
            best.append(max(places))
        best.sort(reverse=True)
        of_unit = found[2].sel(unit=unit)
        assert of_unit["image"].values.tolist() == [image for _, image, _, _ in best[:6]]
        # Convolutions of another number of images may round differently.
        values = [value for value, *_ in best[:6]]
        np.testing.assert_allclose(of_unit["output"], values, rtol=1e-5, atol=1e-5)
        for rank, (_, image, y, column) in enumerate(best[:6]):
            top, left = start + stride * y, start + stride * column
            expected = at(x[image].numpy(), top, left, size)
            np.testing.assert_array_equal(of_unit["patches"][rank], expected)


def test_units_that_see_everything_have_whole_images(world):
    layer, x, preprocess = world
    found = preferred_patches(layer, x, preprocess, num_units=99, num_patches=99)[3]
    assert found["patches"].shape == (7, 20, 10, 14, 3)
    outputs = layer.outputs(preprocess(x), [6])[6]
    order = outputs.argsort(dim=0, descending=True).T.numpy()
    np.testing.assert_array_equal(found["image"], order)
    expected = x.numpy()[order] / np.float32(255)
    np.testing.assert_array_equal(found["patches"], expected)


def test_a_field_as_large_as_the_images_is_the_whole_image(world):
    _, x, _ = world
    stages = (STAGES[0], Convolution(num_units=2, kernel_size=12, padding=5))
    layer = StackSettings(stages=stages).start(
        (10, 14, 3), generator=torch.Generator().manual_seed(0)
    )
    found = preferred_patches(layer, x, Preprocess().fit(x), num_units=2, num_patches=3)[2]
    expected = x.numpy()[found["image"].values] / np.float32(255)
    np.testing.assert_array_equal(found["patches"], expected)


def test_maps_are_those_of_the_most_active_units(world):
    layer, x, preprocess = world
    found = activity_maps(layer, x[3], preprocess, num_units=3)
    v = preprocess(x[3:4])
    # The second convolution has no activation: its own outputs are shown.
    for number, i in ((1, 1), (2, 4), (3, 7)):
        outputs = layer.outputs(v, [i])[i][0].numpy()
        activity = abs(outputs).mean(axis=tuple(range(outputs.ndim - 1)))
        units = found[number]["unit"].values
        np.testing.assert_allclose(activity[units], -np.sort(-activity)[:3], rtol=1e-5)
        np.testing.assert_array_equal(found[number], np.moveaxis(outputs, -1, 0)[units])
    assert found[1].dims == found[2].dims == ("unit", "y", "x")
    assert found[3].dims == ("unit",)


def test_other_images_are_refused(world):
    layer, x, preprocess = world
    with pytest.raises(ValueError, match="mean image"):
        activity_maps(layer, x[0, :5], preprocess, num_units=3)
    assert layer.outputs(preprocess(x), []) == {}
