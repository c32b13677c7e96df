"""Checks and conversions of arguments: numbers, settings, tensors, labels, objects.

Values of another type are converted if nothing is lost: NumPy numbers to Python numbers,
whole floats to counts, arrays to tensors, integer labels to int64. All others are refused
by a ValueError that names the value and the values allowed.
"""

import math
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

FORMATS = (torch.float32, torch.float64, torch.bfloat16)


def fields(settings: object, **check_of: Callable[[str, Any], Any]) -> None:
    """Replace fields of a frozen dataclass by the return values of their checks."""
    for name, check in check_of.items():
        object.__setattr__(settings, name, check(name, getattr(settings, name)))


def number(name: str, value: Any) -> float | int:
    """Return a real number as a Python int or float.

    Raises
    ------
    ValueError
        If the value is no number but a string, a truth value, an array, ...
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
    """Raise ValueError for a Brian2 quantity, whose unit would be dropped."""
    if not getattr(value, "is_dimensionless", True):
        raise ValueError(
            f"{name} is {' '.join(str(value).split())[:60]}: here nothing has a unit, so "
            "divide by it"
        )


def whole(name: str, value: Any) -> int:
    """Return a whole number as int; whole floats are converted.

    Raises
    ------
    ValueError
        If the value is no number, or not whole.
    """
    if type(value) is int:
        return value
    converted = number(name, value)
    if not math.isfinite(converted) or converted != int(converted):
        raise ValueError(f"{name} is {converted}: a whole number is needed")
    return int(converted)


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Return a number of things as int.

    Raises
    ------
    ValueError
        If the value is no whole number, or less than `least`.
    """
    converted = whole(name, value)
    if converted < least:
        raise ValueError(f"{name} is {converted}: at least {least} is needed")
    return converted


def seed(name: str, value: Any) -> int:
    """Return a seed as int.

    Raises
    ------
    ValueError
        If the value is no whole number from 0 to 2^63 − 1.
    """
    converted = whole(name, value)
    if not 0 <= converted < 2**63:
        raise ValueError(f"{name} is {converted}: 0 to 2^63 - 1 is needed")
    return converted


def positive(name: str, value: Any) -> float | int:
    """Return a positive, finite number.

    Raises
    ------
    ValueError
        If the value is no such number.
    """
    converted = number(name, value)
    if not (converted > 0 and math.isfinite(converted)):
        raise ValueError(f"{name} is {converted}: it must be positive and finite")
    return converted


def not_negative(name: str, value: Any) -> float | int:
    """Return a number that is 0 or more, and finite; raise ValueError for any other."""
    converted = number(name, value)
    if not (converted >= 0 and math.isfinite(converted)):
        raise ValueError(f"{name} is {converted}: it must be 0 or more, and finite")
    return converted


def flag(name: str, value: Any) -> bool:
    """Return a truth value as bool; the integers 0 and 1 are converted.

    Raises
    ------
    ValueError
        If the value is anything else, such as the string "no".
    """
    if isinstance(value, bool | np.bool_ | Integral) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{name} is {quoted(value)}: True or False is needed")


def one_of(*allowed: str | None) -> Callable[[str, Any], Any]:
    """Return a check that raises ValueError for all but these values."""
    return partial(_one_of, allowed=allowed)


def _one_of(name: str, value: Any, allowed: tuple[str | None, ...]) -> str | None:
    if (value is None or isinstance(value, str)) and value in allowed:
        return value
    listed = ", ".join(map(repr, allowed))
    raise ValueError(f"{name} is {quoted(value)}: give one of {listed}")


