"""Checkpoints: what is saved, when, and that a killed run ends as an undisturbed one."""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

from fastpath.cli import main
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.runs import storage
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, snapshot_moments
from tests.helpers import refused

X = torch.from_numpy(datasets.load("digits").x_train)
CONFIG = {"units": 20, "training": {"lr": 0.04}}
QUICK = ["--data", "digits", "--units", "15", "--head-epochs", "2"]


class Stopped(Exception):
    """What interrupts a run in these tests."""


def run(
    folder,
    *,
    stop=None,
    passes=6,
    competition=None,
    p=2.5,
    config=None,
    snapshots=None,
    others=(),
    **often,
):
    """Train, or go on; raise Stopped once `stop` checkpoints are written."""
    layer = Dense.random(20, 64, p=p, generator=(g := torch.Generator().manual_seed(0)))
    checkpoints = folder and Checkpoints(folder=folder, config=config or CONFIG, **often)
    save, written = storage.save_state, []

    def counted(*args):
        save(*args)
        written.append(args)
        if len(written) == stop:
            raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(storage, "save_state", counted)
        history = train(
            layer,
            X,
            competition=competition or Ranking(k=3),
            training=Training(epochs=passes),
            preprocess=FittedPreprocess(Preprocess(unit_norm=True), torch.zeros(64)),
            generator=g,
            progress=False,
            checkpoints=checkpoints,
            callbacks=[*([] if snapshots is None else [snapshots]), *others],
        )
    return layer.weights, history, len(written)


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0])
@pytest.mark.parametrize(
    "competition", [Ranking(k=3), Equilibrium(w_inh=0.5), Soft()], ids=str
)
def test_a_run_goes_on_bit_for_bit(tmp_path, competition, p):
    whole, expected, _ = run(None, competition=competition, p=p)
    for stop in (1, 3, 2):  # the one at the start, two epochs later, one more
        with pytest.raises(Stopped):
            run(tmp_path, competition=competition, p=p, stop=stop, minutes=0.0)
    weights, history, _ = run(tmp_path, competition=competition, p=p)
    assert torch.equal(weights, whole)
    for name in ("lr", "norm_mean", "norm_max", "learning"):
        assert history[name].identical(expected[name])


@pytest.mark.parametrize("epochs", [[0, 1, 2, 3, 6], snapshot_moments(60, 6, 15)])
def test_snapshots_survive_an_interruption_bit_for_bit(tmp_path, epochs):
    """Those from before it, of the epoch it falls on, and from after it."""
    whole = Snapshots(epochs)
    run(None, snapshots=whole)
    for stop in (1, 3, 2):  # the one at the start, two epochs later, one more
        with pytest.raises(Stopped):
            run(tmp_path, stop=stop, minutes=0.0, snapshots=Snapshots(epochs))
    ours = Snapshots(epochs)
    run(tmp_path, snapshots=ours)
    assert list(ours.as_dataset()["epoch"].values) == epochs
    assert ours.as_dataset().identical(whole.as_dataset())


def test_a_finished_training_is_only_read(tmp_path):
    whole, expected, _ = run(tmp_path)
    weights, history, written = run(tmp_path)
    assert torch.equal(weights, whole)
    assert history["norm_mean"].identical(expected["norm_mean"])
    assert written == 0


@pytest.mark.parametrize(
    ("often", "written"),
    [
        ({"minutes": None}, 2),  # at the start and at the end
        ({"minutes": 60.0}, 2),
        ({"minutes": 0.0}, 7),
        ({"minutes": None, "epochs": 2}, 4),
        ({"minutes": None, "epochs": 4}, 3),
    ],
)
def test_checkpoints_come_as_often_as_asked(tmp_path, often, written):
    assert run(tmp_path, **often)[2] == written


def test_a_checkpoint_of_another_configuration_is_refused_by_its_fields(tmp_path):
    run(tmp_path)
    other = {"units": 20, "training": {"lr": 0.02}, "p": 3.0}
    with pytest.raises(
        ValueError,
        match=r"another configuration; what differs: p \(absent there, 3.0 here\); "
        r"training.lr \(0.04 there, 0.02 here\)",
    ):
        run(tmp_path, config=other)


def test_the_machine_may_be_another(tmp_path):
    run(tmp_path, config=CONFIG | {"machine": {"device": "cuda"}})
    run(tmp_path, config=CONFIG | {"machine": {"device": "cpu"}})


