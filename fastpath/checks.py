"""What may come in: numbers, settings, tensors, labels, and objects for a role.

What is of another type is converted where nothing is lost by it: NumPy's numbers to
Python's, whole floats to counts, arrays to tensors, integer labels to int64. The rest is
refused by a ValueError that says what was given and what is needed.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

FORMATS = (torch.float32, torch.float64, torch.bfloat16)


def fields(settings: object, **wanted: Callable[[str, Any], Any]) -> None:
    """Replace fields of a frozen dataclass by what their checks return."""
    for name, check in wanted.items():
        object.__setattr__(settings, name, check(name, getattr(settings, name)))


def number(name: str, value: Any) -> float | int:
    """Return a real number as Python's own: int or float, whichever it is.

    Raises
    ------
    ValueError
        If it is none, but a string, a truth value, an array, ...
    """
    if type(value) in (float, int):
        return value
    without_unit(name, value)
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ValueError(f"{name} is {quoted(value)}: a number is needed")
    return int(value) if isinstance(value, Integral) else float(value)


def without_unit(name: str, value: Any) -> None:
    """Raise ValueError for a quantity of Brian2, whose unit would be dropped."""
    if not getattr(value, "is_dimensionless", True):
        raise ValueError(
            f"{name} is {' '.join(str(value).split())[:60]}: here nothing has a unit, so "
            "divide by it"
        )


def whole(name: str, value: Any) -> int:
    """Return a whole number as int; a float counts where it is whole.

    Raises
    ------
    ValueError
        If it is no number, or not whole.
    """
    if type(value) is int:
        return value
    found = number(name, value)
    if not math.isfinite(found) or found != int(found):
        raise ValueError(f"{name} is {found}: a whole number is needed")
    return int(found)


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Return a number of things as int.

    Raises
    ------
    ValueError
        If it is no whole number, or less than `least`.
    """
    found = whole(name, value)
    if found < least:
        raise ValueError(f"{name} is {found}: at least {least} is needed")
    return found


def seed(name: str, value: Any) -> int:
    """Return a seed of random numbers as int.

    Raises
    ------
    ValueError
        If it is no whole number from 0 to 2^63 − 1.
    """
    found = whole(name, value)
    if not 0 <= found < 2**63:
        raise ValueError(f"{name} is {found}: 0 to 2^63 - 1 is needed")
    return found


def positive(name: str, value: Any) -> float | int:
    """Return a positive, finite number.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = number(name, value)
    if not (found > 0 and math.isfinite(found)):
        raise ValueError(f"{name} is {found}: it must be positive and finite")
    return found


def flag(name: str, value: Any) -> bool:
    """Return a truth value as bool; 0 and 1 count as such.

    Raises
    ------
    ValueError
        If it is none: strings like "no" are not.
    """
    if isinstance(value, bool | np.bool_ | Integral) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{name} is {quoted(value)}: True or False is needed")


def one_of(*allowed: str | None) -> Callable[[str, Any], Any]:
    """Return a check that lets these values pass.

    The check raises ValueError for others.
    """

    def check(name: str, value: Any) -> str | None:
        if (value is None or isinstance(value, str)) and value in allowed:
            return value
        known = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} is {quoted(value)}: give one of {known}")

    return check


def instance[Kind](name: str, value: Any, kind: type[Kind]) -> Kind:
    """Return an object of this class.

    Raises
    ------
    ValueError
        If it is something else, or a class.
    """
    _refuse_class(name, value)
    if isinstance(value, kind):
        return value
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    raise ValueError(f"{name} is {quoted(value)}: {article} {kind.__name__} is needed")


def optional[Kind](name: str, value: Any, kind: type[Kind]) -> Kind | None:
    """Return an object of this class, or None; see `instance`."""
    return None if value is None else instance(name, value, kind)


def competition(value: Any) -> Callable[[Tensor], Tensor]:
    """Return what decides who learns: any function of the drives.

    Raises
    ------
    ValueError
        If it cannot be called, or is a class.
    """
    _refuse_class("competition", value)
    if not callable(value):
        raise ValueError(
            f"competition is {quoted(value)}: Ranking(), Equilibrium(), Soft() or a "
            "function of the drives (image, unit) is needed"
        )
    return value


def generator(value: Any) -> torch.Generator:
    """Return the source of all random numbers, which lies on the CPU.

    Raises
    ------
    ValueError
        If it is no generator of PyTorch, or on another device.
    """
    if isinstance(value, torch.Generator) and value.device.type == "cpu":
        return value
    where = f"on '{value.device}'" if isinstance(value, torch.Generator) else quoted(value)
    raise ValueError(
        f"generator is {where}: a torch.Generator of the CPU is needed, so that a seed "
        "means the same on every device: torch.Generator().manual_seed(0)"
    )


def tensor(name: str, value: Any) -> Tensor:
    """Return a tensor of real numbers; arrays are converted.

    Raises
    ------
    ValueError
        If it is neither, or not of real numbers, or some of it is masked.
    """
    if isinstance(value, Tensor):  # also a parameter, an image of torchvision
        found = value if type(value) is Tensor else value.as_subclass(Tensor)
    elif isinstance(value, np.ndarray):
        without_unit(name, value)
        found = _from_array(name, value)
    else:
        _refuse_class(name, value)
        raise ValueError(f"{name} is {quoted(value)}: a tensor or a NumPy array is needed")
    if found.is_complex() or found.layout != torch.strided:
        kind = found.dtype if found.is_complex() else found.layout
        raise ValueError(f"{name} is {kind}: a dense tensor of real numbers is needed")
    return found


def _from_array(name: str, array: np.ndarray) -> Tensor:
    if np.ma.is_masked(array):
        raise ValueError(
            f"{name} has {np.ma.count_masked(array)} masked values: fill them, or leave "
            "out what they belong to"
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is an array of {array.dtype}: numbers are needed")
    array = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)
    try:
        return torch.from_numpy(
            np.asarray(array if array.flags.writeable else array.copy())
        )
    except TypeError:
        raise ValueError(f"{name} is {array.dtype}, which PyTorch does not have") from None


def matrix(name: str, value: Any, dims: str) -> Tensor:
    """Return a tensor of two dims, such as "(image, unit)".

    Raises
    ------
    ValueError
        If it is none.
    """
    found = tensor(name, value)
    if found.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(found.shape)}: {dims} is needed")
    return found


def floats(name: str, value: Any, dims: str) -> Float[Tensor, "_ _"]:
    """Return a floating-point tensor of two dims.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = matrix(name, value, dims)
    if not found.is_floating_point():
        raise ValueError(f"{name} is {found.dtype}: floating point is needed")
    return found


