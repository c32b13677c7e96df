"""Snapshots of receptive fields: when, of which units, and that they cost nothing."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.plasticity import annealed
from fastpath.runs import storage
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import (
    Snapshots,
    displayed_units,
    moment_title,
    snapshot_moments,
)

X = torch.from_numpy(datasets.load("digits").x_train)


COUNTS = st.integers(2, 40)


@given(num=COUNTS, epochs=st.integers(1, 1000), batches=st.integers(1, 60))
@example(num=25, epochs=1, batches=5000)
@example(num=25, epochs=23, batches=2)
@example(num=25, epochs=24, batches=600)
def test_moments_are_different_mini_batches_and_hold_both_ends(num, epochs, batches):
    moments = snapshot_moments(num, epochs, batches)
    assert moments[0] == 0
    assert moments[-1] == epochs
    assert (np.diff(moments) > 0).all()
    assert len(moments) == min(num, epochs * batches + 1)
    done = np.array([Fraction(moment).limit_denominator(batches) for moment in moments])
    assert all(float(exact) == moment for exact, moment in zip(done, moments, strict=True))
    assert all((batches * exact).denominator == 1 for exact in done)


@given(num=COUNTS, epochs=st.integers(1, 1000), batches=st.integers(1, 60))
def test_whole_epochs_are_those_of_a_training_by_whole_epochs(num, epochs, batches):
    """So they do not depend on whether mini-batches can be kept, as on CUDA they cannot."""
    moments = snapshot_moments(num, epochs, batches)
    whole = [moment for moment in moments if moment.is_integer()]
    assert whole == snapshot_moments(num, epochs, 1)
    assert len(moments) == len(whole) or epochs + 1 < num


def test_epochs_are_log_spaced():
    assert snapshot_moments(5, 1000, 7) == [0, 1, 10, 100, 1000]
    early = [each for each in snapshot_moments(25, 1000, 7) if each <= math.sqrt(1000)]
    assert 12 <= len(early) <= 14
    later = [16, 20, 25, 30, 37, 45, 55, 67, 82, 100]
    assert snapshot_moments(25, 100, 600) == [*range(15), *later]


def test_mini_batches_of_the_first_epochs_are_log_spaced():
    assert snapshot_moments(5, 1, 1000) == [0, 0.001, 0.01, 0.1, 1]
    assert snapshot_moments(6, 3, 1000) == [0, 1 / 1000, 32 / 1000, 1, 2, 3]
    assert snapshot_moments(8, 3, 3) == [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 3]
    assert snapshot_moments(25, 2, 2) == [0, 0.5, 1, 1.5, 2]


def test_no_snapshots_and_no_epochs():
    assert snapshot_moments(0, 10, 5) == []
    assert snapshot_moments(25, 0, 5) == [0]


@pytest.mark.parametrize(
    ("moment", "title"),
    [
        (0.0, "epoch 0"),
        (1000.0, "epoch 1000"),
        (1 / 5000, "epoch 0.0002"),
        (1 / 15, "epoch 0.0667"),
        (100 / 5000, "epoch 0.02"),
        (12.345, "epoch 12.3"),
    ],
)
def test_titles_are_short(moment, title):
    assert moment_title(moment) == title


@pytest.mark.parametrize("num", [-1, 1])
def test_a_number_without_both_ends_is_refused(num):
    with pytest.raises(ValueError, match=rf"snapshots is {num}: 0 \(keep none\) or at"):
        snapshot_moments(num, 10, 5)


def test_units_are_evenly_spread():
    assert displayed_units(7).tolist() == list(range(7))
    assert displayed_units(2000).tolist() == list(range(0, 2000, 20))
    gaps = displayed_units(150).diff()
    assert len(gaps) == 99
    assert set(gaps.tolist()) == {1, 2}


def trained(snapshots=None, checkpoints=None, units=130, epochs=6):
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(units, 64, generator=generator)
    start = layer.weights.clone()
    train(
        layer,
        X,
        competition=Ranking(),
        training=Training(epochs=epochs),
        preprocess=FittedPreprocess(Preprocess(), torch.zeros(64)),
        generator=generator,
        progress=False,
        checkpoints=checkpoints,
        callbacks=[] if snapshots is None else [snapshots],
    )
    return start, layer.weights, generator.get_state()


def test_snapshots_are_the_weights_at_their_epochs(tmp_path, monkeypatch):
    """Compared with the states that checkpoints of every epoch hold."""
    save, weights = storage.save_state, {}

    def copied(path, state, config):
        weights[state.epoch] = state.layer["weights"].clone()
        save(path, state, config)

    monkeypatch.setattr(storage, "save_state", copied)
    snapshots = Snapshots([0, 2, 5, 6])
    trained(snapshots, Checkpoints(folder=tmp_path, epochs=1))
    kept = snapshots.as_dataset()["weights"]
    assert kept.dims == ("epoch", "unit", "pixel")
    assert kept["epoch"].values.tolist() == [0, 2, 5, 6]
    assert kept.sizes["unit"] == 100
    assert not torch.equal(weights[0], weights[2])
    for field in kept:
        whole = weights[int(field["epoch"])].numpy()[field["unit"].values]
        np.testing.assert_array_equal(field.values, whole.astype(np.float16))
        # Half a unit in the last of 11 bits; subnormal below 6e-5.
        np.testing.assert_allclose(field.values, whole, rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("epochs", [1, 3])
def test_snapshots_within_an_epoch_are_the_weights_after_so_many_steps(epochs):
    """Compared with the same steps in a loop, whose last mini-batch is smaller."""
    moments = snapshot_moments(25, epochs, 15)
    snapshots = Snapshots(moments)
    trained(snapshots, epochs=epochs)
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(130, 64, generator=generator)
    preprocess = FittedPreprocess(Preprocess(), torch.zeros(64))
    units = displayed_units(130)
    expected = {0.0: layer.weights[units].half()}
    for epoch in range(epochs):
        order = torch.randperm(len(X), generator=generator).split(100)
        assert len(order) == 15
        assert len(order[-1]) < 100
        lr = annealed(Training.lr, epoch=epoch, num_epochs=epochs)
        for batch, index in enumerate(order, 1):
            images = layer.prepare(X, index, preprocess)
            layer.learn(images, Ranking(), lr=lr)
            expected[epoch + batch / 15] = layer.weights[units].half()
    kept = snapshots.as_dataset()["weights"]
    assert kept["epoch"].dtype == np.float64
    assert kept["epoch"].values.tolist() == moments
    assert len(moments) == (16 if epochs == 1 else 25)
    for field in kept:
        nearest = min(expected, key=lambda moment: abs(moment - float(field["epoch"])))
        np.testing.assert_array_equal(field.values, expected[nearest].float())
    assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize("moments", [range(7), snapshot_moments(60, 6, 15)])
def test_taking_snapshots_changes_nothing(moments):
    with_them, without = trained(Snapshots(moments)), trained()
    assert all(map(torch.equal, with_them, without))


@pytest.mark.parametrize("moment", [0.5, 1.3, 2 / 15 + 1e-9])
def test_a_moment_within_a_mini_batch_is_refused(moment):
    with pytest.raises(ValueError, match=rf"epoch {moment} falls within .* n / 15"):
        trained(Snapshots([0, 1 / 15, moment]))


def test_keys_of_a_checkpoint_are_exact(tmp_path):
    snapshots = Snapshots(snapshot_moments(200, 6, 15))
    trained(snapshots, Checkpoints(folder=tmp_path))
    state, _ = storage.load_state(tmp_path / storage.CHECKPOINT)
    assert state.snapshots.keys() == snapshots.moments
    assert len(state.snapshots) == 91
    for moment, kept in state.snapshots.items():
        assert torch.equal(kept, snapshots.kept[moment])


def test_everything_is_described():
    snapshots = Snapshots([0])
    trained(snapshots, units=9, epochs=1)
    dataset = snapshots.as_dataset()
    for name in ("weights", "epoch", "unit"):
        assert dataset[name].attrs.keys() == {"units", "long_name"}
    assert dataset["weights"].dtype == np.float32
