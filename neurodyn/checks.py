"""Checks and conversions of user input: numbers, times, arrays, settings.

A number is a real number of any kind (Python's, NumPy's, an array or tensor of size 1),
never a boolean or a string. Brian2 quantities are converted where a time is expected, and
refused if they have another dimension: np.asarray would drop it.
"""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Values = float | NDArray[np.float64]

MILLISECONDS = {"ms": 1.0, "s": 1e3, "us": 1e-3}  # by the attribute `units` of arrays


def warn(message: str) -> None:
    """Warn the user, at the line outside the package that called it."""
    warnings.warn(message, skip_file_prefixes=(str(Path(__file__).parent),))


def convert(settings: object, **conversions: Callable[[str, Any], Any]) -> None:
    """Replace fields of a frozen dataclass by their conversions (name, value) -> value."""
    for name, conversion in conversions.items():
        object.__setattr__(settings, name, conversion(name, getattr(settings, name)))


def by_value[Settings](kind: type[Settings]) -> type[Settings]:
    """Compare and hash a dataclass with array fields by the values of its fields."""

    def values(settings: Settings) -> tuple[Any, ...]:
        held = (getattr(settings, field.name) for field in fields(kind))  # pyrefly: ignore
        # + 0.0 turns -0.0 into 0.0, which is equal.
        return tuple(
            (value.shape, (value + 0.0).tobytes())
            if isinstance(value, np.ndarray)
            else value
            for value in held
        )

    def equal(self: Settings, other: object) -> bool:
        return (
            values(self) == values(other) if type(other) is type(self) else NotImplemented
        )

    kind.__eq__ = equal  # pyrefly: ignore
    kind.__hash__ = lambda self: hash((type(self), values(self)))
    return kind


def number(name: str, value: Any) -> float:
    """Return a real number.

    Raises
    ------
    ValueError
        If it is not one number, or has a unit.
    """
    array = _plain(name, value, "a number")
    if array.size != 1 or array.dtype.kind == "b":
        raise ValueError(f"{name} is {_quoted(value)}: one number is needed")
    return float(array.item())


def whole(name: str, value: Any) -> int:
    """Return a whole number; a float such as 3.0 is one.

    Raises
    ------
    ValueError
        If it is not a whole number.
    """
    if type(value) is int:  # of any size
        return value
    array = _plain(name, value, "a whole number")
    if array.size != 1 or array.dtype.kind == "b" or array.item() % 1 != 0:
        raise ValueError(f"{name} is {_quoted(value)}: a whole number is needed")
    return int(array.item())


def numbers(name: str, value: Any) -> Values:
    """Return a real number, or an array of them in float64; errors as in `number`."""
    array = _plain(name, value, "a number or an array of numbers")
    return array.astype(np.float64) if array.ndim else number(name, value)


def time_ms(name: str, value: Any) -> float:
    """Return a time in milliseconds; a plain number is in ms, a quantity is converted.

    Raises
    ------
    ValueError
        If it is not one number, or a quantity that is not a time.
    """
    return number(name, _in_ms(name, value))


def times_ms(name: str, value: Any) -> Values:
    """Return one time in milliseconds, or an array of them; errors as in `time_ms`."""
    return numbers(name, _in_ms(name, value))


def optional[Converted](
    conversion: Callable[[str, Any], Converted],
) -> Callable[[str, Any], Converted | None]:
    """Return the conversion of a value that may be None."""
    return lambda name, value: None if value is None else conversion(name, value)


def flag(name: str, value: Any) -> bool:
    """Return True or False; ValueError if it is neither."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {_quoted(value)}: True or False is needed")
    return bool(value)


def instance(name: str, value: Any, kind: Any, example: str) -> None:
    """Refuse a value that is not an instance of `kind`, or is a class itself.

    Raises
    ------
    ValueError
        If `value` is refused.
    """
    if isinstance(value, type):
        raise ValueError(
            f"{name} is the class {value.__name__}: give an instance of it, such as "
            f"{value.__name__}(...)"
        )
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_quoted(value)}: give {example}")


def satisfies(name: str, value: Any, protocol: type, example: str) -> None:
    """Refuse a value that lacks members of a protocol, or is a class itself.

    Raises
    ------
    ValueError
        If `value` is refused.
    """
    instance(name, value, object, example)
    if missing := lacking(value, protocol):
        raise ValueError(
            f"{name} is {_quoted(value)}: give {example}, or an object with "
            f"all members of {protocol.__module__}.{protocol.__name__} (it lacks "
            f"{', '.join(missing[:5])}{', ...' * (len(missing) > 5)})"
        )


def lacking(value: Any, protocol: type) -> list[str]:
    """Return the members of a protocol that a value does not have."""
    members = [*vars(protocol), *protocol.__annotations__]
    return [name for name in members if name[0] != "_" and not hasattr(value, name)]


def path(name: str, value: Any) -> Path:
    """Return a path; ValueError if it is not one."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{name} is {_quoted(value)}: the path of a file is needed")
    return Path(value)


