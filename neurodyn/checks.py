"""What enters from outside: numbers, times, arrays, settings. Decided here, and only here.

A number is a real number of any kind (Python's, NumPy's, an array or tensor of one), never
a flag or a text. Quantities of Brian2 are converted where a time is asked for, and refused
where their dimension is another: np.asarray would drop it.
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

MILLISECONDS = {"ms": 1.0, "s": 1e3, "us": 1e-3}  # of a labelled array's attribute `units`


def warn(message: str) -> None:
    """Warn the caller of the package: the line that is shown is the first outside it."""
    warnings.warn(message, skip_file_prefixes=(str(Path(__file__).parent),))


def convert(settings: object, **how: Callable[[str, Any], Any]) -> None:
    """Replace fields of a frozen dataclass by what `how` (name, value) makes of them."""
    for name, converted in how.items():
        object.__setattr__(settings, name, converted(name, getattr(settings, name)))


def by_value[Settings](kind: type[Settings]) -> type[Settings]:
    """Let dataclasses with arrays be equal where all values are, and then have one hash."""

    def values(settings: Settings) -> tuple[Any, ...]:
        given = (getattr(settings, field.name) for field in fields(kind))  # pyrefly: ignore
        # + 0.0: of the two zeros, which are equal, one.
        return tuple(
            (one.shape, (one + 0.0).tobytes()) if isinstance(one, np.ndarray) else one
            for one in given
        )

    def equal(one: Settings, other: object) -> bool:
        return values(one) == values(other) if type(other) is type(one) else NotImplemented

    kind.__eq__ = equal  # pyrefly: ignore
    kind.__hash__ = lambda self: hash((type(self), values(self)))
    return kind


def number(name: str, value: Any) -> float:
    """Return a real number.

    Raises
    ------
    ValueError
        If it is no number, or has a unit.
    """
    array = _plain(name, value, "a number")
    if array.size != 1 or array.dtype.kind == "b":
        raise ValueError(f"{name} is {_shown(value)}: one number is needed")
    return float(array.item())


def whole(name: str, value: Any) -> int:
    """Return a whole number, also of a float such as 3.0.

    Raises
    ------
    ValueError
        If it is no whole number.
    """
    if type(value) is int:  # of any size
        return value
    array = _plain(name, value, "a whole number")
    if array.size != 1 or array.dtype.kind == "b" or array.item() % 1 != 0:
        raise ValueError(f"{name} is {_shown(value)}: a whole number is needed")
    return int(array.item())


def numbers(name: str, value: Any) -> Values:
    """Return a real number, or an array of them in float64; errors as in `number`."""
    found = _plain(name, value, "a number or an array of numbers")
    return found.astype(np.float64) if found.ndim else number(name, value)


def time_ms(name: str, value: Any) -> float:
    """Return a time in milliseconds: of a number as it is, of a quantity converted.

    Raises
    ------
    ValueError
        If it is no number, or a quantity that is not a time.
    """
    return number(name, _in_ms(name, value))


def times_ms(name: str, value: Any) -> Values:
    """Return one time in milliseconds, or an array of them; errors as in `time_ms`."""
    return numbers(name, _in_ms(name, value))


def optional[Given](
    how: Callable[[str, Any], Given],
) -> Callable[[str, Any], Given | None]:
    """Return `how` for a value that may be None."""
    return lambda name, value: None if value is None else how(name, value)


def flag(name: str, value: Any) -> bool:
    """Return True or False; ValueError if it is neither."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {_shown(value)}: True or False is needed")
    return bool(value)


def instance(name: str, value: Any, kind: Any, example: str) -> None:
    """Refuse what is not of a kind: a class where its instance is meant, first of all.

    Raises
    ------
    ValueError
        If `value` is something else.
    """
    if isinstance(value, type):
        raise ValueError(
            f"{name} is the class {value.__name__}: give an instance of it, such as "
            f"{value.__name__}(...)"
        )
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {_shown(value)}: give {example}")


def satisfies(name: str, value: Any, protocol: type, example: str) -> None:
    """Refuse what lacks members of a protocol, and a class where its instance is meant.

    Raises
    ------
    ValueError
        If `value` is something else.
    """
    instance(name, value, object, example)
    if missing := lacking(value, protocol):
        raise ValueError(
            f"{name} is {_shown(value)}: give {example}, or what has all that "
            f"{protocol.__module__}.{protocol.__name__} lists (it lacks "
            f"{', '.join(missing[:5])}{', ...' * (len(missing) > 5)})"
        )


def lacking(value: Any, protocol: type) -> list[str]:
    """Return the members of a protocol that a value does not have."""
    members = [*vars(protocol), *protocol.__annotations__]
    return [one for one in members if not one.startswith("_") and not hasattr(value, one)]


