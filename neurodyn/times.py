"""Times as fractions: exact divisibility, and time labels that can be looked up.

In floats, 3 times 0.1 ms is 0.30000000000000004 ms, and 1000/30 ms is no whole number of
microseconds. The fractions 3/10 and 100/3 are exact.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

DENOMINATORS = 10**6
ROUNDING = 2e-14  # relative error of the quotient of two rounded times
LEAST_SHARE = 1000  # a common step may be this many times shorter than its bound
# Up to this number, multiples of a time step of 24 bits are exact (see `timeline`). It is
# also well below 2^31, the limit of Brian2's integers.
MOST_STEPS = 2**29


def fraction(value: float) -> Fraction:
    """Return the simple fraction equal to a number up to rounding, else the exact one."""
    simple = Fraction(value).limit_denominator(DENOMINATORS)
    return simple if _near(float(simple), value) else Fraction(value)


def _near(value: float, reference: float) -> bool:
    return abs(value - reference) <= ROUNDING * abs(reference)


def multiples(step_ms: float, counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return counts · step, rounded to the nearest floats: 3 times 0.1 is 0.3."""
    step = fraction(step_ms)
    if step.denominator > DENOMINATORS:
        return np.asarray(counts * step_ms, np.float64)
    return np.asarray(counts * float(step.numerator) / step.denominator, np.float64)


def steps(name: str, length_ms: float, dt_ms: float) -> int:
    """Return the number of time steps in a length.

    Raises
    ------
    ValueError
        If it is not a whole number.
    """
    if not is_multiple(length_ms, dt_ms):
        raise ValueError(
            f"{name} is {length_ms:g} ms, not a whole number of time steps of {dt_ms:g} "
            "ms: choose a dt_ms that divides it"
        )
    return round(length_ms / dt_ms)


def is_multiple(length_ms: float, step_ms: float) -> bool:
    """Return whether a length is a whole number of steps, up to rounding."""
    count = round(length_ms / step_ms)
    near = abs(count * step_ms - length_ms) < 1e-9 * max(1, length_ms)
    return near and (count > 0 or length_ms == 0)


def common_step(bound_ms: float, *lengths_ms: float) -> float:
    """Return the longest time step up to `bound_ms` that divides all lengths [ms].

    It is computed in whole microseconds if all lengths are, else from their ratios.

    Raises
    ------
    ValueError
        If the longest such step is more than 1000 times shorter than `bound_ms`.
    """
    first, *_ = lengths = [length for length in lengths_ms if length > 0]
    micros = [round(1000 * length) for length in lengths]
    if all(us and _near(us / 1000, ms) for us, ms in zip(micros, lengths, strict=True)):
        part_us = math.gcd(*micros)
        return part_us / math.ceil(part_us / (1000 * bound_ms)) / 1000
    ratios = [fraction(length / first) for length in lengths]
    common = Fraction(
        math.gcd(*(ratio.numerator for ratio in ratios)),
        math.lcm(*(ratio.denominator for ratio in ratios)),
    )
    part_ms = first * common.numerator / common.denominator
    if part_ms < bound_ms / LEAST_SHARE:
        listed = ", ".join(f"{length:.9g}" for length in lengths)
        raise ValueError(
            f"no time step near {bound_ms:.3g} ms divides all times ({listed} ms; image, "
            "rest, sampling interval (activity_ms, by default 1 ms), learning window): "
            "choose times in simple ratios, such as an activity_ms that divides image_ms"
        )
    count = math.ceil(part_ms / bound_ms * (1 - 1e-12))
    return first * common.numerator / (common.denominator * count)
