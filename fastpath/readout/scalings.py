"""Scaling of features before the head. A new scaling is a line in `SCALINGS`."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.readout.sources import FEATURE_SUM, Features

type OffsetScale = tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]


def _as_they_are(x: Features) -> OffsetScale:
    first = x[:1][0]
    return torch.zeros_like(first), torch.ones_like(first)


def _one_factor(x: Features) -> OffsetScale:
    offset, scale = _as_they_are(x)
    total = sum(block.sum().item() for block in x.blocks())
    scale *= FEATURE_SUM * len(x) / max(total, 1e-30)  # 0: no unit answers at all
    return offset, scale


def _standardised(x: Features) -> OffsetScale:
    sd, mean = x.spread()
    return mean, 1 / sd.clamp(min=1e-8)  # a unit that is silent for all stays silent


# The offset and scale of each feature, from those of the training images: of "image",
# `sources.features` has scaled each image already.
SCALINGS: dict[str, Callable[[Features], OffsetScale]] = {
    "image": _as_they_are,
    "set": _one_factor,
    "unit": _standardised,
    "none": _as_they_are,
}
