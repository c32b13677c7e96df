import itertools

import numpy as np
import pytest
import torch

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.training.callbacks import EachEpoch
from fastpath.training.loop import Training, train

X = torch.from_numpy(datasets.load("digits").x_train)


def run(x=X, *, seed=0, units=20, competition=None, dtype=torch.float32, **settings):
    generator = torch.Generator().manual_seed(seed)
    layer = Dense.random(units, 64, generator=generator, dtype=dtype)
    preprocess = Preprocess()
    history = train(
        layer,
        x,
        competition=competition or Ranking(),
        training=Training(**{"epochs": 3, **settings}),
        preprocess=preprocess.fit(x).to(dtype),
        generator=generator,
        progress=False,
    )
    return layer.weights, history


def test_a_seed_gives_the_same_weights_and_another_seed_others():
    assert torch.equal(run()[0], run()[0])
    assert not torch.equal(run()[0], run(seed=1)[0])


def test_training_equals_a_loop_over_shuffled_batches_in_numpy():
    """Shuffled anew each epoch, in batches with a smaller last one, annealed by epoch."""
    weights, _ = run(X[:250], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    expected = torch.randn(20, 64, generator=generator, dtype=torch.float64).numpy()
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
            expected = expected + 0.04 * (1 - epoch / 3) * change / abs(change).max()
    # Measured 4.4e-16.
    np.testing.assert_allclose(weights, expected, atol=1e-12)


def test_units_that_learn_approach_the_unit_sphere():
    weights, history = run(epochs=60, units=10)
    norms = weights.norm(dim=1)
    assert (norms - 1).abs().median() < 0.05
    assert history["norm_mean"][0] > 2 > history["norm_mean"][-1]


def test_history_is_labelled(monkeypatch):
    clock = itertools.count(step=4)  # seconds
    monkeypatch.setattr("fastpath.training.history.time.perf_counter", lambda: next(clock))
    _, history = run(epochs=4, lr=0.1)
    assert history.sizes == {"epoch": 4}
    np.testing.assert_allclose(history["lr"], [0.1, 0.075, 0.05, 0.025])
    for variable in history.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert (history["learning"] > 0).all()
    np.testing.assert_array_equal(history["images_per_second"], len(X) / 4)


def test_no_epochs_leave_the_random_start():
    weights, history = run(epochs=0)
    start = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(weights, start)
    assert history.sizes == {"epoch": 0}


@pytest.mark.parametrize("settings", [{"lr": 1e30}, {"lr": 1.0}])
def test_divergence_is_reported_with_the_epoch_and_a_hint(settings):
    with pytest.raises(ValueError, match=r"diverged in epoch 1: .*Lower delta .* or lr"):
        run(normalize=None, competition=Ranking(delta=5.0), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "epochs is -1: at least 0"),
        ({"batch_size": 0}, "batch_size is 0: at least 1"),
        ({"lr": 0.0}, "lr is 0.0.*positive"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"batch_size": 5000}, "batch_size is 5000, but there are only 1498 images"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**settings)


def test_rates_in_the_place_of_images_are_learned_from_as_they_are():
    rates = X.flatten(1).float() / 255
    torch.testing.assert_close(run(rates)[0], run(X)[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"the images are torch.float64: uint8 is needed"):
        run(rates.double())


def test_the_layer_can_be_watched_after_each_epoch():
    seen = []
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(8, 64, generator=generator)
    train(
        layer,
        X,
        competition=Ranking(),
        training=Training(epochs=3),
        preprocess=FittedPreprocess(Preprocess(), torch.zeros(64)),
        generator=generator,
        progress=False,
        callbacks=[EachEpoch(lambda epoch, w: seen.append((epoch, w.weights.clone())))],
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert not torch.equal(seen[0][1], seen[1][1])
    assert torch.equal(seen[2][1], layer.weights)
