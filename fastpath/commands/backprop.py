"""`fastpath backprop`: the control that is trained end to end."""

from dataclasses import dataclass

import torch

from fastpath import baselines, checks, datasets, experiment
from fastpath.baselines import Backprop
from fastpath.commands.report import report
from fastpath.defaults import defaults_for, taken
from fastpath.machine import Processor


@dataclass(frozen=True, kw_only=True)
class BackpropControl(Processor):
    """Train the same network end to end by back-propagation, as a control."""

    data: str
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    units: int = 2000
    """Number of hidden units."""
    epochs: int = 20
    """Passes through the images."""
    batch_size: int | None = None
    """Images per update [100, or all if they are fewer]."""
    lr: float = 1e-3
    """Step size of Adam at the start, annealed to 0 by a cosine."""
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
    size = Backprop.batch_size
    if command.batch_size is not None:
        size = checks.batch_size(command.batch_size, len(parts.x_learn))
    errors, seconds = experiment.timed(
        lambda: baselines.backprop(
            parts,
            num_units=command.units,
            num_classes=len(images.classes),
            backprop=Backprop(epochs=command.epochs, batch_size=size, lr=command.lr),
            preprocess=defaults_for(images.origin, command.units).preprocess,
            generator=generator,
        )
    )
    report({**errors, "train_seconds": seconds})
    print(taken(images))
