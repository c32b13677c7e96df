"""An epoch of MNIST by the sparse step and by the authors' dense form in NumPy."""

import numpy as np
import pytest
import torch

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from scenarios.bench import rivals

BATCH = 100
PREPROCESS = Preprocess()
LR, DELTA = 0.04, 0.4


@pytest.fixture(scope="module")
def epoch(data_root):
    """Return 60,000 images in their shuffled order."""
    x = torch.from_numpy(datasets.load("mnist", data_root, download=False).x_train)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    return x.flatten(1)[order]


def start(units: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(units, 784, generator=generator, dtype=torch.float64)


def sparse(epoch, units, p, k, dtype) -> np.ndarray:
    layer = Dense(start(units).to(dtype), p=p)
    preprocess = FittedPreprocess(PREPROCESS, torch.zeros(784, dtype=dtype))
    for index in torch.arange(len(epoch)).split(BATCH):
        images = layer.prepare(epoch, index, preprocess)
        layer.learn(images, Ranking(k=k, delta=DELTA), lr=LR)
    return layer.weights.double().numpy()


def dense(epoch, units, p, k, dtype) -> np.ndarray:
    weights = start(units).numpy().astype(dtype)
    for batch in epoch.split(BATCH):
        images = batch.numpy().astype(dtype) / 255
        rivals.published(weights, images, p=p, k=k, delta=DELTA, lr=LR)
    return weights.astype(np.float64)


def away(weights, exact) -> tuple[float, float]:
    """Return the largest error of any weight, and of nine units in ten."""
    by_unit = abs(weights - exact).max(axis=1)
    return by_unit.max(), np.quantile(by_unit, 0.9)


# Measured with whole epochs for all of K = 100, 2000, p = 2, 2.5, 3, k = 2, 7: float64 at
# most 2.4e-15; float32 1.1e-6 to 3.1e-6, the dense form's own the same, but for units that
# an image of two equal drives gave to another winner: there both precisions, or one, are
# 0.02 to 0.2 away. Such units are fewer than one in ten.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "p", "k"),
    [(100, 2.0, 2), (100, 2.5, 7), (100, 3.0, 2), (2000, 3.0, 7)],
)
def test_an_epoch_of_mnist_equals_the_published_form(epoch, units, p, k):
    if (units, p, k) != (100, 2.0, 2):  # a quarter is enough for the others
        epoch = epoch[:15_000]
    exact = dense(epoch, units, p, k, np.float64)
    assert away(sparse(epoch, units, p, k, torch.float64), exact)[0] < 1e-10
    _, float32 = away(sparse(epoch, units, p, k, torch.float32), exact)
    _, its_own = away(dense(epoch, units, p, k, np.float32), exact)
    assert float32 < 2 * its_own
