"""Mean and variance of channels over all training images."""

import itertools

import torch
from jaxtyping import Float64
from torch import Tensor

from fastpath.layers.stages.base import Blocks

type Channels = Float64[Tensor, " channel"]


def moments(blocks: Blocks) -> tuple[Channels, Channels, int]:
    """Return the mean and variance of each channel, and the number of positions.

    Blocks are computed from the images by all layers below, so they are read once: moments
    about the mean of the first block, which is near enough to that of all that float64
    loses nothing.
    """
    rest = blocks()
    first = next(rest)
    about = first.flatten(0, -2).mean(dim=0)
    number, total = 0, torch.zeros_like(about, dtype=torch.float64)
    square = torch.zeros_like(total)
    for block in itertools.chain([first], rest):
        deviations = block.flatten(0, -2) - about
        number += len(deviations)
        total += deviations.sum(dim=0, dtype=torch.float64)
        square += deviations.square_().sum(dim=0, dtype=torch.float64)
    shift = total / number
    return shift + about, (square / number - shift.square()).clamp(min=0), number
