"""The stages without units: normalization, nonlinear outputs, pooling, decorrelation."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Decorrelate,
    MaxPool,
    OnOff,
    Rectifier,
    SubtractMean,
    Triangle,
    UnitNorm,
)
from fastpath.layers.stages.moments import moments
from tests.fastpath.stage_loops import decorrelation, normal, pooled, seeded, triangle


def part_of(stage, shape):
    return stage.start(shape, generator=seeded(), kernels=None).double()


def blocks_of(x, size=3):
    return lambda: iter(x.split(size))


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)], ids=str)
def test_batch_normalization_is_that_of_pytorch(shape):
    part = part_of(BatchNorm(momentum=0.2, epsilon=1e-3), shape)
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    theirs = kind(shape[-1], affine=False, momentum=0.2, eps=1e-3).double()

    def through(x):
        return theirs(x.movedim(-1, 1)).movedim(1, -1)

    for seed in range(3):
        x = 2 * normal(6, *shape, seed=seed) + 3
        before = part(x)  # with the running statistics
        theirs.eval()
        torch.testing.assert_close(before, through(x), rtol=0, atol=1e-13)
        theirs.train()
        # Measured 3e-15.
        torch.testing.assert_close(part.learning(x, None), through(x), rtol=0, atol=1e-13)
        torch.testing.assert_close(part.mean, theirs.running_mean, rtol=0, atol=1e-13)
        torch.testing.assert_close(part.variance, theirs.running_var, rtol=1e-13, atol=0)
    assert part.state_dict().keys() == {"mean", "variance"}


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)], ids=str)
def test_on_and_off_cells_share_what_is_above_and_below_zero(shape):
    part, x = part_of(OnOff(), shape), normal(6, *shape)
    rates = part(x)
    assert rates.shape[1:] == OnOff().output_shape(shape)
    on, off = rates.split(shape[-1], dim=-1)
    assert (rates >= 0).all()
    assert torch.equal(on - off, x)
    assert not (on * off).any()


def test_without_centring_rates_are_scaled_alone():
    part, x = part_of(BatchNorm(center=False), (5, 4, 3)), normal(6, 5, 4, 3).abs() + 2
    square = (x.numpy() ** 2).mean(axis=(0, 1, 2))
    expected = x.numpy() / np.sqrt(square + 1e-5)
    np.testing.assert_allclose(part.learning(x, None), expected, rtol=1e-12)
    part.fit(blocks_of(x))
    np.testing.assert_allclose(part(x), expected, rtol=1e-12)


def test_running_statistics_stay_if_they_are_wanted():
    part = part_of(BatchNorm(exact=False), (5, 4, 3))
    x = normal(6, 5, 4, 3)
    part.fit(blocks_of(x))  # nothing was learned: there are no others
    torch.testing.assert_close(part.mean, x.mean((0, 1, 2)))
    part.learning(2 * x + 1, None)
    running = part.mean.clone(), part.variance.clone()
    part.fit(blocks_of(x))
    assert torch.equal(part.mean, running[0])
    assert torch.equal(part.variance, running[1])


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("stage", [Triangle, Rectifier])
def test_gradients_of_activations_are_finite(stage, power):
    """Also where an input is 0, at which a power below 1 has no finite slope."""
    part, u = part_of(stage(power=power), (4,)), normal(5, 4)
    u[0] = 0
    outputs = part(u)
    u.requires_grad_()
    seen = part(u)
    assert torch.equal(seen, outputs)
    (gradient,) = torch.autograd.grad(seen.sum(), u)
    assert gradient.isfinite().all()
    step = 1e-6 * normal(5, 4, seed=1)
    step[0] = 0
    change = (part(u.detach() + step) - part(u.detach() - step)).sum() / 2
    torch.testing.assert_close((gradient * step).sum(), change, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)], ids=str)
def test_statistics_are_fitted_to_all_images(shape, dtype):
    part = part_of(BatchNorm(), shape).to(dtype)
    x = (normal(11, *shape) + 300).to(dtype)  # far from 0: the mean goes first
    part.fit(blocks_of(x))
    axes = tuple(range(len(shape)))
    exact = x.double().numpy()
    # Rounded once; in float32 the deviations are from a rounded mean: 300 x 6e-8.
    rtol = 1e-13 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(part.mean, exact.mean(axis=axes), rtol=rtol)
    np.testing.assert_allclose(part.variance, exact.var(axis=axes), rtol=rtol)


def test_one_row_and_constant_channels_give_no_nan():
    for x in (normal(1, 1, 1, 3), torch.ones(4, 2, 2, 3).double()):
        part = part_of(BatchNorm(), tuple(x.shape[1:]))
        assert part.learning(x, None).abs().max() < 1e-12
        part.fit(blocks_of(x))
        assert part(x).abs().max() < 1e-12


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("shape", [(3, 2, 6), (5,)], ids=str)
def test_triangle_and_rectifier(shape, power):
    u = normal(4, *shape)
    kept = u.clone()
    found = part_of(Triangle(power=power), shape)(u)
    # Measured 2e-16.
    np.testing.assert_allclose(found, triangle(u.numpy(), power), rtol=0, atol=1e-14)
    found = part_of(Rectifier(power=power), shape)(u)
    expected = np.maximum(u.numpy(), 0) ** power
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    assert torch.equal(u, kept)


POOLS = [*itertools.product((2, 3, 4), (1, 2, None), (0, 1))]


@pytest.mark.parametrize(("size", "stride", "padding"), POOLS)
def test_pooling_is_that_of_loops(size, stride, padding):
    x = normal(2, 6, 5, 3) - 1  # mostly below 0: padding must not win
    step = size if stride is None else stride
    window = {"size": size, "stride": step, "padding": padding}
    settings = MaxPool(size=size, stride=stride, padding=padding)
    found = part_of(settings, (6, 5, 3))(x)
    assert found.shape == (2, *settings.output_shape((6, 5, 3)))
    expected = pooled(x.numpy(), np.max, fill=-np.inf, **window)
    np.testing.assert_array_equal(found, expected)
    settings = AveragePool(size=size, stride=stride, padding=padding)
    found = part_of(settings, (6, 5, 3))(x)
    assert found.shape == (2, *settings.output_shape((6, 5, 3)))
    # Measured 3e-16: padding counts as 0.
    expected = pooled(x.numpy(), np.mean, **window)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(3, 2, 4), (9,)], ids=str)
def test_unit_norm(shape):
    x = normal(5, *shape)
    x[2] = 0
    found = part_of(UnitNorm(), shape)(x)
    norms = np.array([np.sqrt((image**2).sum()) for image in x.numpy()])
    norms[2] = 1
    expected = x.numpy() / norms.reshape(-1, *[1] * len(shape))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(3, 2, 4), (9,)], ids=str)
def test_the_mean_is_subtracted_at_each_position(shape):
    x = normal(11, *shape) + 5
    part = part_of(SubtractMean(), shape)
    torch.testing.assert_close(part(x), x, rtol=0, atol=0)
    part.fit(blocks_of(x))
    # Measured 2e-15.
    np.testing.assert_allclose(part.mean, x.numpy().mean(axis=0), rtol=0, atol=1e-13)
    expected = x.numpy() - x.numpy().mean(axis=0)
    np.testing.assert_allclose(part(x), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(4, 3, 5), (6,)], ids=str)
@pytest.mark.parametrize("ridge", [1e-9, 0.1])
def test_decorrelated_channels(shape, ridge):
    channels = shape[-1]
    x = normal(50, *shape) @ normal(channels, channels, seed=1) + normal(channels, seed=2)
    part = part_of(Decorrelate(ridge=ridge), shape)
    part.fit(blocks_of(x, 7))
    rows = x.flatten(0, -2)
    # Measured 5e-13.
    expected = decorrelation(rows, ridge)
    np.testing.assert_allclose(part.mixing, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(part.mixing, part.mixing.T, rtol=0, atol=1e-12)
    # The covariance of the outputs is S C S = C (C/c + ε)^(−1), c the mean variance of the
    # inputs: the identity times c, but for the ridge.
    before, after = (np.cov(v.flatten(0, -2).numpy().T, bias=True) for v in (x, part(x)))
    scale = before.trace() / channels
    found = after / scale
    expected = before / scale @ np.linalg.inv(before / scale + ridge * np.eye(channels))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    if ridge < 1e-6:
        np.testing.assert_allclose(found, np.eye(channels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4, 5), (6,)], ids=str)
def test_lateral_inhibition_learns_the_computed_decorrelation(shape):
    channels, ridge = shape[-1], 0.1
    mixed = normal(channels, channels, seed=1) + 2 * torch.eye(channels).double()
    x = normal(40_000 // math.prod(shape[:-1]), *shape) @ mixed + normal(channels, seed=2)
    part = part_of(Decorrelate(ridge=ridge, learned=True), shape)
    part.fit(blocks_of(x, 600))
    expected = decorrelation(x.flatten(0, -2), ridge)
    found = part.mixing.numpy()
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-9)
    distance = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    before = np.linalg.norm(np.eye(channels) - expected) / np.linalg.norm(expected)
    assert before > 0.4
    assert distance < 0.03  # measured 0.009 and 0.017; it is learned with noise


def test_moments_read_each_block_once():
    x, read = normal(20, 3), []

    def blocks():
        for block in x.split(6):
            read.append(len(block))
            yield block

    mean, variance, number = moments(blocks)
    assert read == [6, 6, 6, 2]
    assert number == 20
    torch.testing.assert_close(mean, x.mean(dim=0))
    torch.testing.assert_close(variance, x.var(dim=0, correction=0))


def test_channels_that_never_vary_are_decorrelated_without_nan():
    part = part_of(Decorrelate(ridge=0.25), (3,))
    part.fit(blocks_of(torch.ones(8, 3).double()))
    torch.testing.assert_close(part.mixing, 2 * torch.eye(3).double())
