"""One mini-batch against loops written from the equations, synapse by synapse."""

import numpy as np
import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.layers import Dense
from fastpath.plasticity import annealed, delta_w, signed_power, step_size

RULES = (
    Ranking(),
    RunnersUp(k=3),
    Equilibrium(w_inh=0.5, h_star=2.0),
    Soft(anti=True),
)


def by_hand(weights, images, *, p, k, delta, lr, normalize):
    """Eq. 2, eq. 10 and eq. 3 for a mini-batch, in plain loops."""
    num_units, num_pixels = weights.shape
    change = np.zeros_like(weights)
    for v in images:
        drive = [
            sum(
                np.sign(weights[u, i]) * abs(weights[u, i]) ** (p - 1) * v[i]
                for i in range(num_pixels)
            )
            for u in range(num_units)
        ]
        rank = sorted(range(num_units), key=lambda u: -drive[u])
        for u, g in ((rank[0], 1.0), (rank[k - 1], -delta)):
            for i in range(num_pixels):
                change[u, i] += g * (v[i] - drive[u] * weights[u, i])
    return weights + lr * change / (abs(change).max() if normalize == "max" else 1)


@pytest.mark.parametrize("normalize", ["max", None])
@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 4.0])
def test_one_mini_batch_equals_the_equations(p, k, normalize):
    rng = np.random.default_rng(1)
    weights, images = rng.normal(size=(9, 13)), rng.random((6, 13))
    layer = Dense(torch.tensor(weights), p=p)
    layer.learn(torch.tensor(images), Ranking(k=k, delta=0.4), lr=0.03, normalize=normalize)
    expected = by_hand(weights, images, p=p, k=k, delta=0.4, lr=0.03, normalize=normalize)
    # Measured 4.6e-16.
    np.testing.assert_allclose(layer.weights, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0])
def test_many_mini_batches_equal_the_dense_rule(p):
    """The rows that are skipped, and the weights kept for the drive, never fall behind."""
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(30, 20, p=p, generator=generator, dtype=torch.float64)
    weights = layer.weights.clone()
    rule = Ranking(k=3, delta=0.4)
    for _ in range(50):
        images = torch.rand(5, 20, generator=generator, dtype=torch.float64)
        layer.learn(images, rule, lr=0.02)
        drive = images @ signed_power(weights, p=p).T
        change = delta_w(rule(drive), drive, images, weights)
        weights = weights + 0.02 * change / change.abs().max()
    # Measured 4.4e-16.
    torch.testing.assert_close(layer.weights, weights, rtol=0, atol=1e-12)


def test_every_competition_drives_the_same_rule():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 20, generator=generator, dtype=torch.float64)
    for rule in RULES:
        layer = Dense.random(10, 20, generator=generator, dtype=torch.float64)
        before, drive = layer.weights.clone(), layer.drive(images)
        change = delta_w(rule(drive), drive, images, before)
        layer.learn(images, rule, lr=0.02, normalize=None)
        torch.testing.assert_close(layer.weights, before + 0.02 * change)


def test_images_that_move_no_unit_leave_the_weights_alone():
    layer = Dense(-torch.ones(3, 4))
    layer.learn(torch.ones(2, 4), Equilibrium(w_inh=0.5), lr=0.1)
    assert torch.equal(layer.weights, -torch.ones(3, 4))


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_a_hebbian_unit_flows_to_p_norm_one_and_an_anti_hebbian_one_away(p):
    v = (
        torch.rand(1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        + 0.1
    )
    for start in (0.9, 1.1):
        unit = torch.rand(
            1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        unit *= start / unit.norm(p=p)
        for sign, towards in ((1.0, True), (-1.0, False)):
            drive = v @ signed_power(unit, p=p).T
            after = unit + 1e-4 * delta_w(torch.full((1, 1), sign).double(), drive, v, unit)
            closer = abs(after.norm(p=p) - 1) < abs(start - 1)
            assert closer == towards


def test_linear_g_is_ojas_rule_and_finds_the_first_principal_component():
    generator = torch.Generator().manual_seed(3)
    scales = torch.tensor([3.0, 1.0, 0.5, 0.3], dtype=torch.float64)
    images = torch.randn(4000, 4, generator=generator, dtype=torch.float64) * scales
    mixing = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    images = images @ mixing
    weights = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    for _ in range(300):
        drive = images @ weights.T
        weights = weights + 0.02 / len(images) * delta_w(drive, drive, images, weights)
    first = torch.linalg.svd(images).Vh[0]
    assert abs((weights @ first).item()) == pytest.approx(1, abs=1e-6)


def test_the_largest_change_of_a_mini_batch_is_lr():
    for largest in (torch.tensor(2.0), 2.0):
        assert step_size(largest, lr=0.04, normalize="max") * 2.0 == pytest.approx(0.04)
        assert step_size(largest, lr=0.04, normalize=None) == 0.04
    assert step_size(torch.tensor(0.0), lr=0.04, normalize="max") * 0.0 == 0.0
    assert step_size(0.0, lr=0.04, normalize="max") * 0.0 == 0.0


def test_annealing_is_linear_and_would_reach_zero_after_the_last_epoch():
    assert [annealed(0.04, epoch=e, num_epochs=4) for e in range(5)] == pytest.approx(
        [0.04, 0.03, 0.02, 0.01, 0.0]
    )


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 4.0])
def test_conjugate_weights_keep_their_sign(p):
    weights = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0]], dtype=torch.float64)
    expected = [[np.sign(w) * abs(w) ** (p - 1) for w in weights[0].tolist()]]
    torch.testing.assert_close(
        signed_power(weights, p=p), torch.tensor(expected, dtype=torch.float64)
    )


def test_the_start_is_standard_normal_and_set_by_the_seed():
    layers = [
        Dense.random(50, 40, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    ]
    assert torch.equal(layers[0].weights, layers[1].weights)
    assert not torch.equal(layers[0].weights, layers[2].weights)
    assert layers[0].weights.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(torch.ones(2, 3), p=1.9), "p is 1.9.*2 or more"),
        (lambda: Dense(torch.ones(2, 3), p=float("nan")), "p is nan"),
        (lambda: Dense(torch.full((2, 3), torch.nan)), r"\(2, 3\): a finite"),
        (lambda: Dense.random(0, 3, generator=torch.Generator()), "units is 0"),
        (lambda: Dense(torch.ones(2, 3)).drive(torch.ones(1, 4)), "3 pixels per unit.*4"),
    ],
)
def test_bad_layers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
