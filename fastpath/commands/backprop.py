"""`fastpath backprop`: the control, trained end to end."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import nn

from fastpath import baselines, checks, experiment, module, readout
from fastpath.baselines import TrainedNetwork
from fastpath.commands.flags import Backprop
from fastpath.commands.report import report
from fastpath.commands.train import changed
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for, source_of_defaults
from fastpath.runs import storage
from fastpath.runs.execute import described
from fastpath.runs.folder import BACKPROP, write
from fastpath.training.history import CONFUSION
from fastpath.training.loop import checked_size


def backprop(command: Backprop) -> None:
    """Run `fastpath backprop`."""
    device = command.ready()
    datasets.check_root(command, command.data)
    images = datasets.load(command.data, command.data_root)
    generator = torch.Generator().manual_seed(checks.seed("seed", command.seed))
    split = experiment.split(
        images, validation=command.validation, generator=generator, device=device
    )
    defaults = defaults_for(images.origin, command.units)
    if command.batch_size is not None:
        checked_size(command.batch_size, len(split.x_train))
    backprop = changed(
        defaults.backprop, command, "epochs", "batch_size", "lr", "smoothing"
    )
    preprocess = changed(
        defaults.backprop_preprocess,
        command,
        *("subtract_mean", "center_images", "unit_norm"),
    )
    if command.out is not None:
        storage.prepare(command.out, overwrite=command.overwrite)
    trained, seconds = experiment.timed(
        lambda: baselines.backprop(
            split,
            num_units=command.units,
            num_classes=len(images.classes),
            backprop=backprop,
            preprocess=preprocess,
            generator=generator,
        )
    )
    metrics = {**trained.errors, "train_seconds": seconds}
    if command.out is not None:
        config = {
            "kind": BACKPROP,
            **described(images),
            "data": datasets.located(command.data),
            "units": command.units,
            "seed": command.seed,
            "validation": command.validation,
            "backprop": asdict(backprop),
            "preprocess": asdict(preprocess),
            "device": command.device,
            "threads": torch.get_num_threads(),
            "precision": command.precision,
        }
        _save(command.out, trained, split, config, metrics)
    report(metrics)
    print(source_of_defaults(images))
    if command.out is not None:
        print(f"saved to {command.out}")


def _save(
    folder: Path,
    trained: TrainedNetwork,
    split: experiment.Split,
    config: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    """Write a trained network as a run, with the confusion matrix of the scored images."""
    whole = nn.Sequential(module.Preprocessing(trained.preprocess), trained.network)
    answers = module.outputs(whole, split.x_eval).argmax(dim=1)
    confusion = readout.count(answers, split.y_eval, num_classes=len(config["classes"]))
    counts = (("label", "answer"), confusion.cpu().numpy(), CONFUSION)
    history = xr.Dataset({"confusion": counts})
    with storage.alone(folder):
        write(folder, trained.tensors(), config, metrics, history=history)
