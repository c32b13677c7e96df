"""Labelled images, and the checks and conversions of all images that come in."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8, UInt64
from torch import Tensor

SPLITS = ("train", "test")
LONGEST_NAME = 255  # characters of a class name, the limit of file systems


@dataclass(frozen=True, init=False)
class Images:
    """A labelled image set: uint8 images (N, height, width, channel) and labels (N).

    Labels are indices of `classes`. Arrays of any layout, PyTorch tensors, lists, and
    images (N, height, width) of one channel are converted to arrays of the types below,
    whose memory PyTorch can share.

    Raises
    ------
    ValueError
        If the images are not uint8 or of different sizes, there is not one label per image,
        a label is no index of `classes`, or a class name cannot be written to the files of
        a run.
    """

    x_train: UInt8[np.ndarray, "train height width channel"] = field(repr=False)
    y_train: Int[np.ndarray, " train"] = field(repr=False)
    x_test: UInt8[np.ndarray, "test height width channel"] = field(repr=False)
    y_test: Int[np.ndarray, " test"] = field(repr=False)
    name: str
    classes: tuple[str, ...]
    origin: str = ""
    """Name of the built-in data set (`datasets.NAMES`); empty for files and folders,
    whatever their names."""

    def __init__(
        self,
        x_train: Any,
        y_train: Any,
        x_test: Any,
        y_test: Any,
        name: str,
        classes: Iterable[Any],
        origin: str = "",
    ) -> None:
        classes = tuple(map(str, classes))
        check_names(classes)
        if not _is_text(name):
            raise ValueError(
                f"{name!a} cannot be the name of a data set: UTF-8 text without control "
                "characters is needed; rename the file or folder"
            )
        x_train, y_train = _labelled(x_train, y_train, "train", len(classes))
        x_test, y_test = _labelled(x_test, y_test, "test", len(classes))
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(
                f"training images are {x_train.shape[1:]}, test images "
                f"{x_test.shape[1:]}: they must have one size"
            )
        values = (x_train, y_train, x_test, y_test, name, classes, origin)
        for attribute, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, attribute.name, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.x_train.shape[1:]

    @property
    def num_pixels(self) -> int:
        """Number of inputs of a layer: height x width x channels."""
        return int(np.prod(self.shape))

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 sums that identify the training set and the test set.

        The sum of the training set covers only images and labels, as in runs of older
        versions. The sum of the test set also covers the shape and the class names.
        """
        named = json.dumps([self.shape, self.classes]).encode()
        return {
            "images": _digest(self.x_train, self.y_train),
            "test_images": _digest(self.x_test, self.y_test, more=named),
        }


def _digest(*arrays: np.ndarray, more: bytes = b"") -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    digest.update(more)
    return digest.hexdigest()


def check_names(classes: tuple[str, ...]) -> None:
    """Raise ValueError if class names cannot be written to files, or are not unique."""
    for name in classes:
        if not 1 <= len(name) <= LONGEST_NAME or not _is_text(name):
            quoted = ascii(name if len(name) < 60 else f"{name[:60]}...")
            raise ValueError(
                f"{quoted} cannot be the name of a class: 1 to {LONGEST_NAME} characters "
                "of UTF-8 text without control characters are needed; rename it"
            )
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(
            f"two classes are called '{twice}': each needs a name of its own; rename one"
        )


def _labelled(
    images: Any, values: Any, split: str, num_classes: int
) -> tuple[UInt8[np.ndarray, "image height width channel"], Int[np.ndarray, " image"]]:
    """Return images and their labels as `Images` holds them."""
    x, y = as_pixels(images, f"x_{split}"), labels(values, f"y_{split}")
    if len(y) != len(x):
        raise ValueError(
            f"y_{split} has shape {y.shape}: one label per image, ({len(x)},), is needed"
        )
    if y.max() >= num_classes:
        raise ValueError(
            f"y_{split}: labels go up to {y.max()}, but 'classes' names {num_classes}: "
            "label i needs the name classes[i]"
        )
    return x, y.astype(np.int64)


