"""An interrupted training of a stack goes on to the same numbers, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fastpath
from fastpath.cli import main
from fastpath.competition import KINDS
from fastpath.compute import Compute
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    Decorrelate,
    FullyConnected,
    MaxPool,
    SubtractMean,
    Triangle,
)
from fastpath.readout import Readout
from fastpath.runs import storage
from fastpath.runs.execute import execute
from fastpath.runs.folder import open_run
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from tests.fastpath.contracts import Threshold, configured, executed


def config_of(*, greedy):
    own = Threshold()
    stages = (
        SubtractMean(),
        Convolution(num_units=4, kernel_size=3, stride=2, p=3.0, competition=own),
        Triangle(),
        *([Decorrelate()] if greedy else []),
        BatchNorm(),
        Convolution(
            num_units=5, kernel_size=2, competition=own, rate_power=0.5, orthogonal=True
        ),
        MaxPool(size=2, stride=1, padding=1),
        AveragePool(size=2),
        BatchNorm(),
    )
    return configured(
        layer=StackSettings(stages=stages, greedy=greedy),
        training=Training(epochs=2, batch_size=250),
        readout=Readout(epochs=1),
    )


def config_with_random_layers():
    """Of four greedy layers the second and the last one keep their start."""
    own = {"competition": Threshold(), "p": 3.0}
    stages = (
        FullyConnected(num_units=6, **own),
        Decorrelate(),
        FullyConnected(num_units=6, epochs=0, **own),
        Decorrelate(),
        SubtractMean(),
        FullyConnected(num_units=5, epochs=2, **own),
        Decorrelate(),
        FullyConnected(num_units=4, epochs=0, **own),
    )
    return configured(
        layer=StackSettings(stages=stages, greedy=True),
        training=Training(epochs=2, batch_size=250),
    )


def trained(config, folder):
    """Return the tensors of a stack and its history."""
    generator = torch.Generator().manual_seed(0)
    x = torch.from_numpy(fastpath.load("digits").x_train)
    stack = config.layer.start((8, 8, 1), generator=generator)
    history = train(
        stack,
        x,
        competition=config.competition,
        training=config.training,
        preprocess=config.preprocess.fit(x),
        generator=generator,
        progress=False,
        checkpoints=Checkpoints(folder=folder, epochs=1, minutes=None),
    )
    return stack.state, history


def files_of(folder):
    history = storage.load_dataset(folder / storage.HISTORY)
    return storage.load_tensors(folder / storage.WEIGHTS), history


# 6 mini-batches an epoch. Greedy: a call for each, 4 epochs. At once: two calls for each, 2
# epochs.
INTERRUPTED = pytest.mark.parametrize(
    ("greedy", "calls", "epochs"),
    [
        (True, 3, 0),
        (True, 9, 1),
        (True, 13, 2),
        (True, 24, 3),
        (False, 5, 0),
        (False, 19, 1),
    ],
)


@INTERRUPTED
def test_a_training_ends_with_the_same_bits(greedy, calls, epochs, monkeypatch, tmp_path):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    assert_continued(config_of(greedy=greedy), calls, epochs, tmp_path)


@pytest.mark.parametrize(("calls", "epochs"), [(3, 0), (9, 1), (13, 2), (24, 3)])
def test_a_training_with_random_layers_ends_with_the_same_bits(
    calls, epochs, monkeypatch, tmp_path
):
    """Also if it goes on where a layer of 0 epochs stands: after the second epoch."""
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    config = config_with_random_layers()
    whole = assert_continued(config, calls, epochs, tmp_path)
    for name in ("1.mixing", "3.mixing", "6.mixing"):
        assert not torch.equal(whole[name], torch.eye(len(whole[name])))
    generator = torch.Generator().manual_seed(0)
    start = config.layer.start((8, 8, 1), generator=generator).state
    kept = {n for n in start if n.endswith("weights") and torch.equal(start[n], whole[n])}
    assert kept == {"2.weights", "7.weights"}


def assert_continued(config, calls, epochs, tmp_path):
    """Interrupt a training after some calls; return the tensors of one that was not."""
    for name in ("whole", "run"):
        (tmp_path / name).mkdir()
    whole, of_whole = trained(config, tmp_path / "whole")
    Threshold.calls.append(calls)
    with pytest.raises(KeyboardInterrupt):
        trained(config, tmp_path / "run")
    state, _ = storage.load_state(tmp_path / "run" / storage.CHECKPOINT)
    assert state.epoch == epochs
    for _ in range(2):  # the second time it is finished, and stays as it is
        ours, history = trained(config, tmp_path / "run")
        assert ours.keys() == whole.keys()
        for name, tensor in whole.items():
            assert torch.equal(ours[name], tensor), name
        for name in ("lr", "norm_mean", "norm_max", "learning"):
            np.testing.assert_array_equal(history[name], of_whole[name])
    return whole


@INTERRUPTED
def test_a_run_ends_with_the_same_bits(
    greedy, calls, epochs, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    config = config_of(greedy=greedy)
    executed(config, tmp_path / "whole")
    Threshold.calls.append(calls)
    with pytest.raises(KeyboardInterrupt):
        executed(config, tmp_path / "run")
    state, _ = storage.load_state(tmp_path / "run" / storage.CHECKPOINT)
    assert state.epoch == epochs
    main(["resume", str(tmp_path / "run")])
    (ours, history), (expected, of_whole) = map(
        files_of, (tmp_path / "run", tmp_path / "whole")
    )
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(ours[name], tensor), name
    assert history.sizes["epoch"] == (4 if greedy else 2)
    for name in ("lr", "norm_mean", "norm_max", "learning", "head_loss"):
        np.testing.assert_array_equal(history[name], of_whole[name])
    ours, expected = (
        storage.load_dataset(tmp_path / name / storage.SNAPSHOTS)
        for name in ("run", "whole")
    )
    assert ours.identical(expected)
    moments = [n / 6 for n in range(25 if greedy else 13)]  # all mini-batches
    assert ours["epoch"].values.tolist() == moments
    run, whole = (open_run(tmp_path / name) for name in ("run", "whole"))
    assert run.metrics["test_error"] == whole.metrics["test_error"]
    capsys.readouterr()
    main(["evaluate", str(tmp_path / "run")])
    assert f"{run.metrics['test_error']:.2f} %" in capsys.readouterr().out


def test_a_checkpoint_holds_the_statistics_and_the_powers(monkeypatch, tmp_path):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    Threshold.calls.append(13)
    with pytest.raises(KeyboardInterrupt):
        executed(config_of(greedy=True), tmp_path / "run")
    state, _ = storage.load_state(tmp_path / "run" / storage.CHECKPOINT)
    names = "0.mean 1.weights 1.signed_power 3.mixing 4.mean 4.variance 5.weights 8.mean"
    assert {*names.split(), "8.variance"} == state.layer.keys()


def test_a_checkpoint_of_other_stages_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    Threshold.calls.append(13)
    with pytest.raises(KeyboardInterrupt):
        executed(config_of(greedy=True), tmp_path / "run")
    checkpoints, compute = Checkpoints(folder=tmp_path / "run"), Compute(threads=1)
    with pytest.raises(ValueError, match=r"is of another configuration.*layer\.greedy"):
        execute(
            config_of(greedy=False), fastpath.load("digits"), checkpoints, compute=compute
        )
    other = config_of(greedy=True)
    lowest = other.layer.stages[1]
    stages = (other.layer.stages[0], replace(lowest, lr_scale=0.5), *other.layer.stages[2:])
    other = replace(other, layer=replace(other.layer, stages=stages))
    said = r"what differs: layer\.stages\.2\.lr_scale \(1\.0 there, 0\.5 here\)\. Give"
    with pytest.raises(ValueError, match=said):
        execute(other, fastpath.load("digits"), checkpoints, compute=compute)
