"""`fastpath backprop`: the control that is trained end to end."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import nn

from fastpath import baselines, checks, experiment, module, readout
from fastpath.commands.flags import Backprop
from fastpath.commands.report import report
from fastpath.commands.train import changed
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for, taken
from fastpath.data.preprocess import Preprocess
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
    parts = experiment.split(
        images, validation=command.validation, generator=generator, device=device
    )
    known = defaults_for(images.origin, command.units)
    if command.batch_size is not None:
        checked_size(command.batch_size, len(parts.x_learn))
    backprop = changed(known.backprop, command, "epochs", "batch_size", "lr", "smoothing")
    preprocess = changed(
        known.backprop_preprocess,
        command,
        *("subtract_mean", "center_images", "unit_norm"),
    )
    if command.out is not None:
        storage.prepare(command.out, overwrite=command.overwrite)
    trained: dict[int, nn.Module] = {}
    errors, seconds = experiment.timed(
        lambda: baselines.backprop(
            parts,
            num_units=command.units,
            num_classes=len(images.classes),
            backprop=backprop,
            preprocess=preprocess,
            generator=generator,
            watch=lambda _, network: trained.update({0: network}),
        )
    )
    metrics = {**errors, "train_seconds": seconds}
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
        _save(command.out, trained[0], parts, config, metrics)
    report(metrics)
    print(taken(images))
    if command.out is not None:
        print(f"saved to {command.out}")


def _save(
    folder: Path,
    network: nn.Module,
    parts: experiment.Split,
    config: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    """Write a trained network as a run, with the confusion of the images scored on."""
    preprocess = Preprocess(**config["preprocess"])
    mean = preprocess.fit(parts.x_learn).cpu()
    tensors = {"mean": mean, **baselines.tensors_of(network)}
    whole = nn.Sequential(module.Preprocessing(preprocess, mean), network)
    answers = module.outputs(whole.to(parts.x_score.device), parts.x_score).argmax(dim=1)
    confusion = readout.count(answers, parts.y_score, num_classes=len(config["classes"]))
    counts = (("label", "answer"), confusion.cpu().numpy(), CONFUSION)
    with storage.alone(folder):
        write(folder, tensors, config, metrics, history=xr.Dataset({"confusion": counts}))
