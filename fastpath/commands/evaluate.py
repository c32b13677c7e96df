"""`fastpath evaluate`: the error of a finished run, computed again."""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from fastpath import datasets, readout
from fastpath.commands.report import report
from fastpath.machine import Machine
from fastpath.run import Saved, open_run


@dataclass(frozen=True, kw_only=True)
class Evaluate(Machine):
    """Score the weights and the readout of a run on the test set."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def evaluate(command: Evaluate) -> None:
    """Run `fastpath evaluate`."""
    run, images, device = opened(command, command.run)
    x = torch.from_numpy(images.x_test).to(device)
    v = readout.Streamed(
        run.weights.to(device), x, run.preprocess, run.mean.to(device), run.readout
    )
    y = torch.from_numpy(images.y_test).to(device)
    report({"test_error": readout.error(run.head.to(device), v, y)})


def opened(machine: Machine, folder: Path) -> tuple[Saved, datasets.Images, torch.device]:
    """Return a finished run, the images it was trained on, and the device to use.

    Raises
    ------
    ValueError
        If the folder is not that of a finished run, or the images are of another size.
    """
    device = machine.ready()
    run = open_run(folder)
    images = datasets.load(run.data, machine.data_root)
    if images.num_pixels != run.weights.shape[1]:
        raise ValueError(
            f"the weights of {folder} have {run.weights.shape[1]} pixels per unit, "
            f"the images of '{images.name}' {images.num_pixels}: has the data set changed?"
        )
    return run, images, device