def instance[Kind](name: str, value: Any, kind: type[Kind]) -> Kind:
    """Return an object of this class.

    Raises
    ------
    ValueError
        If the value is of another class, or a class itself.
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
    """Return a competition: any function of the drives (image, unit).

    Raises
    ------
    ValueError
        If the value is not callable, or a class.
    """
    _refuse_class("competition", value)
    if not callable(value):
        raise ValueError(
            f"competition is {quoted(value)}: Ranking(), RunnersUp(), Equilibrium(), "
            "Soft() or a function of the drives (image, unit) is needed"
        )
    return value


def generator(value: Any) -> torch.Generator:
    """Return a PyTorch generator of random numbers on the CPU.

    Raises
    ------
    ValueError
        If the value is no `torch.Generator`, or on another device.
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
        If the value is neither a tensor nor an array, not real, or partly masked.
    """
    if isinstance(value, Tensor):  # or a subclass: a parameter, a torchvision image
        converted = value if type(value) is Tensor else value.as_subclass(Tensor)
    elif isinstance(value, np.ndarray):
        without_unit(name, value)
        converted = _from_array(name, value)
    else:
        _refuse_class(name, value)
        raise ValueError(f"{name} is {quoted(value)}: a tensor or a NumPy array is needed")
    if converted.is_complex() or converted.layout != torch.strided:
        kind = converted.dtype if converted.is_complex() else converted.layout
        raise ValueError(f"{name} is {kind}: a dense tensor of real numbers is needed")
    return converted


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
    """Return a tensor of two dims, named by `dims`, such as "(image, unit)".

    Raises
    ------
    ValueError
        If the value is no such tensor.
    """
    converted = tensor(name, value)
    if converted.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(converted.shape)}: {dims} is needed")
    return converted


def floats(name: str, value: Any, dims: str) -> Float[Tensor, "_ _"]:
    """Return a floating-point tensor of two dims.

    Raises
    ------
    ValueError
        If the value is no such tensor.
    """
    converted = matrix(name, value, dims)
    if not converted.is_floating_point():
        raise ValueError(f"{name} is {converted.dtype}: floating point is needed")
    return converted


def weights(value: Any) -> Float[Tensor, "unit pixel"]:
    """Return weights that can learn.

    Raises
    ------
    ValueError
        If the value is no finite (unit, pixel) matrix, or of another number format than
        float32, float64 or bfloat16.
    """
    converted = tensor("weights", value)
    if converted.dtype not in FORMATS:
        raise ValueError(
            f"weights are {converted.dtype}: float32 or float64 is needed (weights.float())"
        )
    if converted.ndim != 2 or not converted.numel() or not converted.isfinite().all():
        raise ValueError(
            f"weights of shape {tuple(converted.shape)}: a finite (unit, pixel) matrix is "
            "needed"
        )
    return converted


def images(name: str, value: Any) -> Num[Tensor, "image *shape"]:
    """Return one or more images: uint8 pixels, or floating-point rates of a layer below.

    Raises
    ------
    ValueError
        If the value has another type, fewer than two dims, or no elements.
    """
    x = tensor(name, value)
    if x.ndim < 2 or not x.numel():
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: (image, pixel) or (image, height, "
            "width, channel) is needed, none of them 0"
        )
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise ValueError(
            f"{name}: the images are {x.dtype}: uint8 is needed, 0 to 255, or floating "
            "point for the rates of a layer below"
        )
    return x


def labels(
    name: str, value: Any, *, num_images: int, num_classes: int | None = None
) -> Int[Tensor, " image"]:
    """Return labels, one for each image, as int64.

    Raises
    ------
    ValueError
        If labels are no integers, not one per image, or not in 0..num_classes − 1.
    """
    y = tensor(name, value)
    if y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"{name} is {y.dtype}: labels must be integers, 0 and up")
    if y.shape != (num_images,):
        raise ValueError(
            f"{name} has shape {tuple(y.shape)}: one label per image, ({num_images},), "
            "is needed (of one-hot labels: argmax)"
        )
    if not num_images:
        raise ValueError(f"{name} is empty: at least one image is needed")
    y = y.long()
    if num_classes is not None:
        least, most = y.min().item(), y.max().item()
        if least < 0 or most >= num_classes:
            raise ValueError(
                f"{name} holds labels from {least} to {most}, but there are {num_classes} "
                f"classes: 0 to {num_classes - 1} is needed"
            )
    return y


def pixels(x: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless images and weights are matrices with the same pixels."""
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
    """Return a mean image that fits these flattened images.

    Raises
    ------
    ValueError
        If the mean is not floating point, has another number of pixels, or lies on another
        device than the images.
    """
    mean = tensor("mean", value)
    if not mean.is_floating_point() or mean.shape != flat.shape[1:]:
        raise ValueError(
            f"the mean image is {mean.dtype} of shape {tuple(mean.shape)}: floating "
            f"point of shape ({flat.shape[1]},) is needed, the `mean` of Preprocess.fit(x)"
        )
    same_device("the mean image", mean, "the images", flat)
    return mean


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
    """Return a value for a message, with its type unless it is a string, bool or None."""
    if isinstance(value, str | bool | None):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and {value.dtype}"
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
