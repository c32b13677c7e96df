"""Eigenvalues that bound a time step."""

import itertools

import numpy as np

from neurodyn.circuits.eigenvalues import extreme_eigenvalues, largest_eigenvalue


def test_the_largest_eigenvalue_is_bounded_from_above():
    rng = np.random.default_rng(2)
    for size, share in itertools.product((1, 2, 7, 40), (0.1, 1.0)):
        matrix = rng.random((size, size)) * (rng.random((size, size)) < share)
        exact = abs(np.linalg.eigvals(matrix)).max()
        bound = largest_eigenvalue(matrix)
        assert bound >= exact * (1 - 1e-12)
        if share == 1:
            assert bound <= 1.001 * exact


def test_extreme_eigenvalues_of_large_matrices():
    """Those of a matrix of rank 2 plus a multiple of 1, which has three different ones."""
    rng = np.random.default_rng(4)
    left, right = rng.random((2, 300)), rng.random((2, 300))
    matrix = left.T @ right - np.eye(300)
    expected = np.append(np.linalg.eigvals(right @ left.T) - 1, -1)
    found = extreme_eigenvalues(lambda h: matrix @ h, 300)
    for value in expected:
        assert abs(found - value).min() < 1e-9 * abs(expected).max()
