"""Several processes train the layer that one does."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import xarray as xr

from fastpath.cli import main
from fastpath.runs import storage
from fastpath.training.distributed import Team
from fastpath.training.snapshots import snapshot_moments
from tests.fastpath import worker

ROOT = Path(__file__).parents[2]


def torchrun(
    processes: int,
    *args: str,
    module: str = "fastpath",
    nodes: int = 1,
    endpoint: str = "localhost:0",
) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes)]
    where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint]
    count = ["--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*launcher, *where, *count, "-m", "--", module, *args],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("images", [1, 2, 7, 100])
def test_shares_are_a_partition_as_even_as_can_be(size, images):
    shares = [range(images)[Team(rank, size).share(images)] for rank in range(size)]
    assert [image for share in shares for image in share] == list(range(images))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3])
def test_a_team_trains_the_layer_that_one_process_does(tmp_path, processes):
    agree(tmp_path, processes, "cpu", atol=1e-12)


@pytest.mark.gpu
def test_a_team_of_gpus_trains_the_layer_that_one_process_does(tmp_path):
    if (devices := torch.cuda.device_count()) < 2:
        pytest.skip(f"a team of GPUs needs two of them, here is {devices}")
    agree(tmp_path, devices, "cuda", atol=1e-11)


def agree(tmp_path, processes, device, *, atol):
    """Train with so many processes, and compare every process's weights with one's own."""
    started = torchrun(processes, str(tmp_path), device, module="tests.fastpath.worker")
    _, said = started.communicate()
    assert started.returncode == 0, said
    by_rank = [
        storage.load_tensors(tmp_path / f"{rank}.safetensors") for rank in range(processes)
    ]
    for name in worker.RULES:
        for p in (2.0, 2.5, 3.0):
            alone = worker.weights(name, p, None)
            for trained in by_rank:
                ours = trained[f"{name} {p}"]
                # All have the same bits. Against one process measured 4e-16, 9e-16 for
                # Soft: sums in another order.
                assert torch.equal(ours, by_rank[0][f"{name} {p}"])
                torch.testing.assert_close(ours, alone, rtol=0, atol=atol)


QUICK = ["--data", "digits", "--units", "30", "--head-epochs", "1", "--p", "3"]


@pytest.mark.slow
def test_the_first_of_a_team_keeps_what_one_process_does(tmp_path):
    flags = [*QUICK, "--epochs", "4", "--tensorboard"]
    team = torchrun(2, "train", *flags, "--out", str(tmp_path / "team"))
    _, said = team.communicate(timeout=300)
    assert team.returncode == 0, said
    main(["train", *flags, "--out", str(tmp_path / "alone")])
    ours, alone = (
        storage.load_dataset(tmp_path / name / storage.SNAPSHOTS)
        for name in ("team", "alone")
    )
    assert ours["epoch"].values.tolist() == snapshot_moments(25, 4, 15)
    # Sums in another order, then rounded to 11 bits.
    xr.testing.assert_allclose(ours, alone, rtol=2e-3, atol=1e-4)
    assert len([*(tmp_path / "team" / "tensorboard").iterdir()]) == 1


@pytest.mark.slow
def test_two_nodes_train_what_one_process_does(tmp_path):
    """Two agents of torchrun meet at a rendezvous, as on two machines."""
    flags = [*QUICK, "--epochs", "4", "--augment-crop", "1"]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{found.getsockname()[1]}"
    command = ("train", *flags, "--out", str(tmp_path / "team"))
    nodes = [torchrun(1, *command, nodes=2, endpoint=endpoint) for _ in range(2)]
    said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    # One of the two reports and saves.
    assert sorted("saved to" in out for out, _ in said) == [False, True]
    main(["train", *flags, "--out", str(tmp_path / "alone")])
    ours, alone = (
        storage.load_tensors(tmp_path / name / storage.WEIGHTS)["weights"]
        for name in ("team", "alone")
    )
    # Equal bits measured, of weights up to 3.7; drives of a share may be rounded otherwise.
    torch.testing.assert_close(ours, alone, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_process_that_dies_stops_the_others_and_the_run_goes_on(tmp_path, capsys):
    out = tmp_path / "run"
    flags = [*QUICK, "--epochs", "100000", "--checkpoint-minutes", "0.001"]
    team = torchrun(2, "train", *flags, "--out", str(out))
    path = out / storage.CHECKPOINT
    while not (path.exists() and storage.load_state(path)[0].epoch):
        assert team.poll() is None, team.communicate()[1]
        time.sleep(0.05)
    os.kill(_process_of_rank(team.pid, 1), signal.SIGKILL)
    _, said = team.communicate(timeout=60)
    assert team.returncode != 0
    # Whichever it hears of first: the other is gone, or torchrun ends it for that.
    lost = "process 0 of 2 has lost the others: one of them died"
    assert lost in said or "fastpath: terminated" in said
    assert f"go on from its last checkpoint by `fastpath resume {out}`" in said
    state, config = storage.load_state(path)
    assert state.epoch > 0
    # The same run, but for its length: what is left is quick.
    config["training"]["epochs"] = state.epoch + 2
    storage.save_state(path, state, config)
    capsys.readouterr()
    main(["resume", str(out)])
    assert "test error" in capsys.readouterr().out
    assert storage.load_dataset(out / storage.HISTORY).sizes["epoch"] == state.epoch + 2


def _process_of_rank(launcher: int, rank: int) -> int:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise AssertionError(f"no process of rank {rank} among {children}")
