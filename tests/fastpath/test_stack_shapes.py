"""Stacks in estimators: on images with and without a channel dim, and on flat ones."""

import copy
import pickle

import numpy as np
import pytest
import torch

import fastpath
from fastpath.competition import Ranking, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    Decorrelate,
    FullyConnected,
    MaxPool,
    Rectifier,
    SubtractMean,
    Triangle,
    UnitNorm,
)
from fastpath.layers.stages.base import canonical
from fastpath.readout import Readout
from fastpath.training.loop import Training

SOFT = Soft()
FLAT = StackSettings(
    greedy=True,
    stages=(
        BatchNorm(),
        SubtractMean(),
        UnitNorm(),
        FullyConnected(num_units=14, competition=SOFT),
        Rectifier(),
        Decorrelate(),
        FullyConnected(num_units=12, competition=Ranking(), p=3.0),
    ),
)
SPATIAL = StackSettings(
    stages=(
        SubtractMean(),
        Convolution(num_units=6, kernel_size=3, competition=SOFT, padding=1),
        Triangle(),
        MaxPool(size=2),
        BatchNorm(),
    )
)


@pytest.fixture(scope="module")
def images():
    """Return 120 digits, 8 x 8, and their labels."""
    found = fastpath.load("digits")
    return found.x_train[:120].reshape(-1, 8, 8), found.y_train[:120]


def fitted(layer, x, y, **settings):
    return fastpath.CompetingUnits(
        layer=layer,
        competition=Ranking(),
        training=Training(epochs=1, batch_size=30),
        readout=Readout(epochs=3),
        **settings,
    ).fit(x, y)


@pytest.mark.parametrize(
    ("shape", "meant"),
    [
        ((64,), (64,)),
        ((64, 1, 1), (64,)),
        ((64, 1), (64,)),
        ((8, 8), (8, 8, 1)),
        ((8, 8, 1), (8, 8, 1)),
        ((1, 8), (1, 8, 1)),
        ((1, 1, 8), (1, 1, 8)),
        ((4, 4, 3), (4, 4, 3)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_the_shape_of_an_image(shape, meant):
    assert canonical(shape) == meant
    assert canonical(canonical(shape)) == meant


@pytest.mark.parametrize("layer", [FLAT, SPATIAL], ids=["flat", "spatial"])
@pytest.mark.parametrize(
    ("shape", "floats"),
    [((64,), True), ((8, 8), False), ((8, 8, 1), True), ((4, 8, 2), False)],
    ids=str,
)
def test_a_model_is_saved_and_read_back(layer, shape, floats, images, tmp_path):
    x, y = images
    x = x.reshape(-1, *shape)
    x = x / np.float32(255) if floats else x
    if layer is SPATIAL and len(shape) == 1:
        with pytest.raises(
            ValueError, match=r"stage 2 .* inputs have shape \(64,\): give images with"
        ):
            fitted(layer, x, y)
        return
    model = fitted(layer, x, y)
    assert model.score(x, y) > 0.3
    shape_of_layer = shape if len(shape) != 2 else (*shape, 1)
    assert model.layer_.input_shape == shape_of_layer
    model.save(tmp_path / "model")
    read = fastpath.load_model(tmp_path / "model")
    assert read.image_shape_ == shape
    assert read.layer_.input_shape == shape_of_layer
    assert read.layer_settings_ == read.layer == layer
    for name, tensor in model.layer_.state.items():
        # sign(W)|W|^2 is computed again.
        torch.testing.assert_close(read.layer_.state[name], tensor, rtol=1e-6, atol=0)
    others = [read, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    read.save(tmp_path / "again")
    for each in (*others, fastpath.load_model(tmp_path / "again")):
        np.testing.assert_array_equal(each.transform(x), model.transform(x))
        np.testing.assert_array_equal(each.predict(x), model.predict(x))
        np.testing.assert_array_equal(each.weights, model.weights)
        names = each.get_feature_names_out()
        assert len(names) == model.transform(x).shape[1]
    module = read.to_module()
    given = torch.from_numpy(x[:5])
    # Measured 1e-6: the estimator answers all images at a time.
    np.testing.assert_allclose(
        module(given).detach(), model.decision_function(x[:5]), rtol=0, atol=1e-5
    )
    exported = torch.export.export(module, (given,)).module()
    torch.testing.assert_close(exported(given), module(given), rtol=0, atol=1e-6)


def test_flat_channels_are_pixels_and_those_of_images_are_not(images):
    x, y = images
    plain = {"preprocessing": Preprocess()}
    flat = fitted(FLAT, x.reshape(-1, 64), y, **plain).layer_.state
    spatial = fitted(FLAT, x, y, **plain).layer_.state
    assert flat["0.mean"].shape == (64,)
    assert spatial["0.mean"].shape == (1,)
    exact = x.reshape(-1, 64) / 255
    np.testing.assert_allclose(flat["0.mean"], exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spatial["0.mean"], [exact.mean()], rtol=1e-6)


def test_images_of_a_data_set(tmp_path):
    images = fastpath.load("digits")
    model = fitted(SPATIAL, images, None)
    model.save(tmp_path / "model")
    read = fastpath.load_model(tmp_path / "model")
    assert read.score(images) == model.score(images) > 0.7
    assert read.layer_.input_shape == (8, 8, 1)
    # The same images as arrays of any shape are answered alike.
    for shape in ((8, 8, 1), (8, 8), (64,)):
        x = images.x_test.reshape(-1, *shape)
        np.testing.assert_array_equal(read.predict(x), model.predict(images))


def test_without_labels_the_features_are_there(images):
    model = fitted(SPATIAL, images[0], None)
    assert model.transform(images[0]).shape == (120, 4 * 4 * 6)


@pytest.mark.parametrize("kernels", ["pytorch", "cpp"])
def test_the_module_of_a_layer_with_chosen_kernels_goes_anywhere(kernels, images):
    from fastpath import kernels as implementations

    if reason := implementations.why_not(kernels, torch.device("cpu"), torch.float32):
        pytest.skip(reason)
    x, y = images
    model = fitted(SPATIAL, x, y, kernels=kernels)
    expected = model.transform(x)
    v = torch.from_numpy(model.preprocess(x))
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        found = model.to_module()[1].to(dtype)(v.to(dtype))
        assert found.dtype == dtype
        if dtype == torch.float64:  # measured 7e-5: a power of 4.5 of float32
            np.testing.assert_allclose(found.float(), expected, rtol=1e-3, atol=1e-3)


def test_a_stage_that_has_no_competition_of_its_own_is_saved(images, tmp_path):
    layer = StackSettings(stages=(FullyConnected(num_units=5),))
    fitted(layer, *images).save(tmp_path / "model")
