"""What a stack asks of its stages: settings, and the part that they start.

A stage is a frozen dataclass of settings, such as `MaxPool(size=4, stride=2)`. It starts a
part, an `nn.Module` from (image, *shape) to (image, *shape_out). Images have their channels
last: (image, height, width, channel).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fastpath.kernels import Name
from fastpath.training.distributed import Team

type Shape = tuple[int, ...]
# Size, stride and padding of the windows that a stage moves over its inputs.
type Window = tuple[int, int, int]
# The training images as a part sees them, a block at a time; each call begins anew.
type Blocks = Callable[[], Iterator[Tensor]]


class Part(nn.Module):
    """A stage at work: `forward` gives the outputs of a stack that has learned.

    Its tensors are buffers, so that they move to another device with the module.
    """

    def learning(
        self, x: Float[Tensor, "image *shape"], team: Team | None
    ) -> Float[Tensor, "image *shape_out"]:
        """Return the outputs for a mini-batch, while layers below learn too."""
        return self(x)

    @property
    def by_batch(self) -> bool:
        """Whether `learning` does without `fit`, by the statistics of the mini-batch."""
        return False

    def fit(self, blocks: Blocks) -> None:
        """Take from all training images what the part needs of them."""


@runtime_checkable
class Stage(Protocol):
    """Settings of a stage, a frozen dataclass."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of an image after this stage.

        Raises
        ------
        ValueError
            If the stage cannot see images of this shape.
        """
        ...

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> Part:
        """Return the part before training, on the CPU and in float32."""
        ...

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the tensors that a finished run keeps, by name."""
        ...

    def step_size(self, input_shape: Shape) -> int:
        """Return how many numbers a learning step holds for one image."""
        ...


@dataclass(frozen=True, kw_only=True)
class WithoutState:
    """Base of stages that hold no tensors, and keep the shape of an image."""

    fitted_once: ClassVar[bool] = False
    """Whether the part needs `fit` before it can serve layers that learn above it."""

    @property
    def window(self) -> Window:
        """Size, stride and padding: an output depends on the inputs at its position."""
        return 1, 1, 0

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of an image after this stage."""
        return input_shape

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return no shapes."""
        return {}

    def step_size(self, input_shape: Shape) -> int:
        """Return how many numbers a learning step holds for one image."""
        return 2 * math.prod(self.output_shape(input_shape))


def canonical(shape: Shape) -> Shape:
    """Return (height, width, channel) of images of any shape, or (pixel,) of flat ones.

    Images of one channel may lack that dim. The files of a run call (pixel,) (pixel, 1, 1).
    """
    shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
    return shape[:1] if shape[1:] == (1, 1) else shape


def spatial(name: str, input_shape: Shape) -> tuple[int, int, int]:
    """Return height, width and channels.

    Raises
    ------
    ValueError
        If the inputs are not images of this kind.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"{name} needs images of (height, width, channels), but its inputs have shape "
            f"{input_shape}: give images with these dims, or put it below FullyConnected"
        )
    height, width, channels = input_shape
    return height, width, channels


def positions(
    name: str, length: int, *, size: int, stride: int, padding: int, side: str
) -> int:
    """Return the number of positions of a window along one side of an image.

    Raises
    ------
    ValueError
        If the window is larger than the padded image.
    """
    if size > length + 2 * padding:
        raise ValueError(
            f"the window of {name} has {size} x {size} pixels, but the {side} of its "
            f"inputs is {length}" + f" + 2 x {padding} of padding" * bool(padding) + ": "
            "take a smaller window, more padding, or leave out a pooling stage below"
        )
    return (length + 2 * padding - size) // stride + 1