def _is_text(name: str) -> bool:
    """Tell whether a name is valid UTF-8 without control characters."""
    return not {unicodedata.category(letter) for letter in name} & {"Cc", "Cs"}


def _array(value: Any, name: str) -> np.ndarray:
    """Return an array, a tensor or a list as an array; refuse masked values."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} has masked values: fill them, or leave those images out, first"
        )
    return np.asarray(value)


def as_pixels(value: Any, name: str) -> UInt8[np.ndarray, "image height width channel"]:
    """Return uint8 images with an axis of channels, in memory that PyTorch can share."""
    x = _array(value, name)
    if x.dtype != np.uint8:
        raise ValueError(_not_uint8(x, name))
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {x.shape}: (image, height, width) or (image, height, "
            "width, channel) is needed, none of them 0"
        )
    if x.ndim == 4 and x.shape[1] <= 4 < min(x.shape[2:]):
        raise ValueError(
            f"{name} has shape {x.shape}, which looks like channels first: (image, height, "
            "width, channel) is needed (np.moveaxis(x, 1, -1))"
        )
    return np.require(x if x.ndim == 4 else x[..., None], requirements=["C", "W"])


def _not_uint8(x: np.ndarray, name: str) -> str:
    if x.dtype.kind == "f" and (wrong := np.count_nonzero(~np.isfinite(x))):
        return f"{name} has {wrong} NaN or infinite pixels: pixels must be uint8, 0 to 255"
    cure = "for floats in [0, 1]: np.round(255 * x).astype(np.uint8)"
    if x.dtype.kind == "b":
        cure = "for True and False: 255 * x.astype(np.uint8)"
    elif x.dtype.kind in "iuf" and x.size and x.max() > 1:
        cure = "for numbers from 0 to 255: np.round(x).astype(np.uint8)"
    return f"{name} is {x.dtype}: pixels must be uint8, 0 to 255 ({cure})"


def labels(value: Any, name: str) -> UInt64[np.ndarray, " image"]:
    """Return integer labels as uint64.

    Raises
    ------
    ValueError
        If labels are not integers of 0 or more, or not one per image.
    """
    y = _array(value, name)
    if y.ndim == 2:
        one_hot = "y[:, 0]" if y.shape[1] == 1 else "for one-hot labels: y.argmax(axis=1)"
        raise ValueError(
            f"{name} has shape {y.shape}: one label per image is needed ({one_hot})"
        )
    if y.dtype.kind not in "iu":
        raise ValueError(
            f"{name} is {y.dtype}: labels must be integers, 0 and up (for whole numbers: "
            "y.astype(int); names go into 'classes', and labels are their indices)"
        )
    if y.ndim != 1:
        raise ValueError(f"{name} has shape {y.shape}: one label per image is needed")
    if (y < 0).any():
        raise ValueError(f"{name} holds the label {y.min()}: labels start at 0")
    return y.astype(np.uint64)


def numbered(
    y_train: Any, y_test: Any
) -> tuple[tuple[str, ...], Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Return the class names of labels without names, and the labels as indices of them.

    Each label that occurs names a class: the labels 0 and 140000 become the indices 0 and
    1 of the classes "0" and "140000".
    """
    train, test = labels(y_train, "y_train"), labels(y_test, "y_test")
    names, joined = np.unique(np.concatenate([train, test]), return_inverse=True)
    return tuple(map(str, names)), joined[: len(train)], joined[len(train) :]


def check_learnable(images: Images) -> None:
    """Raise ValueError if a label of the test images is missing in the training images."""
    if unseen := sorted({*images.y_test.tolist()} - {*images.y_train.tolist()}):
        names = [images.classes[label] for label in unseen]
        listed = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
        raise ValueError(
            f"labels that the training images do not have are in y_test ({listed}): they "
            "cannot be learned; if that is intended, name all classes in an array 'classes'"
        )
