"""Noise: an Ornstein-Uhlenbeck current into each cell, exact for any time step.

    dx = −x dt/τ + σ √(2/τ) dB,   from its stationary distribution N(0, σ²)

is stepped by its exact solution, and Euler's step of the cell takes the exact mean of x
over the step. With a = dt/τ, E = e^(−a) and two independent normal numbers ξ, ζ,

    x(t + dt) = E x + σ √(1 − E²) ξ
    mean of x = (1 − E)/a x + σ (1 − E)²/(a √(1 − E²)) ξ + c ζ,
    c² = σ²/a² (2a − 3 + 4E − E² − (1 − E)⁴/(1 − E²))

(Gillespie 1996). So neither the variance of the current nor that of the cell's response
depends on how many steps τ is long.

*Seeds.* ξ and ζ are a function of (seed, cell, presentation, step within it)
and of nothing else: Philox4x32-10, a counter-based generator, and Box-Muller. The noise is
therefore the same on all backends, in chunks, in a sweep, with images side by side, and
does not depend on other random numbers. Where activity is reset at the start of
each presentation, x is drawn anew there as well; where it is carried over, x goes on.

Source: G. E. Uhlenbeck & L. S. Ornstein, Phys. Rev. 36:823 (1930); D. T. Gillespie, Phys.
Rev. E 54:2084 (1996); J. K. Salmon, M. A. Moraes, R. O. Dror & D. E. Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC11 (2011).
"""

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.engine import random

if TYPE_CHECKING:
    import brian2 as b2

SILENCE = """
noise = 0 : 1 (shared)
"""
# `noise` is the mean of x over the coming step.
EQUATIONS = (
    random.EQUATIONS
    + """
noise : 1
x : 1
noise_sd : 1 (shared, constant)
keep : 1 (shared, constant)
kick : 1 (shared, constant)
mean_x : 1 (shared, constant)
mean_xi : 1 (shared, constant)
mean_zeta : 1 (shared, constant)
first_presentation : integer (shared, constant)
"""
)
# The presentation that a cell of a circuit sees, of copies side by side.
BY_TIME = (
    "first_presentation + copies*int(t_in_timesteps // period_steps) + int(i // num_cells)"
)


def _drawn(presentation: str, step: str, which: int) -> str:
    """Return the expression of a random number."""
    return (
        "normal(seed_low, seed_high, population, i % num_cells, "
        f"{presentation}, {step}, {which})"
    )


def step(presentation: str = BY_TIME) -> str:
    """Return the code of a time step; `presentation` is an expression for its number."""
    xi, zeta = (
        _drawn(presentation, "1 + int(t_in_timesteps % period_steps)", which)
        for which in (0, 1)
    )
    return f"""
xi_drawn = {xi}
noise = mean_x*x + mean_xi*xi_drawn + mean_zeta*{zeta}
x += running*(kick*xi_drawn - (1 - keep)*x)
"""


def start(presentation: str = BY_TIME, *, of_each: bool) -> str:
    """Return the code at the start of presentations: x is drawn anew.

    `of_each`: at the start of each; False: of the first one only.
    """
    drawn = _drawn(presentation, "0", 0)
    which = "1" if of_each else "int(first_presentation + t_in_timesteps == 0)"
    return f"""
x += running*{which}*(noise_sd*{drawn} - x)
"""


def parameters(*, sd: float, tau_ms: float, dt_ms: float) -> dict[str, float]:
    """Return the constants of EQUATIONS for a standard deviation and a correlation time.

    The result is empty for a standard deviation of 0.
    """
    if not sd:
        return {}
    a = dt_ms / tau_ms
    keep, lost = math.exp(-a), -math.expm1(-a)  # E, 1 − E
    kick = math.sqrt(-math.expm1(-2 * a))
    if a < 1e-3:  # relative error a; the difference below would lose all digits
        rest = a / 6
    else:
        rest = (2 * a - 3 + 4 * keep - keep**2 - lost**4 / kick**2) / a**2
    return {
        "noise_sd": sd,
        "keep": keep,
        "kick": sd * kick,
        "mean_x": lost / a,
        "mean_xi": sd * lost**2 / (a * kick),
        "mean_zeta": sd * math.sqrt(rest),
    }


CODE = """
STATIC inline double neurodyn_normal(
    int seed_low, int seed_high, int population, int cell, int presentation, int step,
    int which)
{
    unsigned long long u, v;
    neurodyn_philox(
        seed_low, seed_high, cell, step, presentation, population, &u, &v);
    const double radius = sqrt(-2*log((u + 0.5)*1.1102230246251565e-16));
    const double angle = 6.283185307179586*1.1102230246251565e-16*(v + 0.5);
    return radius*(which ? sin(angle) : cos(angle));
}
"""


def standard_normal(
    seed_low: int,
    seed_high: int,
    population: ArrayLike,
    cell: ArrayLike,
    presentation: ArrayLike,
    step: ArrayLike,
    which: int,
) -> NDArray[np.float64]:
    """Return standard normal numbers, as CODE does; arguments broadcast.

    `which` is 0 or 1: the two numbers of one draw are independent.
    """
    u, v = random.pair((cell, step, presentation, population), (seed_low, seed_high))
    radius = np.sqrt(-2 * np.log((u + 0.5) * 2.0**-53))
    angle = 2 * np.pi * 2.0**-53 * (v + 0.5)
    return radius * (np.sin(angle) if which else np.cos(angle))


@functools.cache
def normal() -> "b2.Function":
    """Return `standard_normal` as a function in Brian2's equations, for every backend."""
    return random.function(standard_normal, CODE, "neurodyn_normal", num_arguments=7)


def namespace(*, population: int, num_cells: int, copies: int) -> dict[str, Any]:
    """Return the namespace of `step` and `start`, without that of the timeline."""
    return {
        "normal": normal(),
        "population": population,
        "num_cells": num_cells,
        "copies": copies,
    }