def array(name: str, value: Any, dims: tuple[str, ...] = ()) -> NDArray[np.float64]:
    """Return real numbers as float64.

    Parameters
    ----------
    dims
        Order of the dims. An xarray array with no other dims is transposed to it.

    Raises
    ------
    ValueError
        If they are not numbers, have a unit, are masked, or are NaN or infinite.
    """
    shared = [dim for dim in dims if dim in getattr(value, "dims", ())]
    if shared and len(shared) == len(value.dims):
        value = value.transpose(*shared)
    array = _plain(name, value, "an array of real numbers").astype(np.float64)
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise ValueError(f"{name}: {bad} of {array.size} values are NaN or infinite")
    return array


def rates(name: str, value: Any) -> NDArray[np.float64]:
    """Return images as input rates, (image, pixel), float64; pixels in C-order.

    From (image, pixel) or (image, height, width[, channel]).

    Raises
    ------
    ValueError
        As `array`; if the shape is wrong, the channels come first, or the values are
        integers above 1, such as 0 to 255 in image files.
    """
    images = array(name, value, ("image", "height", "width", "channel", "pixel"))
    if images.ndim not in (2, 3, 4) or 0 in images.shape:
        raise ValueError(
            f"{name} have shape {images.shape}: (image, pixel) or (image, height, width"
            "[, channel]) is needed, none of them 0"
        )
    colours = (1, 3, 4)
    if images.ndim == 4 and images.shape[1] in colours and images.shape[3] not in colours:
        raise ValueError(
            f"{name} have shape {images.shape}, with the channels first: they come last "
            "here (np.moveaxis(images, 1, -1)), as in the weights of `fastpath`"
        )
    if (kind := _kind(value)) in "iu" and abs(images).max() > 1:
        raise ValueError(
            f"{name} are whole numbers up to {images.max():g}: input rates are needed, "
            "preprocessed as for the training of the weights (images / 255, `fastpath "
            f"export`); only floats may be above 1 (this array has NumPy's kind {kind!r})"
        )
    return images.reshape(len(images), -1)


def indices(name: str, value: Any) -> NDArray[np.intp]:
    """Return a list of whole numbers as indices; ValueError if it is not one."""
    array = _plain(name, value, "a list of whole numbers")
    given = f"shape {array.shape} and type {array.dtype}"
    if array.dtype.kind != "b" and array.size and array.ndim == 1:
        whole = np.isfinite(array) & (array == np.floor(array)) & (abs(array) < 2**53)
        if whole.all():
            return array.astype(np.intp)
        given = f"{array[~whole][0]:g}"
    raise ValueError(f"{name} has {given}: a list of whole numbers is needed, 1 or more")


def positive(name: str, value: Values, what: str = "it") -> None:
    """Refuse numbers that are not positive and finite."""
    if not (np.all(np.asarray(value) > 0) and np.all(np.isfinite(value))):
        raise ValueError(f"{name} is {worst(value)}: {what} must be positive and finite")


def at_least_one(name: str, value: int, what: str = "is needed") -> None:
    """Refuse a number below 1."""
    if value < 1:
        raise ValueError(f"{name} is {value}: at least 1 {what}")


def not_negative(name: str, value: Values, what: str = "it") -> None:
    """Refuse numbers that are negative or not finite."""
    if not (np.all(np.asarray(value) >= 0) and np.all(np.isfinite(value))):
        raise ValueError(f"{name} is {worst(value)}: {what} must be 0 or more, and finite")


def exponent(p: float) -> None:
    """Refuse exponents of the metric (eq. 2) below 2."""
    if not (p >= 2 and math.isfinite(p)):
        raise ValueError(
            f"p is {p}: the exponent of the metric must be 2 or more, and finite"
        )


def sign(input_sign: int) -> None:
    """Refuse signs other than 1, −1 and 0."""
    if input_sign not in (-1, 0, 1):
        raise ValueError(
            f"input_sign is {input_sign}: give 1 (excitatory), -1 (inhibitory), 0 (either)"
        )


