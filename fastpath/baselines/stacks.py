"""The weights of a stack trained end to end by back-propagation, as a control."""

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.baselines.end_to_end import Backprop, fit_by_labels
from fastpath.data.preprocess import FittedPreprocess
from fastpath.experiment import Split
from fastpath.layers import Stack
from fastpath.layers.stages import LearningPart
from fastpath.layers.stages.reading import read
from fastpath.training.loop import checked_size


class _Network(nn.Module):
    """A copy of a stack whose weights are parameters, with a linear layer on top."""

    def __init__(self, stack: Stack, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.input_shape = stack.input_shape
        self.parts = nn.ModuleList(copy.deepcopy(part) for part in stack.parts)
        for part in self.parts:
            if isinstance(part, LearningPart):
                weights = part.weights.detach().clone()
                del part._buffers["weights"]
                part.register_parameter("weights", nn.Parameter(weights))
        num_features = stack.settings.num_features(stack.input_shape)
        bound = 1 / math.sqrt(num_features)
        head = torch.empty(num_classes, num_features).uniform_(
            -bound, bound, generator=generator
        )
        self.head = nn.Parameter(head.to(stack.weights.device))
        self.bias = nn.Parameter(torch.zeros(num_classes, device=stack.weights.device))

    def forward(self, v: Float[Tensor, "image pixel"]) -> Float[Tensor, "image class"]:
        """Return the outputs, batch normalization by the mini-batch."""
        x = v.unflatten(1, self.input_shape)
        features = read(self.parts, x, lambda part, x: part.learning(x, None))
        return nn.functional.linear(features, self.head, self.bias)


@isolated(grad=True)
def backprop_stack(
    stack: Any,
    split: Split,
    *,
    num_classes: int,
    backprop: Backprop,
    preprocess: FittedPreprocess,
    generator: torch.Generator,
    progress: bool = True,
) -> None:
    """Train the weights of a stack in place, with labels; the linear layer is dropped.

    The stages stay as they are. Statistics of batch normalization are those of the
    mini-batches in training, and of all training images in the end.

    Raises
    ------
    ValueError
        If the layer is no stack, or an argument has the wrong type or value.
    """
    stack = checks.instance("layer", stack, Stack)
    split.check_classes(num_classes)
    network = _Network(stack, num_classes, checks.generator(generator))
    x = split.x_train
    size = checked_size(backprop.batch_size, len(x), default=Backprop.batch_size)
    backprop = replace(checks.instance("backprop", backprop, Backprop), batch_size=size)
    fit_by_labels(
        network,
        lambda batch: preprocess(x[batch]),
        split.y_train,
        backprop,
        flop=size * stack.flop,
        generator=generator,
        progress=progress,
    )
    with torch.no_grad():
        for own, learned in zip(stack.parts, network.parts, strict=True):
            if isinstance(own, LearningPart) and isinstance(learned, LearningPart):
                own.weights.copy_(learned.weights)
                own.bank.renew()
    stack.end(x, preprocess)
