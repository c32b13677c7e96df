"""`fastpath backprop`: the control that is trained end to end."""

from dataclasses import dataclass

import torch

from fastpath import baselines, checks, experiment
from fastpath.commands.report import report
from fastpath.commands.train import changed
from fastpath.compute import Processor
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for, taken
from fastpath.training.loop import checked_size


@dataclass(frozen=True, kw_only=True)
class BackpropControl(Processor):
    """Train the same network end to end by back-propagation, as a control."""

    data: str
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    units: int = 2000
    """Number of hidden units."""
    epochs: int | None = None
    """Passes through the images [by data set]."""
    batch_size: int | None = None
    """Images per update [by data set; all, if they are fewer]."""
    lr: float | None = None
    """Step size of Adam at the start, annealed to 0 by a cosine [by data set]."""
    smoothing: float | None = None
    """Share of each target that is spread over all classes [by data set]."""
    subtract_mean: bool | None = None
    """Subtract the training mean [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Bring images to unit norm [by data set]."""
    seed: int = 0
    """Seed of everything random."""
    validation: int = 0
    """Hold out this many training images and score on them, not on the test set."""


def backprop_control(command: BackpropControl) -> None:
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
    errors, seconds = experiment.timed(
        lambda: baselines.backprop(
            parts,
            num_units=command.units,
            num_classes=len(images.classes),
            backprop=changed(
                known.backprop, command, "epochs", "batch_size", "lr", "smoothing"
            ),
            preprocess=changed(
                known.backprop_preprocess,
                command,
                *("subtract_mean", "center_images", "unit_norm"),
            ),
            generator=generator,
        )
    )
    report({**errors, "train_seconds": seconds})
    print(taken(images))
