"""`fastpath evaluate`: compute the test error of a finished run again."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fastpath import module, readout
from fastpath.commands.flags import Evaluate, OfRun
from fastpath.commands.report import report, say_without_sums
from fastpath.data import datasets
from fastpath.runs.folder import Saved, open_run


def evaluate(command: Evaluate) -> None:
    """Run `fastpath evaluate`."""
    run, images, device = opened(command)
    x = torch.from_numpy(images.x_test).to(device)
    y = torch.from_numpy(images.y_test).to(device)
    if run.layer is None or run.readout is None:
        answers = module.outputs(run.to_module(), x).argmax(dim=1)
        error = 100 * (answers != y).double().mean().item()
    else:
        v = readout.Streamed(run.layer, x, run.preprocess, run.readout)
        error = readout.error(run.head, v, y)
    report({"test_error": error})


def opened(command: OfRun) -> tuple[Saved, datasets.Images, torch.device]:
    """Return a finished run, the images it was trained on, and the device to use.

    Raises
    ------
    ValueError
        If the folder holds no finished run, or its images are missing, or have another size
        or other classes.
    """
    device = command.ready()
    run = open_run(command.run, device)
    images = images_of(run, command.run, data=command.data, data_root=command.data_root)
    say_without_sums(command.run, has_sums=run.has_sums)
    return run, images, device


def images_of(
    run: Saved,
    folder: Path,
    *,
    data: str | None = None,
    data_root: Path | None = None,
    download: bool = True,
) -> datasets.Images:
    """Return the images that a run was trained on; say so if the test set is another.

    Parameters
    ----------
    run, folder
        The run and its folder.
    data
        Where the images are now [where the run noted].
    data_root
        Folder of the data sets.
    download
        Download a torchvision data set that is missing.

    Raises
    ------
    ValueError
        If the images are missing, or have another size or other classes.
    """
    loaded = datasets.load_for_run(run.data, data, data_root, folder, download=download)
    images = as_learned(loaded, run, folder)
    if run.test_images not in (None, images.digests["test_images"]):
        if data is None:
            difference = f"has changed since {folder} was scored on it"
        else:
            difference = f"is not the one that {folder} was scored on"
        print(f"fastpath: the test set of '{images.name}' {difference}", file=sys.stderr)
    return images


def as_learned(images: datasets.Images, run: Saved, folder: Path) -> datasets.Images:
    """Return images whose labels are indices of the run's classes, matched by name.

    Raises
    ------
    ValueError
        If the images have another size, or a class that the run does not have.
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
    index = np.array([run.classes.index(name) for name in images.classes])
    return replace(
        images,
        y_train=index[images.y_train],
        y_test=index[images.y_test],
        classes=run.classes,
    )
