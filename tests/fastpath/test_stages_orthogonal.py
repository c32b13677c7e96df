"""Orthonormal filters: Gram–Schmidt after each step."""

import numpy as np
import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.layers import StackSettings
from fastpath.layers.bank import Bank
from fastpath.layers.constraints import same_sign
from fastpath.layers.orthogonal import orthonormal
from fastpath.layers.stages import Convolution, FullyConnected
from fastpath.plasticity import delta_w, signed_power
from tests.fastpath.stage_loops import normal, seeded, started


def gram_schmidt(rows):
    """Take from each row its part along those before, by the classical formula."""
    found = []
    for row in rows:
        rest = row - sum((float(q @ row) * q for q in found), np.zeros_like(row))
        found.append(rest / np.sqrt(rest @ rest))
    return np.array(found)


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (6, 6)], ids=str)
def test_rows_are_those_of_gram_schmidt(shape):
    rows = normal(*shape)
    found = orthonormal(rows)
    # Measured 4e-16: the condition of random rows is small.
    np.testing.assert_allclose(found, gram_schmidt(rows.numpy()), rtol=0, atol=1e-12)
    torch.testing.assert_close(orthonormal(found), found, rtol=0, atol=1e-14)
    assert found.is_contiguous()


def test_rows_without_a_direction_of_their_own_get_one():
    rows = normal(4, 6)
    rows[1], rows[3] = 2 * rows[0], 0
    found = orthonormal(rows)
    torch.testing.assert_close(found @ found.T, torch.eye(4).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernels", ["pytorch", None])
@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize(
    "rule",
    [Ranking(k=3), Equilibrium(w_inh=0.4, h_star=0.2), Soft(anti=True)],
    ids=lambda rule: type(rule).__name__,
)
def test_each_step_ends_with_orthonormal_rows(rule, p, kernels):
    stage = FullyConnected(num_units=5, p=p, orthogonal=True, competition=rule)
    stack = started((stage,), (7,), kernels=kernels)
    for seed in range(3):
        x, w = normal(6, 7, seed=seed), stack.weights.clone()
        drive = x @ signed_power(w, p=p).T
        torch.testing.assert_close(stack.drive(x), drive, rtol=0, atol=1e-13)
        change = delta_w(rule(drive), drive, x, w)
        stack.learn(x, Ranking(), lr=0.05)
        moved = (w + 0.05 * change / change.abs().max()).numpy()
        # Measured 3e-16.
        np.testing.assert_allclose(stack.weights, gram_schmidt(moved), rtol=0, atol=1e-12)
        assert (stack.weights - w).abs().max() > 1e-3


def test_in_float32_they_are_orthonormal_to_rounding():
    stage = Convolution(num_units=20, kernel_size=3, orthogonal=True)
    stack = StackSettings(stages=(stage,)).start((6, 6, 3), generator=seeded())
    for seed in range(4):
        # Measured 4e-7.
        found = stack.weights @ stack.weights.T
        torch.testing.assert_close(found, torch.eye(20), rtol=0, atol=1e-6)
        x = normal(8, 108, seed=seed, dtype=torch.float32)
        stack.learn(x, Soft(anti=True), lr=0.1)


def test_more_filters_than_inputs_and_signs_are_refused():
    stage = Convolution(num_units=10, kernel_size=3, orthogonal=True)
    with pytest.raises(
        ValueError, match=r"10 orthogonal filters need .* each has 9 .*take at most 9"
    ):
        StackSettings(stages=(stage,)).start((5, 5, 1), generator=seeded())
    with pytest.raises(ValueError, match="4 orthogonal filters"):
        orthonormal(torch.ones(4, 3))
    with pytest.raises(ValueError, match="would break the constraint of signs"):
        Bank(torch.ones(2, 3), orthogonal=True, constraint=same_sign(1))