@pytest.mark.parametrize("damage", ["truncated", "a weight", "the epoch", "no checksum"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    run(tmp_path)
    path = tmp_path / storage.CHECKPOINT
    content = bytearray(path.read_bytes())
    match damage:
        case "truncated":
            content = content[:-50]
        case "a weight":
            content[-1000] ^= 1
        case "the epoch":
            content = content.replace(b'"epoch":"6"', b'"epoch":"5"')
        case "no checksum":
            content = content.replace(b'"sha256"', b'"sha255"')
    assert content != path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        run(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    """The operating system refuses the write, half-way through the file."""
    with pytest.raises(Stopped):
        run(tmp_path, stop=3, minutes=0.0)
    before = (tmp_path / storage.CHECKPOINT).read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"cannot write .*checkpoint\.safetensors: "):
            run(tmp_path, minutes=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [file.name for file in tmp_path.iterdir()] == [storage.CHECKPOINT]
    assert (tmp_path / storage.CHECKPOINT).read_bytes() == before
    assert torch.equal(run(tmp_path)[0], run(None)[0])


def test_a_diverged_run_leaves_nothing_to_go_on_with(tmp_path):
    with pytest.raises(ValueError, match="diverged"):
        run(tmp_path, competition=Ranking(delta=100.0), passes=100)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("often", "message"),
    [({"epochs": 0}, "epochs is 0: at least 1"), ({"minutes": -1.0}, "minutes is -1.0")],
)
def test_bad_intervals_are_refused(tmp_path, often, message):
    with pytest.raises(ValueError, match=message):
        Checkpoints(folder=tmp_path, **often)


def interrupt(folder, capsys, monkeypatch, number=signal.SIGINT) -> tuple[int, str]:
    """Start a run and send it a signal when its second checkpoint is written."""
    save, written = storage.save_state, []

    def interrupted(*args):
        save(*args)
        written.append(args)
        if len(written) == 2:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "save_state", interrupted)
        with pytest.raises(SystemExit) as exit_:
            main(["train", *QUICK, "--checkpoint-epochs", "2", "--out", str(folder)])
    return exit_.value.code, capsys.readouterr().err


def test_a_terminated_command_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    code, said = interrupt(tmp_path / "run", capsys, monkeypatch, signal.SIGTERM)
    assert code == 143
    assert said == (
        "fastpath: terminated; go on from its last checkpoint by "
        f"`fastpath resume {tmp_path / 'run'}`\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before
    main(["resume", str(tmp_path / "run")])
    assert "test error" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_goes_on_to_the_same_files(tmp_path, capsys, monkeypatch):
    code, said = interrupt(tmp_path / "run", capsys, monkeypatch)
    assert code == 130
    assert f"go on from its last checkpoint by `fastpath resume {tmp_path / 'run'}`" in said
    assert [file.name for file in (tmp_path / "run").iterdir()] == [storage.CHECKPOINT]
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "run")
    assert "holds a run that is not finished" in line
    main(["resume", str(tmp_path / "run")])
    main(["train", *QUICK, "--out", str(tmp_path / "whole")])
    ours, whole = (
        storage.load_tensors(tmp_path / name / storage.WEIGHTS) for name in ("run", "whole")
    )
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    names = {file.name for file in (tmp_path / "whole").iterdir()}
    assert names == {
        "config.json",
        "history.nc",
        "metrics.json",
        "snapshots.nc",
        "weights.safetensors",
    }
    for name in (storage.SNAPSHOTS, storage.HISTORY):
        ours, whole = (
            storage.load_dataset(tmp_path / folder / name) for folder in ("run", "whole")
        )
        assert ours.drop_vars("images_per_second", errors="ignore").identical(
            whole.drop_vars("images_per_second", errors="ignore")
        )
    assert {file.name for file in (tmp_path / "run").iterdir()} == names
    capsys.readouterr()
    assert "holds a finished run" in refused(capsys, "resume", tmp_path / "run")


@pytest.mark.parametrize(
    "mistake", [["--validation", "100000"], ["--p", "1"], ["--checkpoint-epochs", "0"]]
)
def test_a_mistake_with_overwrite_does_not_cost_the_checkpoint(
    tmp_path, capsys, monkeypatch, mistake
):
    interrupt(tmp_path / "run", capsys, monkeypatch)
    before = (tmp_path / "run" / storage.CHECKPOINT).read_bytes()
    refused(capsys, "train", *QUICK, "--out", tmp_path / "run", "--overwrite", *mistake)
    assert (tmp_path / "run" / storage.CHECKPOINT).read_bytes() == before


def test_overwrite_begins_anew(tmp_path, capsys, monkeypatch):
    interrupt(tmp_path / "run", capsys, monkeypatch)
    again = [*QUICK, "--seed", "1", "--epochs", "2", "--out", str(tmp_path / "run")]
    main(["train", *again, "--overwrite"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["seed"] == 1
    assert not (tmp_path / "run" / storage.CHECKPOINT).exists()


def test_an_unfinished_run_is_not_evaluated(tmp_path, capsys, monkeypatch):
    """Nor is the finished one taken for it whose place it takes."""
    interrupt(tmp_path / "run", capsys, monkeypatch)
    storage.save_json(tmp_path / "run" / storage.METRICS, {})
    line = refused(capsys, "evaluate", tmp_path / "run")
    assert f"not finished: go on with it by `fastpath resume {tmp_path / 'run'}`" in line


@pytest.mark.slow
def test_other_kernels_are_named_when_a_run_goes_on(tmp_path, capsys, monkeypatch):
    interrupt(tmp_path / "run", capsys, monkeypatch)
    path = tmp_path / "run" / storage.CHECKPOINT
    state, config = storage.load_state(path)
    config["machine"]["kernels"] = "triton"
    storage.save_state(path, state, config)
    main(["resume", str(tmp_path / "run")])
    assert "begun with the kernels 'triton', now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tf32_run_goes_on_on_the_cpu_in_float32(tmp_path, capsys, monkeypatch):
    interrupt(tmp_path / "run", capsys, monkeypatch)
    path = tmp_path / "run" / storage.CHECKPOINT
    state, config = storage.load_state(path)
    config["machine"] |= {"device": "cuda", "precision": "tf32"}
    storage.save_state(path, state, config)
    main(["resume", str(tmp_path / "run"), "--device", "cpu"])
    assert "test error" in capsys.readouterr().out


def test_there_is_nothing_to_go_on_with_in_an_empty_folder(tmp_path, capsys):
    assert "holds no checkpoint.safetensors" in refused(capsys, "resume", tmp_path)


def test_images_that_have_changed_are_refused(tmp_path, capsys, monkeypatch):
    interrupt(tmp_path / "run", capsys, monkeypatch)
    load = datasets.load

    def changed(name, root, *settings):
        images = load(name, root, *settings)
        images.x_train[7, 3, 3] += 1
        return images

    monkeypatch.setattr(datasets, "load", changed)
    line = refused(capsys, "resume", tmp_path / "run")
    assert "what differs: images" in line


def killed(command, environment, folder, epoch, seconds) -> bool:
    """Kill the command so many seconds after that epoch is saved, unless it is done."""
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    path = folder / storage.CHECKPOINT
    while process.poll() is None:
        with contextlib.suppress(ValueError):  # no checkpoint yet, or none any more
            if storage.load_state(path)[0].epoch >= epoch:
                break
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    # A process may also be hit when its run is complete and it is about to end.
    return process.returncode == -signal.SIGKILL and path.exists()


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path):
    """SIGKILL at random moments: while it starts, learns, saves or reads out.

    The moments follow the progress of the run, so that they fit a machine of any speed.
    """
    flags = [*QUICK[:-2], "--units", "300", "--epochs", "600", "--p", "3"]
    flags += ["--head-epochs", "20"]
    command = [sys.executable, "-m", "fastpath"]
    often = ["--checkpoint-minutes", "0.0005"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = [*command, "train", *flags, *often, "--out", str(tmp_path / "run")]
    resume = [*command, "resume", str(tmp_path / "run"), *often]
    rng, epochs = random.Random(0), []
    next_command = start
    for epoch in (1, 1, 150, 150, 300, 300, 450, 600, 600):  # twice: while it starts
        moment = epoch, rng.uniform(0, 0.3)
        if not killed(next_command, environment, tmp_path / "run", *moment):
            break
        # whole at any moment
        epochs.append(storage.load_state(tmp_path / "run" / storage.CHECKPOINT)[0].epoch)
        next_command = resume
    assert len(epochs) >= 4
    assert epochs == sorted(epochs)
    if not (tmp_path / "run" / storage.METRICS).exists():
        subprocess.run(next_command, env=environment, check=True)
    undisturbed = [*command, "train", *flags, "--out", str(tmp_path / "whole")]
    subprocess.run(undisturbed, env=environment, check=True)
    ours, whole = (
        storage.load_tensors(tmp_path / name / storage.WEIGHTS) for name in ("run", "whole")
    )
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    errors = [
        json.loads((tmp_path / name / storage.METRICS).read_text())["test_error"]
        for name in ("run", "whole")
    ]
    assert errors[0] == errors[1]
    assert not [*(tmp_path / "run").glob(".*.part")]
