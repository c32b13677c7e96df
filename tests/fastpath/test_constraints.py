import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.layers.constraints import column_signs, row_signs, same_sign
from fastpath.training.loop import Training, train
from tests.helpers import normal

SIGNS = torch.tensor([1, -1, 0] * 21 + [1])
X = torch.from_numpy(datasets.load("digits").x_train)


def layer(constraint, *, seed=0, p=2.0, units=6):
    generator = torch.Generator().manual_seed(seed)
    return Dense.random(
        units, 64, p=p, constraint=constraint, generator=generator, dtype=torch.float64
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    sign=st.sampled_from([1, -1]),
    lr=st.floats(1e-6, 1e6),
    p=st.sampled_from([2.0, 3.0]),
    normalize=st.sampled_from(["max", None]),
    delta=st.floats(0.0, 3.0),
    seed=st.integers(0, 1000),
)
def test_one_sign_holds_after_every_step(sign, lr, p, normalize, delta, seed):
    dense = layer(same_sign(sign), seed=seed, p=p)
    assert (dense.weights * sign > 0).all()
    for step in range(3):
        dense.learn(
            normal(20, 64, seed=step), Ranking(delta=delta), lr=lr, normalize=normalize
        )
        assert (dense.weights * sign >= 0).all()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(lr=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_dales_law_holds_after_every_step(lr, seed):
    dense = layer(column_signs(SIGNS), seed=seed)
    for step in range(4):
        assert (dense.weights * SIGNS >= 0).all()
        dense.learn(normal(20, 64, seed=step), Ranking(), lr=lr)
    free = dense.weights[:, SIGNS == 0]
    assert (free > 0).any()
    assert (free < 0).any()


def test_training_equals_a_loop_in_numpy_that_clips():
    weights = _trained(same_sign(1), x=X[:250], dtype=torch.float64, lr=3.0)
    generator = torch.Generator().manual_seed(0)
    expected = abs(torch.randn(20, 64, generator=generator, dtype=torch.float64).numpy())
    for epoch in range(3):
        order = torch.randperm(250, generator=generator).numpy()
        for batch in (order[:100], order[100:200], order[200:]):
            v = X.numpy()[batch].reshape(-1, 64) / 255
            drive = v @ expected.T
            rank = np.argsort(-drive, axis=1)
            g = np.zeros_like(drive)
            g[np.arange(len(v)), rank[:, 0]] = 1
            g[np.arange(len(v)), rank[:, 1]] = -0.4
            change = g.T @ v - (g * drive).sum(axis=0)[:, None] * expected
            expected = expected + 3 * (1 - epoch / 3) * change / abs(change).max()
            expected = np.maximum(expected, 0)
    assert (expected == 0).any()
    # Measured 4.4e-16.
    np.testing.assert_allclose(weights, expected, atol=1e-12)


def _trained(constraint, *, x=X, dtype=torch.float32, p=2.0, lr=0.04):
    generator = torch.Generator().manual_seed(0)
    dense = Dense.random(
        20, 64, p=p, constraint=constraint, generator=generator, dtype=dtype
    )
    preprocess = Preprocess()
    train(
        dense,
        x,
        competition=Ranking(),
        training=Training(epochs=3, lr=lr),
        preprocess=preprocess.fit(x).to(dtype),
        generator=generator,
        progress=False,
    )
    return dense.weights


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_columns_that_are_free_learn_as_without_a_constraint_bit_for_bit(p):
    free = column_signs(torch.zeros(64, dtype=torch.int64))
    assert torch.equal(_trained(None, p=p), _trained(free, p=p))


def test_drive_follows_the_constrained_weights():
    dense = layer(same_sign(1), p=3.0)
    dense.learn(normal(20, 64), Ranking(), lr=10.0)
    v = normal(5, 64, seed=1)
    torch.testing.assert_close(dense.drive(v), v @ (dense.weights**2).T)


def test_a_start_of_the_wrong_sign_is_turned_round():
    weights = normal(3, 64)
    assert torch.equal(same_sign(-1).mirrored(weights), -weights.abs())
    dale = column_signs(SIGNS).mirrored(weights)
    assert torch.equal(dale.abs(), weights.abs())
    assert torch.equal(dale[:, SIGNS == 0], weights[:, SIGNS == 0])


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match=r"sign is 0: 1 \(weights >= 0\) or -1"):
        same_sign(0)
    with pytest.raises(ValueError, match=r"signs are \[0, 2\]: each must be 1, -1 or 0"):
        column_signs(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="2 signs for weights with 64 columns"):
        layer(column_signs(torch.tensor([1, -1])))
    with pytest.raises(ValueError, match="of 192 weights break the constraint"):
        Dense(normal(3, 64), constraint=same_sign(1))


def test_a_sign_per_unit_holds_for_the_rows_that_change():
    signs = torch.tensor([1, -1, 0] * 5)
    dense = layer(row_signs(signs), seed=3, units=15)
    before = dense.weights.clone()
    for step in range(3):
        dense.learn(normal(2, 64, seed=step), Ranking(k=2, delta=0.4), lr=3.0)
    changed = (dense.weights != before).any(dim=1)
    assert 2 < changed.sum() < 15
    assert (dense.weights * signs[:, None] >= 0).all()
    assert (dense.weights[changed & (signs == 1)] == 0).any()
    free = dense.weights[signs == 0]
    assert (free > 0).any()
    assert (free < 0).any()
    with pytest.raises(ValueError, match="15 signs for weights with 3 rows"):
        row_signs(signs)(dense.weights[:3])
