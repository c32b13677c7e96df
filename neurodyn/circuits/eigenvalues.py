"""Bounds on the eigenvalues of large matrices, without computing all of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

KRYLOV = 80  # matrix-vector products to find the extreme eigenvalues


def largest_eigenvalue(matrix: NDArray[np.float64]) -> float:
    """Return an upper bound on the spectral radius of a non-negative matrix.

    Collatz and Wielandt: max_c (Mv)_c / v_c bounds it for every v > 0, and more closely as
    v nears the leading eigenvector.
    """
    if not len(matrix):
        return 0.0
    v, bound = np.ones(len(matrix)), np.inf
    for _ in range(50):
        product = matrix @ v
        bound = min(bound, float((product / v).max()))
        v = product + v.mean() * 1e-3 + v * bound
        v /= v.max()
    return bound


def extreme_eigenvalues(
    product: Callable[[NDArray[np.float64]], NDArray[np.float64]], size: int
) -> NDArray[np.complex128]:
    """Return approximate eigenvalues of a large matrix, the outermost best.

    Arnoldi's method: the eigenvalues of the matrix on the Krylov space of x, Mx, M²x, ...
    If there are at most KRYLOV different eigenvalues, all are returned, and are exact.
    """
    basis = np.zeros((KRYLOV + 1, size))
    matrix = np.zeros((KRYLOV + 1, KRYLOV))
    start = np.random.default_rng(0).random(size)
    basis[0] = start / np.linalg.norm(start)
    for k in range(KRYLOV):
        following = product(basis[k])
        length = np.linalg.norm(following)
        for _ in range(2):  # once leaves rounding errors
            parts = basis[: k + 1] @ following
            following = following - parts @ basis[: k + 1]
            matrix[: k + 1, k] += parts
        rest = np.linalg.norm(following)
        if rest <= 1e-10 * length:
            return np.linalg.eigvals(matrix[: k + 1, : k + 1]).astype(np.complex128)
        matrix[k + 1, k] = rest
        basis[k + 1] = following / rest
    return np.linalg.eigvals(matrix[:KRYLOV]).astype(np.complex128)


def is_positive_definite(symmetric: NDArray[np.float64]) -> bool:
    """Return whether all eigenvalues of a symmetric matrix are positive."""
    try:
        np.linalg.cholesky(symmetric)
    except np.linalg.LinAlgError:
        return False
    return True
