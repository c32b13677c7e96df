"""`fastpath export`: images as a layer sees them, for the circuit."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fastpath import checks
from fastpath.commands.evaluate import OfRun, opened
from fastpath.runs import storage
from neurodyn.files import tidy


@dataclass(frozen=True, kw_only=True)
class Export(OfRun):
    """Write held-out images as the layer of a run sees them, for `neurodyn simulate`."""

    out: Path
    """The .npz file to write: images (image, pixel) and labels."""
    num_images: int = 50
    """How many images of the test set, drawn at random."""
    seed: int = 0
    """Seed of the draw."""
    overwrite: bool = False
    """Replace the file if it exists."""


def export(command: Export) -> None:
    """Run `fastpath export`."""
    seed = checks.seed("seed", command.seed)
    run, images, _ = opened(command)
    if not 1 <= command.num_images <= len(images.x_test):
        raise ValueError(
            f"num_images is {command.num_images}: there are 1 to {len(images.x_test)} "
            "test images to export"
        )
    if command.out.suffix != ".npz":
        raise ValueError(f"out is {command.out}: a file name that ends in .npz is needed")
    if command.out.exists() and not command.overwrite:
        raise ValueError(
            f"{command.out} exists: choose another --out, or give --overwrite to replace it"
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images.x_test), generator=generator)[: command.num_images]
    v = run.preprocess(torch.from_numpy(images.x_test)[chosen], run.mean)
    tidy(command.out.parent, command.out.name)
    storage.save_arrays(
        command.out, {"images": v.numpy(), "labels": images.y_test[chosen.numpy()]}
    )
    print(f"saved {command.num_images} images to {command.out}")
