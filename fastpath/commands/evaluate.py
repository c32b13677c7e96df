"""`fastpath evaluate`: the error of a finished run, computed again."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

from fastpath import readout
from fastpath.commands.report import report, say_without_sums
from fastpath.compute import Cores, Processor
from fastpath.data import datasets
from fastpath.runs.folder import Saved, open_run


@dataclass(frozen=True, kw_only=True)
class OfRun(Cores):
    """A finished run, and where its images are."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """Where the images are now: a name, an .npz file or an image folder [as before]."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(OfRun, Processor):
    """Score the weights and the readout of a run on the test set."""


def evaluate(command: Evaluate) -> None:
    """Run `fastpath evaluate`."""
    run, images, device = opened(command)
    x = torch.from_numpy(images.x_test).to(device)
    v = readout.Streamed(
        run.weights.to(device), x, run.preprocess, run.mean.to(device), run.readout
    )
    y = torch.from_numpy(images.y_test).to(device)
    report({"test_error": readout.error(run.head.to(device), v, y)})


def opened(command: OfRun) -> tuple[Saved, datasets.Images, torch.device]:
    """Return a finished run, the images it was trained on, and the device to use.

    Raises
    ------
    ValueError
        If the folder is not that of a finished run, or the images are not there, of another
        size or of other classes.
    """
    device = command.ready()
    run, folder = open_run(command.run), command.run
    found = datasets.found(run.data, command.data, command.data_root, folder)
    images = as_learned(found, run, folder)
    say_without_sums(folder, has_sums=run.has_sums)
    if run.test_images not in (None, images.digests["test_images"]):
        if command.data is None:
            what = f"has changed since {folder} was scored on it"
        else:
            what = f"is not the one that {folder} was scored on"
        print(f"fastpath: the test set of '{images.name}' {what}", file=sys.stderr)
    return run, images, device


def as_learned(images: datasets.Images, run: Saved, folder: Path) -> datasets.Images:
    """Return images with the numbers that a run gave to their classes, by the names.

    Raises
    ------
    ValueError
        If the images are of another size, or of a class that the run does not know.
    """
    if images.shape != run.image_shape:
        raise ValueError(
            f"{folder} learned images of {run.image_shape} (height, width, channels), "
            f"those of '{images.name}' are {images.shape}: has the data set changed?"
        )
    if unknown := [name for name in images.classes if name not in run.classes]:
        missing = [name for name in run.classes if name not in images.classes]
        raise ValueError(
            f"the classes of '{images.name}' are not those that {folder} learned: new is "
            f"{', '.join(unknown)}, missing {', '.join(missing) or 'none'}; give them the "
            "names they had, or train anew"
        )
    number = np.array([run.classes.index(name) for name in images.classes])
    return replace(
        images,
        y_train=number[images.y_train],
        y_test=number[images.y_test],
        classes=run.classes,
    )
