"""The door of all images: types and layouts that come in, and those that do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpath import experiment
from fastpath.data import datasets
from fastpath.data.datasets import Images

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
Y = np.arange(12) % 3
CLASSES = ("a", "b", "c")


def images(x_train=X, x_test=None, **changes):
    x_test = x_train if x_test is None else x_test
    given = {"y_train": Y, "y_test": Y, "name": "mine", "classes": CLASSES} | changes
    return Images(x_train=x_train, x_test=x_test, **given)


def masked(hidden):
    return np.ma.MaskedArray(X, mask=np.zeros(X.shape, bool) | hidden)


def read_only():
    x = X.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X[::-1][::-1],
        np.ascontiguousarray(X[:, :, ::-1])[:, :, ::-1],  # a negative stride
        np.ascontiguousarray(np.moveaxis(X, -1, 1)).transpose(0, 2, 3, 1),
        read_only(),
        masked(False),
        torch.from_numpy(X),
        torch.from_numpy(X.copy()).transpose(1, 2).contiguous().transpose(1, 2),
    ],
    ids=[
        "Fortran",
        "every second",
        "twice reversed",
        "reversed",
        "moved axis",
        "read-only",
        "mask of nothing",
        "tensor",
        "strided tensor",
    ],
)
def test_any_layout_of_the_same_pixels_is_the_same_images(x):
    mine = images(x)
    np.testing.assert_array_equal(mine.x_train, X)
    split = experiment.split(mine, validation=0, generator=torch.Generator())
    assert torch.equal(split.x_train, torch.from_numpy(X))
    assert type(mine.x_train) is np.ndarray


def test_images_without_an_axis_of_channels_get_one():
    mine = images(X[..., 0])
    assert mine.shape == (6, 5, 1)
    np.testing.assert_array_equal(mine.x_train[..., 0], X[..., 0])
    assert replace(mine, name="other").shape == (6, 5, 1)


def test_arrays_as_they_should_be_are_shared():
    assert np.shares_memory(images(X).x_train, X)


CHANNELS_FIRST = RNG.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X / 255, r"x_train is float64.*np\.round\(255 \* x\)"),
        ((X / 255).astype(np.float16), r"x_train is float16.*np\.round\(255 \* x\)"),
        (X.astype(np.float32), r"x_train is float32.*0 to 255: np\.round\(x\)"),
        (X.astype(np.int64), r"x_train is int64.*0 to 255: np\.round\(x\)"),
        (X > 100, r"x_train is bool.*255 \* x\.astype"),
        (X.astype(np.int8), "x_train is int8: pixels must be uint8"),
        (X.astype(object), "x_train is object: pixels must be uint8"),
        (X.astype(complex), "x_train is complex128: pixels must be uint8"),
        (X.astype(str), "x_train is <U3: pixels must be uint8"),
        (torch.from_numpy(X).float().requires_grad_(), "x_train is float32"),
        (torch.from_numpy(X).bfloat16(), "x_train is float32: pixels must be uint8"),
        (np.where(X < 20, np.nan, X), r"x_train has \d+ NaN or infinite"),
        (masked(X < 20), "x_train has masked values"),
        (X.reshape(12, -1), r"x_train has shape \(12, 90\)"),
        (X[0], r"y_train has shape \(12,\): one label per image, \(6,\)"),
        (X[:0], r"x_train has shape \(0, 6, 5, 3\)"),
        (CHANNELS_FIRST, r"shape \(12, 3, 32, 32\), which looks like channels first.*mov"),
        (CHANNELS_FIRST[:, :1], r"\(12, 1, 32, 32\), which looks like channels first"),
    ],
)
def test_what_are_no_uint8_images_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        images(x)


@pytest.mark.parametrize(
    ("x_test", "y_test", "message"),
    [
        (X[:0], Y[:0], r"x_test has shape \(0, 6, 5, 3\).*none of them 0"),
        (X / 255, Y, "x_test is float64"),
        (X[..., :1], Y, r"training images are \(6, 5, 3\), test images \(6, 5, 1\)"),
        (X[:, :5], Y, r"training images are \(6, 5, 3\), test images \(5, 5, 3\)"),
    ],
)
def test_test_images_are_checked_like_training_images(x_test, y_test, message):
    with pytest.raises(ValueError, match=message):
        images(X, x_test, y_test=y_test)


def test_digests_tell_images_labels_classes_and_shape_apart():
    flat = X.reshape(12, 3, 10, 3)
    other = X.copy()
    other[3, 2, 1, 0] ^= 1
    mine = images().digests
    assert images().digests == mine
    assert images(X.copy(), y_train=list(Y)).digests == mine
    changed = [
        images(X, other),
        images(X, y_test=(Y + 1) % 3),
        images(X, classes=("a", "b", "d")),
        images(flat),
    ]
    for each in changed:
        assert each.digests["images"] == mine["images"]
        assert each.digests["test_images"] != mine["test_images"]
    assert images(other, X).digests["images"] != mine["images"]


def test_a_path_may_be_given_as_one(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
    assert datasets.load(tmp_path / "set.npz").origin == ""
    assert datasets.load("digits").origin == "digits"