def path(name: str, value: Any) -> Path:
    """Return a path; ValueError if it is none."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{name} is {_shown(value)}: the path of a file is needed")
    return Path(value)


def array(name: str, value: Any, dims: tuple[str, ...] = ()) -> NDArray[np.float64]:
    """Return real numbers as float64.

    Parameters
    ----------
    dims
        Order in which dims of these names are wanted, where an array has them (xarray).

    Raises
    ------
    ValueError
        If they are no numbers, have a unit, are masked, or are NaN or infinite.
    """
    known = [dim for dim in dims if dim in getattr(value, "dims", ())]
    if known and len(known) == len(value.dims):
        value = value.transpose(*known)
    found = _plain(name, value, "an array of real numbers").astype(np.float64)
    if bad := np.count_nonzero(~np.isfinite(found)):
        raise ValueError(f"{name}: {bad} of {found.size} values are NaN or infinite")
    return found


def rates(name: str, value: Any) -> NDArray[np.float64]:
    """Return images as input rates, (image, pixel), float64; pixels in C-order.

    From (image, pixel) or (image, height, width[, channel]).

    Raises
    ------
    ValueError
        As `array`; if the shape is another, the channels come first, or the values are
        whole numbers as image files have them, 0 to 255.
    """
    found = array(name, value, ("image", "height", "width", "channel", "pixel"))
    if found.ndim not in (2, 3, 4) or 0 in found.shape:
        raise ValueError(
            f"{name} have shape {found.shape}: (image, pixel) or (image, height, width"
            "[, channel]) is needed, none of them 0"
        )
    colours = (1, 3, 4)
    if found.ndim == 4 and found.shape[1] in colours and found.shape[3] not in colours:
        raise ValueError(
            f"{name} have shape {found.shape}, with the channels first: they come last "
            "here (np.moveaxis(images, 1, -1)), as in the weights of `fastpath`"
        )
    if (kind := _kind(value)) in "iu" and abs(found).max() > 1:
        raise ValueError(
            f"{name} are whole numbers up to {found.max():g}: input rates are needed, as "
            "the weights were trained with them (images / 255, `fastpath export`); floats "
            f"are taken as they are ({kind!r} is NumPy's kind of what was given)"
        )
    return found.reshape(len(found), -1)


def indices(name: str, value: Any) -> NDArray[np.intp]:
    """Return whole numbers as indices; ValueError if they are none."""
    found = _plain(name, value, "a list of whole numbers")
    if found.dtype.kind == "b" or found.size == 0 or found.ndim != 1 or (found % 1).any():
        raise ValueError(
            f"{name} has shape {found.shape} and type {found.dtype}: a list of whole "
            "numbers is needed"
        )
    return found.astype(np.intp)


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
            f"input_sign is {input_sign}: 1 (excitatory), -1 (inhibitory) or 0 (either)"
        )


def worst(value: Values) -> str:
    """Return a number, or the worst of several, for a message."""
    if np.ndim(value) == 0:
        return str(value)
    values = np.asarray(value)
    bad = values[~np.isfinite(values)]
    return f"an array with {(bad if bad.size else values).min()}"


def _in_ms(name: str, value: Any) -> Any:
    """Return times that know their unit as plain milliseconds; others as they are."""
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
            f"{name} is {_shown(value)}: a time is needed, in ms or as a Brian2 quantity"
        )
    # To 15 digits: 0.3*ms/ms is 0.29999999999999999 else.
    ms = np.asarray(quantity) / 1e-3
    return np.vectorize(lambda one: float(f"{one:.15g}"), otypes=[float])(ms)


def _quantity(name: str, value: Any) -> Any:
    """Return a Brian2 quantity, also of a list of them; None if it is none."""
    if "brian2" not in sys.modules:  # then there are none
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
    """Return the unit that an array of xarray, pint or astropy names, if there is one."""
    if hasattr(value, "dims") and hasattr(value, "attrs"):
        return value.attrs.get("units")
    names = [name for name in ("units", "unit") if hasattr(type(value), name)]
    return str(getattr(value, names[0])) if names else None


def _holds(values: Any, kind: type) -> bool:
    if isinstance(values, list | tuple):
        return any(_holds(one, kind) for one in values)
    return isinstance(values, kind)


def _plain(name: str, value: Any, wanted: str) -> NDArray[Any]:
    """Return real numbers without unit as a NumPy array of their own type.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    if (quantity := _quantity(name, value)) is not None:
        if not quantity.is_dimensionless:  # also 1*mV/mV has none
            raise ValueError(
                f"{name} is {_shown(value)}: {wanted} without a unit is needed, so divide "
                "by the unit"
            )
        value = np.asarray(quantity)
    elif isinstance(value, type) or _units(value) not in (None, "1", ""):
        raise ValueError(f"{name} is {_shown(value)}: {wanted} without a unit is needed")
    if isinstance(value, np.ma.MaskedArray):
        if masked := np.ma.count_masked(value):
            raise ValueError(
                f"{name}: {masked} of {value.size} values are masked; fill them in, or "
                "leave out what they belong to"
            )
        value = value.data
    try:
        found = np.asarray(_from_tensor(value))
    except (ValueError, TypeError, RuntimeError) as error:  # such as ragged lists
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} is not {wanted}: {reason}") from error
    if found.dtype.kind not in "iufb":
        raise ValueError(
            f"{name} is {_shown(value)}: {wanted} is needed, not {found.dtype}"
        )
    return found


def _from_tensor(value: Any) -> Any:
    """Return what NumPy takes: of torch tensors their values, of sparse matrices all."""
    if isinstance(value, list | tuple):
        return [_from_tensor(one) for one in value] if _any_tensor(value) else value
    if hasattr(value, "detach"):  # gradients and the device they lie on do not matter
        value = value.detach().cpu()
        value = value.to_dense() if "strided" not in str(value.layout) else value
        return value.double().numpy() if value.is_floating_point() else value.numpy()
    return value.toarray() if hasattr(value, "toarray") else value


def _any_tensor(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_any_tensor, values))
    return hasattr(values, "detach")


def _kind(value: Any) -> str:
    """Return NumPy's kind of the numbers that were given: f, i, u or b."""
    return np.asarray(_from_tensor(value)).dtype.kind


def _shown(value: Any) -> str:
    """Return a value for a message, on one short line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = " ".join((str if _quantity("", value) is not None else repr)(value).split())
    return text if len(text) <= 60 else f"{text[:50]}... ({type(value).__name__})"
