"""Random numbers by their place: Philox4x32-10, a counter-based generator.

A number depends on a seed (two words) and a counter (four words: which cell, which
presentation, which draw), and on nothing else. So it is the same on all backends, in
chunks, with images side by side, and does not depend on how many others were drawn.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror & D. E. Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC11 (2011).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import brian2 as b2

EQUATIONS = """
seed_low : integer (shared, constant)
seed_high : integer (shared, constant)
"""
# Several functions of one program may include it. u and v are numbers of 53 bits.
CODE = """
#ifndef NEURODYN_PHILOX
#define NEURODYN_PHILOX
STATIC inline void neurodyn_philox(
    int seed_low, int seed_high, int c_0, int c_1, int c_2, int c_3,
    unsigned long long *u, unsigned long long *v)
{
    unsigned int k0 = (unsigned int)seed_low, k1 = (unsigned int)seed_high;
    unsigned int c0 = (unsigned int)c_0, c1 = (unsigned int)c_1;
    unsigned int c2 = (unsigned int)c_2, c3 = (unsigned int)c_3;
    for (int round = 0; round < 10; round++)
    {
        const unsigned long long p0 = 0xD2511F53ULL * c0, p2 = 0xCD9E8D57ULL * c2;
        c0 = (unsigned int)(p2 >> 32) ^ c1 ^ k0;
        c2 = (unsigned int)(p0 >> 32) ^ c3 ^ k1;
        c1 = (unsigned int)p2;
        c3 = (unsigned int)p0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    *u = ((unsigned long long)c0 << 32 | c1) >> 11;
    *v = ((unsigned long long)c2 << 32 | c3) >> 11;
}
#endif
"""


def seeds(seed: int) -> dict[str, int]:
    """Return a seed, 0 to 2^64 − 1, as the two words of EQUATIONS.

    Raises
    ------
    ValueError
        If it is out of range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}: 0 to 2^64 - 1 is needed")
    low, high = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32).view(np.int32)
    return {"seed_low": int(low), "seed_high": int(high)}


def philox(
    counter: tuple[ArrayLike, ...], key: tuple[int, int]
) -> tuple[NDArray[np.uint64], ...]:
    """Return four words of 32 bits for a counter of four and a key of two."""
    word, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = (np.atleast_1d(c).astype(np.uint64) & word for c in counter)
    for bump in range(10):
        k0 = np.uint64(int(key[0]) + bump * 0x9E3779B9 & 0xFFFFFFFF)
        k1 = np.uint64(int(key[1]) + bump * 0xBB67AE85 & 0xFFFFFFFF)
        product_0, product_2 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (product_2 >> half) ^ c1 ^ k0, product_2 & word
        c2, c3 = (product_0 >> half) ^ c3 ^ k1, product_0 & word
    return c0, c1, c2, c3


def pair(
    counter: tuple[ArrayLike, ...], key: tuple[int, int]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return two numbers of 53 bits, as CODE does."""
    c0, c1, c2, c3 = philox(counter, key)
    half, spare = np.uint64(32), np.uint64(11)
    return ((c0 << half | c1) >> spare), ((c2 << half | c3) >> spare)


def function(
    in_numpy: Callable[..., Any], code: str, name: str, *, num_arguments: int
) -> "b2.Function":
    """Return a function of integers for Brian2's equations, on every backend.

    Parameters
    ----------
    in_numpy
        The function in NumPy; its arguments broadcast.
    code, name
        The same in C++, and its name there; "STATIC" stands for how it is declared.
    """
    import brian2 as b2

    made = b2.Function(
        in_numpy,
        arg_units=[1] * num_arguments,
        return_unit=1,
        arg_types=["integer"] * num_arguments,
        return_type="float",
        stateless=True,
    )
    code = CODE + code
    on_host = code.replace("STATIC", "static")
    # Brian2's own would check units, and for that print all numbers, at every step.
    made.implementations.add_implementation("numpy", in_numpy)
    arguments = ", ".join(["int"] * num_arguments)
    for target, text in {
        "cpp": on_host,
        "cython": (
            f'cdef extern from *:\n    """\n    #include <math.h>\n{on_host}    """\n'
            f"    double {name}({arguments}) nogil\n"
        ),
        "cuda": code.replace("STATIC", "__host__ __device__ static"),
    }.items():
        made.implementations.add_implementation(target, text, name=name)
    return made
