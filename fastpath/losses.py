"""Losses of the readout.

Tanh (K&H 2019, eq. 12): Σ_a |tanh(β o_a) − t_a|^m with t = ±1; or cross-entropy. A new loss
is a function and a line in `LOSSES`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


class Loss(NamedTuple):
    """A loss of the readout, and the settings of `Readout` that it uses."""

    settings: tuple[str, ...]
    of: Callable[[Tensor, Tensor, Any], Tensor]
    """The mean over a mini-batch of outputs (image, class) with labels (image,)."""


def _tanh(
    output: Float[Tensor, "image class"], y: Int[Tensor, " image"], readout: Any
) -> Float[Tensor, ""]:
    target = torch.full_like(output, -1.0).scatter_(1, y[:, None], 1.0)
    distance = (torch.tanh(readout.beta * output) - target).abs()
    return distance.pow(readout.m).sum(dim=1).mean()


def _cross_entropy(
    output: Float[Tensor, "image class"], y: Int[Tensor, " image"], readout: Any
) -> Float[Tensor, ""]:
    return functional.cross_entropy(output, y, label_smoothing=readout.smoothing)


LOSSES = {
    "tanh": Loss(("m", "beta"), _tanh),
    "cross-entropy": Loss(("smoothing",), _cross_entropy),
}