def weights(value: Any) -> Float[Tensor, "unit pixel"]:
    """Return weights that can learn.

    Raises
    ------
    ValueError
        If they are no finite (unit, pixel) matrix, or of a number format that has too
        small a range, or holds no fractions.
    """
    found = tensor("weights", value)
    if found.dtype not in FORMATS:
        raise ValueError(
            f"weights are {found.dtype}: float32 or float64 is needed (weights.float())"
        )
    if found.ndim != 2 or not found.numel() or not found.isfinite().all():
        raise ValueError(
            f"weights of shape {tuple(found.shape)}: a finite (unit, pixel) matrix is "
            "needed"
        )
    return found


def images(name: str, value: Any) -> Num[Tensor, "image *shape"]:
    """Return images: uint8 pixels, or the rates of a layer below, at least one.

    Raises
    ------
    ValueError
        If they are something else.
    """
    found = tensor(name, value)
    if found.ndim < 2 or not found.numel():
        raise ValueError(
            f"{name} has shape {tuple(found.shape)}: (image, pixel) or (image, height, "
            "width, channel) is needed, none of them 0"
        )
    if found.dtype != torch.uint8 and not found.is_floating_point():
        raise ValueError(
            f"{name}: the images are {found.dtype}: uint8 is needed, 0 to 255, or floating "
            "point for the rates of a layer below"
        )
    return found


def labels(
    name: str, value: Any, *, num_images: int, num_classes: int | None = None
) -> Int[Tensor, " image"]:
    """Return labels, one for each image, as int64.

    Raises
    ------
    ValueError
        If they are no integers, not one for each image, or not in 0..num_classes − 1.
    """
    found = tensor(name, value)
    if found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(f"{name} is {found.dtype}: labels must be integers, 0 and up")
    if found.shape != (num_images,):
        raise ValueError(
            f"{name} has shape {tuple(found.shape)}: one label per image, ({num_images},), "
            "is needed (of one-hot labels: argmax)"
        )
    if not num_images:
        raise ValueError(f"{name} is empty: at least one image is needed")
    found = found.long()
    if num_classes is not None:
        least, most = found.min().item(), found.max().item()
        if least < 0 or most >= num_classes:
            raise ValueError(
                f"{name} holds labels from {least} to {most}, but there are {num_classes} "
                f"classes: 0 to {num_classes - 1} is needed"
            )
    return found


def pixels(x: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless images and weights are matrices of as many pixels."""
    if x.ndim == 2 and x.shape[1] == weights.shape[1]:
        return
    if x.ndim != 2:
        raise ValueError(
            f"the images have shape {tuple(x.shape)}: (image, pixel) is needed"
        )
    raise ValueError(
        f"the weights have {weights.shape[1]} pixels per unit, the images "
        f"{x.shape[1]}: use weights that were trained on images of this size"
    )


def mean_image(value: Any, flat: Num[Tensor, "image pixel"]) -> Float[Tensor, " _"]:
    """Return the mean image that `Preprocess.fit` returned, for these flattened images.

    Raises
    ------
    ValueError
        If it is not of floating point, not one number for each pixel, or elsewhere.
    """
    found = tensor("mean", value)
    if not found.is_floating_point() or found.shape != flat.shape[1:]:
        raise ValueError(
            f"the mean image is {found.dtype} of shape {tuple(found.shape)}: floating "
            f"point of shape ({flat.shape[1]},) is needed, as Preprocess.fit returns it"
        )
    same_device("the mean image", found, "the images", flat)
    return found


def same_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Raise ValueError unless two tensors lie on one device."""
    if value.device != other.device:
        raise ValueError(
            f"{name}: on '{value.device}', but {other_name} on '{other.device}'; move one "
            "to the device of the other by .to()"
        )


def _refuse_class(name: str, value: Any) -> None:
    if isinstance(value, type):
        raise ValueError(
            f"{name} is the class {value.__name__}: an instance is needed, "
            f"{value.__name__}(...)"
        )


def quoted(value: Any) -> str:
    """Return a value for a message, with its type where that is what is wrong."""
    if isinstance(value, str | bool | None):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and {value.dtype}"
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