def worst(value: Values) -> str:
    """Return a number, or the smallest or non-finite value of an array, for a message."""
    if np.ndim(value) == 0:
        return str(value)
    values = np.asarray(value)
    bad = values[~np.isfinite(values)]
    return f"an array with {(bad if bad.size else values).min()}"


def _in_ms(name: str, value: Any) -> Any:
    """Return times with a unit as plain milliseconds, other values unchanged."""
    if isinstance(value, timedelta):
        return value / timedelta(milliseconds=1)
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "ms"))
    if (units := _units(value)) is not None:
        if units not in MILLISECONDS:
            raise ValueError(
                f"{name} is in {units}: a time is needed, in {', '.join(MILLISECONDS)}"
            )
        return value.values * MILLISECONDS[units]
    if (quantity := _quantity(name, value)) is None:
        return value
    import brian2 as b2

    if quantity.dim is not b2.second.dim:
        raise ValueError(
            f"{name} is {_quoted(value)}: a time is needed, in ms or as a Brian2 quantity"
        )
    # Rounded to 15 digits: 0.3*ms/ms is 0.29999999999999999.
    ms = np.asarray(quantity) / 1e-3
    return np.vectorize(lambda time: float(f"{time:.15g}"), otypes=[float])(ms)


def _quantity(name: str, value: Any) -> Any:
    """Return a Brian2 quantity, or a list of them as an array; None for other values."""
    if "brian2" not in sys.modules:  # then there are no quantities
        return None
    from brian2.units.fundamentalunits import DimensionMismatchError, Quantity

    if isinstance(value, Quantity):
        return value
    if not (isinstance(value, list | tuple) and _holds(value, Quantity)):
        return None
    try:
        return Quantity(value)
    except (TypeError, DimensionMismatchError) as error:
        raise ValueError(f"{name} mixes units: {' '.join(str(error).split())}") from error


def _units(value: Any) -> str | None:
    """Return the unit of an xarray, pint or astropy array, or None."""
    if hasattr(value, "dims") and hasattr(value, "attrs"):
        return value.attrs.get("units")
    names = [name for name in ("units", "unit") if hasattr(type(value), name)]
    return str(getattr(value, names[0])) if names else None


def _holds(values: Any, kind: type) -> bool:
    if isinstance(values, list | tuple):
        return any(_holds(value, kind) for value in values)
    return isinstance(values, kind)


def _plain(name: str, value: Any, needed: str) -> NDArray[Any]:
    """Return real numbers without unit as a NumPy array of their own type.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    if (quantity := _quantity(name, value)) is not None:
        if not quantity.is_dimensionless:  # 1*mV/mV is
            raise ValueError(
                f"{name} is {_quoted(value)}: {needed} without a unit is needed, so divide "
                "by the unit"
            )
        value = np.asarray(quantity)
    elif isinstance(value, type) or _units(value) not in (None, "1", ""):
        raise ValueError(f"{name} is {_quoted(value)}: {needed} without a unit is needed")
    if isinstance(value, np.ma.MaskedArray):
        if masked := np.ma.count_masked(value):
            raise ValueError(
                f"{name}: {masked} of {value.size} values are masked: fill them in, or "
                "leave their rows out"
            )
        value = value.data
    try:
        array = np.asarray(_from_tensor(value))
    except (ValueError, TypeError, RuntimeError) as error:  # such as ragged lists
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} is not {needed}: {reason}") from error
    if array.dtype.kind not in "iufb":
        raise ValueError(
            f"{name} is {_quoted(value)}: {needed} is needed, not {array.dtype}"
        )
    return array


def _from_tensor(value: Any) -> Any:
    """Return tensors and sparse matrices as dense arrays, other values unchanged."""
    if isinstance(value, list | tuple):
        return [_from_tensor(item) for item in value] if _any_tensor(value) else value
    if hasattr(value, "detach"):  # with gradients, and on any device
        value = value.detach().cpu()
        value = value.to_dense() if "strided" not in str(value.layout) else value
        return value.double().numpy() if value.is_floating_point() else value.numpy()
    return value.toarray() if hasattr(value, "toarray") else value


def _any_tensor(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_any_tensor, values))
    return hasattr(values, "detach")


def _kind(value: Any) -> str:
    """Return NumPy's kind of numbers: f, i, u or b."""
    return np.asarray(_from_tensor(value)).dtype.kind


def _quoted(value: Any) -> str:
    """Return a value as messages quote it, on one short line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = " ".join((str if _quantity("", value) is not None else repr)(value).split())
    return text if len(text) <= 60 else f"{text[:50]}... ({type(value).__name__})"
