"""The plasticity rules against loops over images and units; their sparse forms."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fastpath import plasticity
from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.kernels import Kernels, Learners, cpp
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.layers import Dense
from fastpath.plasticity import (
    Hebb,
    Instar,
    KrotovHopfield,
    delta_w,
    has_sparse_form,
    with_decay,
)
from tests.helpers import normal

CPU = torch.device("cpu")
BUILT_IN = [KrotovHopfield(), Hebb(), Instar()]
COMPETITIONS = [Ranking(k=3), RunnersUp(k=4), Equilibrium(w_inh=0.6, h_star=0.5)]
UNITS, PIXELS, IMAGES = 9, 13, 30


def by_hand(rule, g, drive, images, weights):
    """The three rules, one image and unit after another."""
    change = np.zeros_like(weights)
    for b in range(len(images)):
        for u in range(len(weights)):
            towards = {
                "KrotovHopfield": images[b] - drive[b, u] * weights[u],
                "Hebb": images[b],
                "Instar": images[b] - weights[u],
            }[type(rule).__name__]
            change[u] += g[b, u] * towards
    return change


def given(competition):
    """Return g, drive, images and weights of a mini-batch."""
    weights, images = normal(UNITS, PIXELS), normal(IMAGES, PIXELS, seed=1)
    drive = images @ weights.T
    return competition(drive), drive, images, weights


def kernels(name) -> Kernels:
    if name == "cpp":
        if reason := cpp.why_not(CPU, torch.float64):
            pytest.skip(reason)
        return cpp.CppKernels(CPU, torch.float64)
    made = PyTorchKernels(CPU, torch.float64)
    made.fixed_sizes = name == "pytorch, as on CUDA"
    return made


@pytest.mark.parametrize("competition", [*COMPETITIONS, Soft(anti=True)], ids=str)
@pytest.mark.parametrize("rule", BUILT_IN, ids=str)
def test_each_rule_is_its_definition(rule, competition):
    arrays = given(competition)
    expected = by_hand(rule, *(array.numpy() for array in arrays))
    # Measured 6e-14 with entries of size 10 to 100: sums in another order.
    np.testing.assert_allclose(rule(*arrays), expected, rtol=1e-12, atol=1e-12)


def test_every_built_in_rule_is_tested_here():
    assert {type(rule) for rule in BUILT_IN} == {*plasticity.KINDS.values()}


@pytest.mark.parametrize("name", ["cpp", "pytorch", "pytorch, as on CUDA"])
@pytest.mark.parametrize("competition", COMPETITIONS, ids=str)
@pytest.mark.parametrize("rule", BUILT_IN, ids=str)
def test_kernels_compute_each_rule_from_learners_with_its_decay(rule, competition, name):
    g, drive, images, weights = given(competition)
    step = kernels(name)
    found = step.learners(competition, drive)
    if found is None:  # an equilibrium, as on CUDA: its entries all the same
        image, unit = g.nonzero(as_tuple=True)
        found = Learners(image, unit, g[image, unit], drive[image, unit])
    kept = Learners(*(part.clone() for part in found))
    changed = with_decay(rule, found)
    assert changed is not None
    changes = step.changes(changed, images, weights)
    expected = by_hand(rule, *(a.numpy() for a in (g, drive, images, weights)))
    rows = changes.rows.numpy()
    np.testing.assert_allclose(changes.change, expected[rows], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(float(changes.largest), abs(expected).max(), rtol=1e-12)
    idle = sorted({*range(UNITS)} - {*rows.tolist()})
    assert not expected[idle].any()
    for part, expected_part in zip(found, kept, strict=True):
        assert torch.equal(part, expected_part)


def test_no_learners_have_a_decay_too():
    empty = Learners(*torch.zeros(2, 0).long(), *torch.zeros(2, 0).double())
    for rule in BUILT_IN:
        found = with_decay(rule, empty)
        assert found is not None
        assert found.drive.shape == (0,)


def test_learners_of_eq_3_are_the_same_object():
    """The C++ kernels know the memory of their own."""
    found = Ranking().learners(normal(4, 5))
    assert with_decay(KrotovHopfield(), found) is found


@dataclass(frozen=True, kw_only=True)
class Opposite(Hebb):
    def __call__(self, g, drive, images, weights):
        return -super().__call__(g, drive, images, weights)


def test_a_rule_of_ones_own_has_no_sparse_form(monkeypatch):
    monkeypatch.setitem(plasticity.KINDS, "opposite", Opposite)
    found = Ranking().learners(normal(4, 5))
    for rule in (Opposite(), lambda g, drive, images, weights: g.T @ images):
        assert not has_sparse_form(rule)
        assert with_decay(rule, found) is None
    assert all(has_sparse_form(rule) for rule in BUILT_IN)


@pytest.mark.parametrize("rule", [delta_w, *BUILT_IN], ids=["delta_w", *map(str, BUILT_IN)])
def test_a_g_of_another_shape_than_the_drive_is_refused(rule):
    g, drive, images, weights = given(Ranking())
    # The shapes in the signature are checked in tests alone.
    with pytest.raises((ValueError, TypeError), match=r"g has shape|Type-check"):
        rule(g[:, :4], drive, images, weights)


def test_instar_with_one_winner_is_online_k_means():
    """With ε = 1 / number of images won, W_u is the mean of all images won so far."""
    images = normal(60, 4)
    weights = images[:3].clone()
    won = [[image] for image in images[:3]]
    for v in images[3:]:
        winner = int(((weights - v) ** 2).sum(dim=1).argmin())
        g = torch.zeros(1, 3, dtype=torch.float64)
        g[0, winner] = 1
        won[winner].append(v)
        change = Instar()(g, torch.zeros_like(g), v[None], weights)
        weights = weights + change / len(won[winner])
    assert min(map(len, won)) > 5
    means = torch.stack([torch.stack(each).mean(dim=0) for each in won])
    # Measured 2e-16.
    torch.testing.assert_close(weights, means, rtol=0, atol=1e-13)


def test_a_winner_grows_by_hebb_and_stays_with_its_image_by_instar():
    v = normal(1, 6)
    g, drive = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1).double()
    grown = moved = torch.zeros(1, 6, dtype=torch.float64)
    for _ in range(200):
        grown = grown + 0.1 * Hebb()(g, drive, v, grown)
        moved = moved + 0.1 * Instar()(g, drive, v, moved)
    torch.testing.assert_close(grown, 20 * v)
    torch.testing.assert_close(moved, v, rtol=1e-8, atol=0)


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("rule", BUILT_IN, ids=str)
def test_layers_learn_alike_by_every_kernel(rule, p):
    layers = [Dense(normal(20, PIXELS), p=p, plasticity=rule) for _ in range(2)]
    layers[1].kernels = kernels("pytorch")
    for seed in range(10):
        for layer in layers:
            layer.learn(normal(5, PIXELS, seed=seed).abs(), RunnersUp(), lr=0.02)
    torch.testing.assert_close(layers[0].weights, layers[1].weights, rtol=0, atol=1e-12)
