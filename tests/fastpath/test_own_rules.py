"""Rules of the user's own: every kernel calls them, and none computes its own instead.

Each subclass does the opposite of the class that it comes from, so that a kernel which
takes it for that class is far off.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fastpath import kernels
from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import cpp
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.layers import Dense, constraints
from fastpath.readout import LinearHead
from fastpath.training.loop import Training, train
from tests.helpers import normal

CPU = torch.device("cpu")
ALL = ["pytorch", "fixed sizes", "cpp"]


def least_learns(drive):
    """Give 1 to the smallest drive, 0 to all others."""
    return torch.zeros_like(drive).scatter_(1, drive.argmin(dim=1, keepdim=True), 1.0)


class MyRanking(Ranking):
    def __call__(self, drive):
        return least_learns(drive)


class MyRunnersUp(RunnersUp):
    def __call__(self, drive):
        return least_learns(drive)


class MyEquilibrium(Equilibrium):
    def __call__(self, drive):
        return least_learns(drive)


@dataclass(frozen=True, kw_only=True)
class MySoft(Soft):
    name: str = "a field of its own"

    def __call__(self, drive):
        return least_learns(drive)


class InPlace(Ranking):
    """Overwrites the drives, of which ΔW must not hear."""

    def __call__(self, drive):
        g = least_learns(drive)
        drive.zero_()
        return g


class Inverted(Preprocess):
    """Shows negatives of images (image, 3, 2), which only an image in its shape has."""

    def __call__(self, x, mean, *, out=None):
        assert x.shape[1:] == (3, 2)
        return 1 - x.flip(1).flatten(1).to(mean.dtype) / 255


OWN = [MyRanking(), MyRunnersUp(), MyEquilibrium(), MySoft(), InPlace(), least_learns]


def layer_with(name, weights, p=2.0):
    if name == "cpp" and (reason := cpp.why_not(CPU, torch.float64)):
        pytest.skip(reason)
    layer = Dense(weights, p=p, kernels=None if name == "fixed sizes" else name)
    if name == "fixed sizes":  # as on CUDA
        layer.kernels = PyTorchKernels(CPU, torch.float64)
        layer.kernels.fixed_sizes = True
    return layer


def stepped(weights, images, *, lr):
    """Return the weights after a step by hand: eq. 3 where the smallest drive learns."""
    weights, images = weights.numpy().copy(), images.numpy()
    drive = images @ weights.T
    change = np.zeros_like(weights)
    for image, unit in zip(range(len(images)), drive.argmin(axis=1), strict=True):
        change[unit] += images[image] - drive[image, unit] * weights[unit]
    return weights + lr * change


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "rule", OWN, ids=lambda rule: getattr(rule, "__name__", repr(rule))
)
def test_a_layer_learns_by_the_rule_that_it_was_given(rule, name):
    weights, images = normal(7, 6), normal(20, 6, seed=1)
    layer = layer_with(name, weights)
    layer.learn(images, rule, lr=0.01, normalize=None)
    # Measured 4.4e-16: the sums run in another order.
    expected = stepped(weights, images, lr=0.01)
    np.testing.assert_allclose(layer.weights, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_images_are_prepared_as_a_subclass_says(name):
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 2), np.uint8))
    layer = layer_with(name, normal(4, 6))
    index = torch.tensor([7, 0])
    prepared = layer.prepare(
        x, index, FittedPreprocess(Inverted(), torch.zeros(6).double())
    )
    expected = 1 - x[index].numpy()[:, ::-1].reshape(2, 6) / 255
    np.testing.assert_allclose(prepared, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "rule", OWN, ids=lambda rule: getattr(rule, "__name__", repr(rule))
)
def test_training_goes_by_both(rule, name):
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 3, 2), np.uint8))
    start, mean = normal(5, 6), torch.zeros(6)
    layer = layer_with(name, start)
    train(
        layer,
        x,
        competition=rule,
        training=Training(epochs=1, batch_size=10, lr=0.01, normalize=None),
        preprocess=FittedPreprocess(Inverted(), mean),
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    weights = start
    for batch in torch.randperm(30, generator=torch.Generator().manual_seed(0)).split(10):
        images = Inverted()(x[batch], mean.double())
        weights = torch.from_numpy(stepped(weights, images, lr=0.01))
    np.testing.assert_allclose(layer.weights, weights, rtol=0, atol=1e-13)


class Halved(constraints.Constraint):
    """Keeps weights within ±0.5 as well."""

    def __call__(self, rows, units=slice(None)):
        return super().__call__(rows, units).clamp(-0.5, 0.5)


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("name", ALL)
def test_a_constraint_of_ones_own_is_kept(name, p):
    weights = normal(7, 6).abs()
    layer = layer_with(name, weights, p)
    layer.constraint = Halved(torch.ones(1, 6, dtype=torch.int64)).to(CPU)
    assert type(layer.constraint) is Halved
    for rule in (Ranking(), Soft()):
        layer.learn(normal(20, 6, seed=1), rule, lr=1.0)
    changed = (layer.weights != weights).any(dim=1)
    assert changed.any()
    assert (layer.weights[changed] <= 0.5).all()
    assert (layer.weights >= 0).all()
    assert type(Dense(weights, constraint=layer.constraint).constraint) is Halved


def test_a_head_of_ones_own_stays_one():
    class Shouting(LinearHead):
        pass

    head = Shouting(torch.ones(2, 3), torch.ones(2), torch.zeros(3), torch.ones(3))
    assert type(head.to(CPU)) is Shouting


def test_a_ranking_of_ones_own_may_have_fewer_units_than_k():
    layer = Dense(normal(2, 6))
    layer.learn(normal(3, 6), MyRanking(k=9), lr=0.1)
    with pytest.raises(ValueError, match="k is 9, but only 2 units"):
        layer.learn(normal(3, 6), Ranking(k=9), lr=0.1)


def test_kernels_that_are_asked_for_are_those_that_compute():
    for name in ("pytorch", "cpp"):
        if kernels.why_not(name, CPU, torch.float32) is None:
            generator = torch.Generator().manual_seed(0)
            layer = Dense.random(5, 6, kernels=name, generator=generator)
            assert layer.kernels.name == name
