"""Weights and images of both signs, any p: steps and norms of every kernel and rule."""

import numpy as np
import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import cpp
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.layers import Dense
from fastpath.layers.constraints import column_signs
from fastpath.training.callbacks import EachEpoch
from fastpath.training.loop import Training, train

CPU = torch.device("cpu")
POWERS = (2.0, 2.5, 3.0, 4.0)
UNITS, PIXELS = 6, 5


def second_best(drive):
    """Give the second largest drive 1, the smallest −0.5: a rule of one's own."""
    g = torch.zeros_like(drive)
    order = drive.argsort(dim=1, descending=True)
    g.scatter_(1, order[:, 1:2], 1.0)
    return g.scatter_(1, order[:, -1:], -0.5)


def settled(drive, w):
    """The fixed point of eq. 8, by trying how many units are active."""
    order = np.argsort(-drive)
    for active in range(len(drive), -1, -1):
        total = drive[order[:active]].sum() / (1 + (active - 1) * w)
        h = np.array([(i - w * total) for i in drive])
        h[order[:active]] /= 1 - w
        if (h[order[:active]] > 0).all() and (h[order[active:]] <= 0).all():
            return h
    raise AssertionError


def ranked(drive):
    order, g = np.argsort(-drive), np.zeros_like(drive)
    g[order[0]], g[order[2]] = 1, -0.4
    return g


def several_unlearn(drive):
    order, g = np.argsort(-drive), np.zeros_like(drive)
    g[order[0]], g[order[1:4]] = 1, -0.1
    return g


def thresholded(drive):
    h = settled(drive, 0.6)
    return np.where(h >= 0.5, 1.0, np.where(h >= 0, -0.3, 0.0))


def shared(drive):
    share = np.exp(drive / 0.7) / np.exp(drive / 0.7).sum()
    return np.where(drive == drive.max(), share, -share)


def own(drive):
    order, g = np.argsort(-drive), np.zeros_like(drive)
    g[order[1]], g[order[-1]] = 1, -0.5
    return g


RULES = {
    "ranking": (Ranking(k=3, delta=0.4), ranked),
    "runners-up": (RunnersUp(k=3, delta=0.1), several_unlearn),
    "equilibrium": (Equilibrium(w_inh=0.6, h_star=0.5, delta=0.3), thresholded),
    "soft": (Soft(temperature=0.7, anti=True), shared),
    "own": (second_best, own),
}


@pytest.fixture
def given():
    """Weights, and the images of three mini-batches."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(UNITS, PIXELS)), rng.normal(size=(3, 4, PIXELS))


def layer_with(kernels, weights, **settings):
    if kernels == "cpp" and (reason := cpp.why_not(CPU, torch.float64)):
        pytest.skip(reason)
    fixed = kernels == "pytorch, as on CUDA"
    layer = Dense(
        torch.from_numpy(weights), kernels="pytorch" if fixed else kernels, **settings
    )
    if fixed:
        layer.kernels = PyTorchKernels(CPU, torch.float64)
        layer.kernels.fixed_sizes = True
    return layer


def signed_power(weights, p):
    return np.where(weights < 0, -1, 1) * np.abs(weights) ** (p - 1)


def steps(weights, batches, learns, p, lr, signs=None):
    """Return the weights after some mini-batches, one image and unit after another."""
    weights = weights.copy()
    for batch in batches:
        change = np.zeros_like(weights)
        for v in batch:
            drive = signed_power(weights, p) @ v
            for u, g in enumerate(learns(drive)):
                change[u] += g * (v - drive[u] * weights[u])
        weights = weights + lr * change / abs(change).max()
        if signs is not None:
            weights = np.where(weights * signs < 0, 0, weights)
    return weights


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kernels", ["pytorch", "pytorch, as on CUDA", "cpp"])
def test_mini_batches_are_loops_of_the_equations(kernels, rule, p, given):
    """Several: what is derived from the weights is renewed with them."""
    weights, batches = given
    competition, learns = RULES[rule]
    layer = layer_with(kernels, weights, p=p)
    for batch in torch.from_numpy(batches):
        layer.learn(batch, competition, lr=0.1)
    expected = steps(weights, batches, learns, p, 0.1)
    np.testing.assert_allclose(layer.weights, expected, rtol=0, atol=1e-12)
    drive = layer.drive(torch.from_numpy(batches[0]))
    by_hand = batches[0] @ signed_power(expected, p).T
    np.testing.assert_allclose(drive, by_hand, rtol=0, atol=1e-11)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("rule", RULES)
def test_signs_of_inputs_are_kept_in_every_step(rule, p, given):
    weights, batches = given
    signs = np.array([1, -1, 0, 1, -1])
    start = np.where(weights * signs < 0, -weights, weights)
    competition, learns = RULES[rule]
    layer = layer_with("pytorch", start, p=p, constraint=column_signs(torch.tensor(signs)))
    for batch in torch.from_numpy(batches):
        layer.learn(batch, competition, lr=1.5)
    expected = steps(start, batches, learns, p, 1.5, signs)
    assert (expected == 0).any()  # the bound was reached
    np.testing.assert_allclose(layer.weights, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", POWERS)
def test_the_history_has_the_p_norms_of_the_rule(p, given):
    weights, _ = given
    layer = Dense(torch.from_numpy(3 * weights), p=p)
    norms, changed, before = [], [], 3 * weights

    def watch(_, layer):
        nonlocal before
        after = layer.weights.numpy().copy()
        norms.append((abs(after) ** p).sum(axis=1) ** (1 / p))
        changed.append((after != before).any(axis=1).mean())
        before = after

    x = torch.randint(0, 256, (8, PIXELS), generator=torch.Generator().manual_seed(0))
    history = train(
        layer,
        x.byte(),
        competition=Ranking(),
        training=Training(epochs=3, batch_size=4),
        preprocess=FittedPreprocess(Preprocess(), torch.zeros(PIXELS)),
        generator=torch.Generator().manual_seed(0),
        progress=False,
        callbacks=[EachEpoch(watch)],
    )
    np.testing.assert_allclose(history["norm_mean"], np.mean(norms, axis=1), rtol=1e-12)
    np.testing.assert_allclose(history["norm_max"], np.max(norms, axis=1), rtol=1e-12)
    np.testing.assert_allclose(history["learning"], changed)
    assert min(changed) < 1
