"""Units that see the whole image: a dense layer as a stage."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath.kernels import Name
from fastpath.layers.stages.base import Shape
from fastpath.layers.stages.learning import LearningPart, LearningStage


@dataclass(frozen=True, kw_only=True)
class FullyConnected(LearningStage):
    """Units that see all inputs."""

    window: ClassVar[None] = None
    """The receptive field of a unit is all of the image: see `receptive_field`."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (unit,)."""
        return (self.num_units,)

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "FullyConnectedPart":
        """Return the units before training."""
        bank = self.bank(input_shape, generator=generator, kernels=kernels)
        return FullyConnectedPart(bank, self, generator)

    def num_inputs(self, input_shape: Shape) -> int:
        """Return the number of numbers in an image."""
        return math.prod(input_shape)

    def field_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of an image, or one line if the inputs have no places."""
        return input_shape if len(input_shape) == 3 else super().field_shape(input_shape)

    def step_size(self, input_shape: Shape) -> int:
        """Return how many numbers a learning step holds for one image."""
        return math.prod(input_shape) + 2 * self.num_units


class FullyConnectedPart(LearningPart):
    """Units at work."""

    def inputs(
        self, x: Float[Tensor, "image *shape"]
    ) -> tuple[Float[Tensor, "image input"], Shape]:
        """Return the images, flattened, and their number."""
        return x.flatten(1).contiguous(), (len(x),)

    def forward(self, x: Float[Tensor, "image *shape"]) -> Float[Tensor, "image unit"]:
        """Return the outputs of the units."""
        v = x.flatten(1)
        return self.respond(functional.linear(v, *self.filters()), v)
