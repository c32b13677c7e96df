"""Execute a run, save it to its folder, and open an interrupted run to resume it."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fastpath import __version__, experiment, kernels
from fastpath.ambient import isolated
from fastpath.baselines.stacks import backprop_stack
from fastpath.compute import Compute, check_memory
from fastpath.data.datasets import Images
from fastpath.experiment import Trained
from fastpath.kernels import Name
from fastpath.layers import StackSettings, field_shape
from fastpath.readout import OnEpochEnd
from fastpath.runs import storage
from fastpath.runs.config import RunConfig
from fastpath.runs.folder import LOCAL, head_tensors, of_layer, write
from fastpath.training import tensorboard
from fastpath.training.callbacks import Callback
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.distributed import Team
from fastpath.training.snapshots import Snapshots, snapshot_moments
from fastpath.training.tensorboard import TensorBoard
from neurodyn import files

MACHINE = ("device", "threads", "precision", "data_root", "kernels")


@isolated(grad=False, numpy=True)
def execute(
    config: RunConfig,
    images: Images,
    checkpoints: Checkpoints,
    *,
    compute: Compute,
    team: Team | None = None,
) -> Trained | None:
    """Execute a run, from its last checkpoint if there is one.

    In a team of processes only the main process gets the result; the others get None.

    Parameters
    ----------
    checkpoints
        The folder of the run, and how often to save a checkpoint there.
    team
        The processes that share the work.
    """
    device = compute.ready()
    if device.type == "cuda":
        _check_device_memory(config, images, device)
    split, generator = begin(config, images, device)
    num_epochs = config.training.epochs
    if isinstance(config.layer, StackSettings):
        num_epochs = config.layer.num_epochs(num_epochs)
    batches = config.training.num_batches(len(split.x_train))
    snapshots = Snapshots(snapshot_moments(config.snapshots, num_epochs, batches))
    fields = field_shape(config.layer, images.shape)
    with closing(TensorBoard(checkpoints.folder, fields, snapshots)) as board:
        trained = learn(
            config,
            split,
            num_classes=len(images.classes),
            generator=generator,
            kernels=compute.kernels,
            checkpoints=replace(checkpoints, config=identity(config, images, compute)),
            callbacks=[snapshots, *[board] * config.tensorboard],
            team=team,
        )
        if trained is None:
            return None
        if config.tensorboard:
            board.finish(trained.history, trained.metrics)
    return replace(trained, snapshots=snapshots.as_dataset() if snapshots.kept else None)


def begin(
    config: RunConfig, images: Images, device: torch.device
) -> tuple[experiment.Split, torch.Generator]:
    """Return the images of a run, to learn from and to score on, and its random numbers.

    Raises
    ------
    ValueError
        If the layer cannot see such images, or no image is left to learn from.
    """
    of_layer(config.layer, images.shape)  # before it costs anything
    generator = torch.Generator().manual_seed(config.seed)
    split = experiment.split(
        images, validation=config.validation, generator=generator, device=device
    )
    split.check_classes(len(images.classes))
    return split, generator


@isolated(grad=False, numpy=True)
def learn(
    config: RunConfig,
    split: experiment.Split,
    *,
    scored: experiment.Split | None = None,
    num_classes: int,
    generator: torch.Generator,
    kernels: Name | None = None,
    checkpoints: Checkpoints | None = None,
    callbacks: Sequence[Callback] = (),
    team: Team | None = None,
    progress: bool = True,
    on_readout_epoch: OnEpochEnd | None = None,
) -> Trained | None:
    """Train the layer of a run and its readout, and score it; write nothing.

    The readout learns from `scored` and is scored on it [the same images as the layer]. In
    a team of processes only the main process gets the result; the others get None.
    """
    layer, preprocess, history = experiment.learn_features(
        split,
        layer=config.layer,
        competition=config.competition,
        training=config.training,
        preprocess=config.preprocess,
        readout=config.readout,
        augment=config.augment,
        generator=generator,
        progress=progress,
        checkpoints=checkpoints,
        callbacks=callbacks,
        team=team,
        kernels=kernels,
    )
    if team is not None:
        team.leave()
        if not team.is_main:
            return None
    if config.backprop is not None:
        backprop_stack(
            layer,
            split,
            num_classes=num_classes,
            backprop=config.backprop,
            preprocess=preprocess,
            generator=generator,
            progress=progress,
        )
    return experiment.finish(
        layer,
        preprocess,
        history,
        split if scored is None else scored,
        num_classes=num_classes,
        readout=config.readout,
        augment=config.augment,
        generator=generator,
        progress=progress,
        on_epoch_end=on_readout_epoch,
    )


def _check_device_memory(config: RunConfig, images: Images, device: torch.device) -> None:
    of_learning = experiment.needed_memory(
        config.layer, images.shape, batch_size=config.training.batch_size
    )
    check_memory(
        {"images": images.x_train.nbytes + images.x_test.nbytes, **of_learning},
        "lower --units or --batch-size, take a smaller data set, or give --device cpu",
        device,
    )


def described(images: Images) -> dict[str, Any]:
    """Return classes, image shape and digests of a data set, as JSON values."""
    return {
        "classes": list(images.classes),
        "image_shape": list(images.shape),
        **images.digests,
    }


def identity(config: RunConfig, images: Images, compute: Compute) -> dict[str, Any]:
    """Return the version, configuration, data set and compute settings of a run.

    A checkpoint holds them as JSON values: only the same run continues from it.
    """
    root = None if compute.data_root is None else str(compute.data_root.resolve())
    return {
        "fastpath": __version__,
        **config.as_json(),
        **described(images),
        "machine": {
            **{name: getattr(compute, name) for name in MACHINE[:3]},
            "data_root": root,
            "kernels": computing(compute),
        },
    }


def computing(compute: Compute) -> str:
    """Return the name of the kernels that these settings choose."""
    return kernels.choose(torch.device(compute.device), torch.float32, compute.kernels).name


def save(
    folder: Path, trained: Trained, config: RunConfig, images: Images, compute: Compute
) -> None:
    """Write a finished run to its folder."""
    if not config.tensorboard:
        tensorboard.clear(folder)
    described_run = {
        "kind": LOCAL,
        **described(images),
        **config.as_json(),
        "device": compute.device,
        "threads": torch.get_num_threads(),
        "precision": compute.precision,
        "kernels": computing(compute),
    }
    names = of_layer(config.layer, images.shape)
    write(
        folder,
        {
            **{name: trained.layer.state[name] for name in names},
            "mean": trained.preprocess.mean,
            **head_tensors(trained.head),
        },
        described_run,
        trained.metrics,
        history=trained.history,
        snapshots=trained.snapshots,
        metadata={"p": str(trained.layer.p)},
    )


def unfinished(folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Return the configuration of an interrupted run, and its compute settings.

    The compute settings also hold classes, image shape and digests of the data set. They
    lack "test_images" if an older version saved the checkpoint.

    Raises
    ------
    ValueError
        If the run is finished or under way, it has no checkpoint, or the checkpoint is
        damaged or of another version.
    """
    path = folder / storage.CHECKPOINT
    if not path.exists() and (folder / storage.METRICS).exists():
        raise ValueError(
            f"{folder} holds a finished run: there is nothing to go on with (look at it by "
            f"`fastpath evaluate {folder}`)"
        )
    if not path.exists():
        raise ValueError(
            f"{folder} holds no {storage.CHECKPOINT}: is this the folder of a run that "
            "was interrupted? Begin one by `fastpath train`"
        )
    if os.environ.get("RANK", "0") == "0":  # the main process of a team
        with storage.alone(folder):
            files.tidy(folder)
    _, config = storage.load_state(path)
    names = ("images", *storage.NOTED_LATER)
    data_set = {name: config.pop(name) for name in names if name in config}
    machine = config.pop("machine", {})
    run_config = RunConfig.from_json(config, path)
    if missing := [name for name in MACHINE if name not in machine]:
        raise ValueError(f"{path} does not say of the machine: {', '.join(missing)}")
    return run_config, machine | data_set
