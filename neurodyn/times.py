"""Times as ratios of whole numbers: what divides what, and labels that can be looked up.

0.1 ms, 3 times, is 0.30000000000000004 ms; 1000/30 ms is no whole number of microseconds.
As fractions they are 3/10 and 100/3, and all that is asked of them can be answered exactly.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

DENOMINATORS = 10**6
ROUNDING = 2e-14  # of a quotient of two times, each of them rounded or converted
LEAST_SHARE = 1000  # a common step may be so much shorter than the one that is wanted
# Multiples of a time step of 24 bits are exact up to this many: see `timeline`. It is also
# well below 2^31, where Brian2's whole numbers end.
MOST_STEPS = 2**29


def fraction(value: float) -> Fraction:
    """Return the simple fraction that a number is but for rounding, if there is one."""
    simple = Fraction(value).limit_denominator(DENOMINATORS)
    return simple if _near(float(simple), value) else Fraction(value)


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= ROUNDING * abs(other)


def multiples(step_ms: float, counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return counts · step, each the float nearest to it: 3 times 0.1 is 0.3."""
    step = fraction(step_ms)
    if step.denominator > DENOMINATORS:
        return np.asarray(counts * step_ms, np.float64)
    return np.asarray(counts * float(step.numerator) / step.denominator, np.float64)


def steps(name: str, length_ms: float, dt_ms: float) -> int:
    """Return the time steps in a length.

    Raises
    ------
    ValueError
        If they are not a whole number, or too many to be counted.
    """
    if not is_multiple(length_ms, dt_ms):
        raise ValueError(
            f"{name} is {length_ms:g} ms, not a whole number of time steps of {dt_ms:g} "
            "ms: choose a dt_ms that divides it, or leave dt_ms out"
        )
    return round(length_ms / dt_ms)


def is_multiple(length_ms: float, step_ms: float) -> bool:
    """Return whether a length is a whole number of steps, but for rounding."""
    count = round(length_ms / step_ms)
    near = abs(count * step_ms - length_ms) < 1e-9 * max(1, length_ms)
    return near and (count > 0 or length_ms == 0)


def common_step(bound_ms: float, *lengths_ms: float) -> float:
    """Return the longest time step up to `bound_ms` that divides all lengths [ms].

    In whole microseconds where they are, else by their ratios.

    Raises
    ------
    ValueError
        If they have no common part of useful length.
    """
    whole, *_ = lengths = [length for length in lengths_ms if length > 0]
    micros = [round(1000 * length) for length in lengths]
    if all(us and _near(us / 1000, ms) for us, ms in zip(micros, lengths, strict=True)):
        part_us = math.gcd(*micros)
        return part_us / math.ceil(part_us / (1000 * bound_ms)) / 1000
    ratios = [fraction(length / whole) for length in lengths]
    common = Fraction(
        math.gcd(*(ratio.numerator for ratio in ratios)),
        math.lcm(*(ratio.denominator for ratio in ratios)),
    )
    part_ms = whole * common.numerator / common.denominator
    if part_ms < bound_ms / LEAST_SHARE:
        given = ", ".join(f"{length:.9g}" for length in lengths)
        raise ValueError(
            f"no time step near {bound_ms:.3g} ms divides all times ({given} ms; of image, "
            "rest, samples (activity_ms, 1 ms if not given) and learning windows): choose "
            "times in simple ratios, such as an activity_ms that divides image_ms"
        )
    count = math.ceil(part_ms / bound_ms * (1 - 1e-12))
    return whole * common.numerator / (common.denominator * count)
