"""`fastpath export`: preprocessed test images, for the circuit."""

import torch

from fastpath import checks
from fastpath.commands.evaluate import opened
from fastpath.commands.flags import Export
from fastpath.runs import storage
from neurodyn.files import tidy


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
    v = run.preprocess(torch.from_numpy(images.x_test)[chosen])
    tidy(command.out.parent, command.out.name)
    storage.save_arrays(
        command.out, {"images": v.numpy(), "labels": images.y_test[chosen.numpy()]}
    )
    print(f"saved {command.num_images} images to {command.out}")
