"""Snapshots of receptive fields: when, of which units, and that they cost nothing."""

import math

import numpy as np
import pytest
import torch

from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.runs import storage
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, displayed_units, snapshot_epochs

X = torch.from_numpy(datasets.load("digits").x_train)


@pytest.mark.parametrize("last", [1, 2, 5, 23, 24, 25, 60, 1000])
@pytest.mark.parametrize("num", [2, 3, 10, 25])
def test_epochs_are_different_and_hold_both_ends(num, last):
    epochs = snapshot_epochs(num, last)
    assert epochs[0] == 0
    assert epochs[-1] == last
    assert (np.diff(epochs) > 0).all()
    assert len(epochs) == min(num, last + 1)


def test_epochs_are_log_spaced():
    assert snapshot_epochs(5, 1000) == [0, 1, 10, 100, 1000]
    early = [epoch for epoch in snapshot_epochs(25, 1000) if epoch <= math.sqrt(1000)]
    assert 12 <= len(early) <= 14


def test_no_snapshots_and_no_epochs():
    assert snapshot_epochs(0, 10) == []
    assert snapshot_epochs(25, 0) == [0]


@pytest.mark.parametrize("num", [-1, 1])
def test_a_number_without_both_ends_is_refused(num):
    with pytest.raises(ValueError, match=rf"snapshots is {num}: 0 \(keep none\) or at"):
        snapshot_epochs(num, 10)


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


def test_taking_snapshots_changes_nothing():
    with_them, without = trained(Snapshots(range(7))), trained()
    assert all(map(torch.equal, with_them, without))


def test_everything_is_described():
    snapshots = Snapshots([0])
    trained(snapshots, units=9, epochs=1)
    dataset = snapshots.as_dataset()
    for name in ("weights", "epoch", "unit"):
        assert dataset[name].attrs.keys() == {"units", "long_name"}
    assert dataset["weights"].dtype == np.float32
