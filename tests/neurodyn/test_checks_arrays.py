"""The door: arrays of any kind are the numbers in them."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import sparse

from neurodyn import (
    DaleInhibition,
    LateralInhibition,
    Presentation,
    Recording,
)
from tests.neurodyn.test_checks import inputs, run, same

IMAGES = [
    lambda images: images.tolist(),
    lambda images: images.astype(np.float64, order="F"),
    lambda images: np.ma.array(images),
    lambda images: torch.tensor(images, requires_grad=True),
    lambda images: torch.tensor(images).to_sparse(),
    lambda images: sparse.csr_matrix(images),
    lambda images: xr.DataArray(images, dims=("image", "pixel")),
    lambda images: xr.DataArray(images.T, dims=("pixel", "image")),
    lambda images: xr.DataArray(
        images.reshape(3, 2, 3).transpose(1, 2, 0), dims=("height", "width", "image")
    ),
    lambda images: [torch.tensor(one, requires_grad=True) for one in images],
    lambda images: images.reshape(3, 2, 3),
    lambda images: images.reshape(3, 1, 2, 3),
    lambda images: images.reshape(3, 2, 3, 1),
]


@pytest.mark.parametrize("made", range(len(IMAGES)))
def test_images_of_any_kind_are_the_same_images(made):
    images, _ = inputs()
    same(run(images=IMAGES[made](images)), run())


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.longdouble, bool, np.uint8, np.int64]
)
def test_numbers_of_other_formats_are_what_they_are_worth(dtype):
    images = (inputs()[0] > 0.5).astype(dtype)
    same(run(images=images), run(images=images.astype(float)))


def test_weights_of_any_kind_are_the_same_weights():
    _, weights = inputs()
    traced = run(stimulus=Presentation(image_ms=1.0))["weights"]
    for given in (
        traced,
        traced.transpose("pixel", "unit"),
        torch.tensor(weights, requires_grad=True),
        torch.nn.Parameter(torch.tensor(weights)),
        xr.DataArray(weights.T, dims=("pixel", "unit")),
        weights.tolist(),
    ):
        same(run(weights=given), run())
    half = torch.tensor(weights).to(torch.bfloat16)
    same(run(weights=half), run(weights=half.double().numpy()))


@pytest.mark.parametrize(
    "order",
    [
        [0.0, 2.0, 1.0],
        np.array([0, 2, 1], np.uint8),
        np.array([0, 2, 1], np.uint64),
        torch.tensor([0, 2, 1]),
        (0, 2, 1),
    ],
)
def test_an_order_of_whole_numbers_of_any_kind(order):
    same(run(order=order), run(order=[0, 2, 1]))


def test_whole_numbers_of_any_kind():
    assert DaleInhibition(num_inh=np.int64(3)).num_inh == 3
    assert type(DaleInhibition(num_inh=3.0).num_inh) is int
    assert type(Recording(images_every=np.float64(2.0)).images_every) is int
    same(run(batch_size=np.int32(2), seed=np.uint8(3)), run(batch_size=2.0, seed=3))


def test_a_config_is_made_of_plain_numbers():
    """Whatever kind of numbers was given, JSON holds them as they are."""
    circuit = LateralInhibition(w_inh=np.float32(0.5), tau_ms=torch.tensor(10))
    config = json.loads(run(circuit, seed=np.int64(4)).attrs["config"])
    assert config["circuit"]["w_inh"] == 0.5
    assert config["circuit"]["tau_ms"] == 10.0
    assert config["seed"] == 4
