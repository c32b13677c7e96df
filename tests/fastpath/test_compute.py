"""Threads, memory and devices."""

import pytest
import torch

from fastpath import compute, experiment
from fastpath.cli import main
from fastpath.compute import Compute, check_memory, enough_threads
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.readout import Readout, Streamed, sources, storage
from tests.helpers import refused

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("flop", "used"), [(0, 1), (16e6, 1), (79e6, 1), (80e6, 2), (1e12, 2)]
)
def test_threads_that_do_not_pay_are_left_out(flop, used):
    with enough_threads(flop):
        assert torch.get_num_threads() == used
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), enough_threads(1.0):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    alone = compute.num_cores()
    Compute().ready()
    assert torch.get_num_threads() == alone
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(alone))
    assert compute.num_cores() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(10 * alone))
    assert compute.num_cores() == 1
    Compute(threads=2).ready()
    assert torch.get_num_threads() == 2


def test_what_does_not_fit_is_refused_with_the_sizes():
    free = compute.free_memory(CPU)
    assert free is None or free > 1e8
    check_memory({"images": 1}, "lower it", CPU)
    if free is None:
        pytest.skip("nothing tells how much memory is free here")
    with pytest.raises(
        ValueError, match=r"this needs .* GB on cpu \(images 0\.00, weights "
    ):
        check_memory({"images": 1, "weights": 2 * free}, "lower --units", CPU)
    with pytest.raises(ValueError, match=r"GB are free: lower --units"):
        check_memory({"weights": 2 * free}, "lower --units", CPU)


def test_a_layer_that_does_not_fit_is_refused_before_it_is_made(tmp_path, capsys):
    flags = ["--data", "digits", "--units", "2000000000", "--out", tmp_path / "run"]
    line = refused(capsys, "train", *flags)
    assert "this needs" in line
    assert "weights 1024.00" in line  # 2e9 x 64 x 4 bytes, twice
    assert "lower the number of units or the batch size" in line


def test_tf32_is_for_cuda(tmp_path, capsys):
    flags = ["--data", "digits", "--precision", "tf32", "--out", tmp_path / "run"]
    assert "give --device cuda" in refused(capsys, "train", *flags)


def test_more_processes_than_devices_are_refused(monkeypatch):
    from fastpath.training import distributed

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ValueError, match=r"process 1 .* there are 1; lower --nproc-per-node"
    ):
        distributed.join(torch.device("cuda"))


@pytest.mark.parametrize("scaling", ["image", "unit"])
def test_streamed_features_are_read_out_like_those_in_memory(scaling, monkeypatch):
    """Where features do not fit they are computed when they are used: the same head."""
    digits = datasets.load("digits")
    split = experiment.split(digits, validation=0, generator=torch.Generator())
    layer = Dense(torch.randn(30, 64, generator=torch.Generator().manual_seed(0)))
    preprocess = Preprocess().fit(split.x_train)
    settings = Readout(epochs=3, power=1.0, scaling=scaling)
    monkeypatch.setattr(sources, "BLOCK", 500)  # three blocks, the last one smaller
    heads = {}
    for free in (10**12, 1000):
        monkeypatch.setattr(storage, "free_memory", lambda device, free=free: free)
        x = experiment.features(layer, split.x_train, preprocess, settings)
        assert isinstance(x, Streamed) == (free == 1000)
        heads[free] = experiment.read_out(
            layer,
            preprocess,
            split,
            num_classes=10,
            readout=settings,
            generator=torch.Generator().manual_seed(1),
            progress=False,
        )
    (held, its_errors), (streamed, errors) = heads.values()
    # Measured 0; but products of other sizes may be rounded otherwise.
    torch.testing.assert_close(streamed.weights, held.weights, rtol=1e-4, atol=1e-5)
    assert errors == pytest.approx(its_errors, abs=0.3)


def test_the_command_names_its_kernels(tmp_path):
    flags = ["--data", "digits", "--units", "9", "--epochs", "1", "--head-epochs", "1"]
    main(["train", *flags, "--kernels", "pytorch", "--out", str(tmp_path / "run")])
    assert '"kernels": "pytorch"' in (tmp_path / "run" / "config.json").read_text()
