"""What a readout sees of a stack: outputs of some stages, instead of the last one's."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Part, Shape, WithoutState, spatial


@dataclass(frozen=True, kw_only=True)
class Read(WithoutState):
    """Show the outputs of the stage below to the readout; pass them on as they are.

    The features of a stack are those of all its `Read` stages, side by side: one after each
    pooling shows all layers. Without any, they are the outputs of the last stage.
    """

    grid: int | None = None
    """Average the outputs over grid x grid regions of the image [all positions]."""

    def __post_init__(self) -> None:
        if self.grid is not None:
            checks.fields(self, grid=checks.count)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of an image, unchanged."""
        if self.grid is not None:
            height, width, _ = spatial("Read", input_shape)
            if self.grid > min(height, width):
                raise ValueError(
                    f"grid is {self.grid}, but the outputs to read have {height} x {width} "
                    f"positions: take at most {min(height, width)}, or leave out grid"
                )
        return input_shape

    def num_features(self, input_shape: Shape) -> int:
        """Return the number of features that the readout sees of an image."""
        if self.grid is None:
            return math.prod(input_shape)
        return self.grid**2 * input_shape[-1]

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "ReadPart":
        """Return the part."""
        return ReadPart(self.grid)

    def step_size(self, input_shape: Shape) -> int:
        """Return 0: a learning step holds no numbers for it."""
        return 0


class ReadPart(Part):
    """A view of the readout."""

    def __init__(self, grid: int | None) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Float[Tensor, "image *shape"]) -> Float[Tensor, "image *shape"]:
        """Return the outputs as they are."""
        return x

    def read(self, x: Float[Tensor, "image *shape"]) -> Float[Tensor, "image feature"]:
        """Return what the readout sees, in the order (row, column, channel)."""
        if self.grid is not None:
            pooled = functional.adaptive_avg_pool2d(x.movedim(-1, 1), self.grid)
            x = pooled.movedim(1, -1)
        return x.flatten(1)


def num_read(stages: Iterable[object], shapes: Iterable[Shape], last: Shape) -> int:
    """Return the number of features of stages, given the shapes below and after them."""
    read = [
        stage.num_features(shape)
        for stage, shape in zip(stages, shapes, strict=False)
        if isinstance(stage, Read)
    ]
    return sum(read) if read else math.prod(last)


def read(
    parts: Iterable[Any],
    x: Float[Tensor, "image *shape"],
    output: Callable[[Any, Tensor], Tensor] = lambda part, x: part(x),
) -> Float[Tensor, "image feature"]:
    """Return what the readout sees of parts, given images and the output of a part."""
    seen = []
    for part in parts:
        x = output(part, x)
        if isinstance(part, ReadPart):
            seen.append(part.read(x))
    return torch.cat(seen, dim=1) if seen else x.flatten(1)
