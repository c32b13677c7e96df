"""SoftHebb's step, alone and in a stack of two, against loops written from the paper.

T. Moraitis et al., Neuromorph. Comput. Eng. 2:044017 (2022); A. Journé et al., ICLR 2023.
"""

import numpy as np
import pytest
import torch

from fastpath import kernels
from fastpath.competition import Ranking, Soft
from fastpath.layers.stages import AveragePool, BatchNorm, Convolution, MaxPool, Triangle
from tests.fastpath.stage_loops import (
    normal,
    normalized,
    patches,
    pooled,
    soft_hebb,
    started,
    triangle,
)

CPU = torch.device("cpu")


@pytest.fixture(params=["pytorch", "cpp"])
def name(request):
    if reason := kernels.why_not(request.param, CPU, torch.float64):
        pytest.skip(reason)
    return request.param


def layer(num_units, size, inverse_temperature, **settings):
    return Convolution(
        num_units=num_units,
        kernel_size=size,
        padding=size // 2,
        padding_mode="reflect",
        initial_norm=25.0,
        rate_power=0.5,
        competition=Soft(temperature=1 / inverse_temperature, anti=True),
        **settings,
    )


def test_one_layer_learns_as_published(name):
    stack = started((layer(6, 3, 0.7),), (5, 5, 3), kernels=name)
    weights = stack.weights.numpy().copy()
    # N(0, 25² / inputs): rows are about 25 long.
    assert np.linalg.norm(weights, axis=1).mean() == pytest.approx(25, rel=0.1)
    for seed in range(3):
        x = normal(4, 5, 5, 3, seed=seed)
        rows, _ = patches(x.numpy(), size=3, padding=1, mode="reflect")
        _, weights = soft_hebb(weights, rows, inverse_temperature=0.7, lr=0.08)
        stack.learn(x.flatten(1), Ranking(), lr=0.08)
        # Measured 9e-16: sums in another order.
        np.testing.assert_allclose(stack.weights, weights, rtol=0, atol=1e-11)


def test_two_layers_learn_at_once_as_published(name):
    """Every weight after 3 mini-batches, and the running statistics."""
    stages = (
        BatchNorm(),
        layer(6, 3, 1.0),
        Triangle(power=0.7),
        MaxPool(size=4, stride=2, padding=1),
        BatchNorm(momentum=0.3, epsilon=1e-3),
        layer(8, 3, 0.65, lr_scale=0.25),
        Triangle(power=1.4),
        AveragePool(size=2),
    )
    stack = started(stages, (8, 8, 2), kernels=name)
    first, second = (stack.parts[i].weights.numpy().copy() for i in stack.learners)
    means, variances = [np.zeros(2), np.zeros(6)], [np.ones(2), np.ones(6)]
    for seed in range(3):
        x = normal(4, 8, 8, 2, seed=seed) + 0.5
        stack.learn(x.flatten(1), Ranking(), lr=0.08)

        v = x.numpy()
        below = []
        for i, (momentum, epsilon) in enumerate(((0.1, 1e-5), (0.3, 1e-3))):
            axes = (0, 1, 2)
            mean, variance, number = v.mean(axis=axes), v.var(axis=axes), v[..., 0].size
            unbiased = variance * number / (number - 1)
            means[i] = (1 - momentum) * means[i] + momentum * mean
            variances[i] = (1 - momentum) * variances[i] + momentum * unbiased
            v = normalized(v, mean, variance, epsilon)
            rows, dims = patches(v, size=3, padding=1, mode="reflect")
            below.append(rows)
            if i == 0:
                u, first = soft_hebb(first, rows, inverse_temperature=1.0, lr=0.08)
                v = triangle(u.reshape(*dims, 6), 0.7)
                v = pooled(v, np.max, size=4, stride=2, padding=1, fill=-np.inf)
            else:
                _, second = soft_hebb(second, rows, inverse_temperature=0.65, lr=0.02)
        # Measured 2e-15, through two layers: sums in another order.
        np.testing.assert_allclose(stack.parts[1].weights, first, rtol=0, atol=1e-10)
        np.testing.assert_allclose(stack.parts[5].weights, second, rtol=0, atol=1e-10)
    for i, part in enumerate((stack.parts[0], stack.parts[4])):
        np.testing.assert_allclose(part.mean, means[i], rtol=0, atol=1e-11)
        np.testing.assert_allclose(part.variance, variances[i], rtol=1e-11)
