"""`fastpath predict`: classify images by a finished run."""

import csv
import io
import sys
from pathlib import Path

import numpy as np
import torch

from fastpath import module
from fastpath.commands.flags import Predict
from fastpath.commands.report import say_without_sums
from fastpath.data import folders
from fastpath.data.images import as_pixels
from fastpath.runs.folder import Saved, open_run
from neurodyn.files import tidy, whole


def predict(command: Predict) -> None:
    """Run `fastpath predict`."""
    device, out = command.ready(), command.out
    if out is not None and out.exists() and not command.overwrite:
        raise ValueError(
            f"{out} exists: choose another --out, or give --overwrite to replace it"
        )
    run = open_run(command.run, device)
    say_without_sums(command.run, has_sums=run.has_sums)
    names, x = _read(command.images)
    x = torch.from_numpy(_as_learned(x, run, command)).to(device)
    answers = module.outputs(run.to_module(), x).argmax(dim=1).tolist()
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["image", "class"])
    table.writerows(
        (name, run.classes[answer]) for name, answer in zip(names, answers, strict=True)
    )
    if out is None:
        sys.stdout.write(lines.getvalue())
        return
    tidy(out.parent, out.name)
    with whole(out) as part:
        part.write_text(lines.getvalue())
    print(f"saved {len(names)} answers to {out}")


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the names of images (file, or index in an array) and their pixels."""
    if path.suffix != ".npy":
        files, x = folders.pictures(path)
        return [str(file) for file in files], x
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy raises different classes
        raise ValueError(f"{path} cannot be read as .npy: {error}") from error
    x = as_pixels(array, str(path))
    return [str(i) for i in range(len(x))], x


def _as_learned(x: np.ndarray, run: Saved, command: Predict) -> np.ndarray:
    """Return images of the shape that a run learned; gray is copied to all channels."""
    shape = run.image_shape
    if x.shape[1:] == (*shape[:2], 1):
        x = np.broadcast_to(x, (len(x), *shape)).copy()
    if x.shape[1:] != shape:
        raise ValueError(
            f"{command.run} learned images of {shape} (height, width, channels), those of "
            f"{command.images} are {x.shape[1:]}: resize them, or make them gray"
        )
    return x
