"""A bank of filters: the units see a patch of the image at each position.

At every position the filters compete with each other, and every patch is one row of inputs
of the bank. A convolution layer therefore learns as a dense layer does from all patches.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.bank import Bank
from fastpath.layers.stages.base import Shape, Window, positions, spatial
from fastpath.layers.stages.learning import LearningPart, LearningStage

PADDINGS = ("zeros", "reflect")


@dataclass(frozen=True, kw_only=True)
class Convolution(LearningStage):
    """Filters that see patches of kernel_size x kernel_size pixels."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    """Pixels that are added on each side."""
    padding_mode: str = "zeros"
    """"zeros", or "reflect": the pixels beside the border, mirrored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fields(
            self,
            kernel_size=checks.count,
            stride=checks.count,
            padding=lambda name, value: checks.count(name, value, least=0),
            padding_mode=checks.one_of(*PADDINGS),
        )

    def num_inputs(self, input_shape: Shape) -> int:
        """Return the numbers in a patch: the weights of a filter."""
        return self.kernel_size**2 * spatial("Convolution", input_shape)[2]

    @property
    def window(self) -> Window:
        """Size, stride and padding: see `receptive_field`."""
        return self.kernel_size, self.stride, self.padding

    def field_shape(self, input_shape: Shape) -> Shape:
        """Return (kernel row, kernel column, channel)."""
        return self.kernel_size, self.kernel_size, spatial("Convolution", input_shape)[2]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (height, width, filter)."""
        height, width, _ = spatial("Convolution", input_shape)
        if self.padding_mode == "reflect" and self.padding >= min(height, width):
            raise ValueError(
                f"padding is {self.padding}: to reflect images of {height} x {width}, it "
                f"must be below {min(height, width)}"
            )
        rows, columns = (
            positions(
                "Convolution",
                length,
                size=self.kernel_size,
                stride=self.stride,
                padding=self.padding,
                side=side,
            )
            for length, side in ((height, "height"), (width, "width"))
        )
        return rows, columns, self.num_units

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "ConvolutionPart":
        """Return the filters before training."""
        bank = self.bank(input_shape, generator=generator, kernels=kernels)
        return ConvolutionPart(bank, self, generator)

    def step_size(self, input_shape: Shape) -> int:
        """Return how many numbers a learning step holds for one image."""
        rows, columns, _ = self.output_shape(input_shape)
        return rows * columns * (self.num_inputs(input_shape) + 2 * self.num_units)


class ConvolutionPart(LearningPart):
    """Filters at work."""

    def __init__(
        self,
        bank: Bank,
        settings: Convolution,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(bank, settings, generator)
        self.window = settings

    def inputs(
        self, x: Float[Tensor, "image height width channel"]
    ) -> tuple[Float[Tensor, "patch input"], Shape]:
        """Return all patches, in the order (image, row, column), and these dims."""
        size, stride = self.window.kernel_size, self.window.stride
        x = self._padded(x.contiguous())
        image, height, width, channels = x.shape
        dims = image, (height - size) // stride + 1, (width - size) // stride + 1
        # A row of a patch is contiguous: (kernel row, kernel column x channel).
        of_image, of_row, of_column, _ = x.stride()
        windows = x.as_strided(
            (*dims, size, size * channels),
            (of_image, stride * of_row, stride * of_column, of_row, 1),
        )
        num_rows = dims[0] * dims[1] * dims[2]
        patches = self.bank.buffer("patches", num_rows, size * size * channels)
        patches.view(windows.shape).copy_(windows)
        return patches, dims

    def _padded(
        self, x: Float[Tensor, "image height width channel"]
    ) -> Float[Tensor, "image height_out width_out channel"]:
        if not (n := self.window.padding):
            return x
        image, height, width, channels = x.shape
        shape = height + 2 * n, width + 2 * n, channels
        held = self.bank.buffer("padded", image, shape[0] * shape[1] * shape[2])
        out = held.view(image, *shape)
        out[:, n:-n, n:-n] = x
        if self.window.padding_mode == "zeros":
            out[:, :n], out[:, -n:], out[:, :, :n], out[:, :, -n:] = 0, 0, 0, 0
            return out
        for i in range(n):  # pixel n is the border, which is not repeated
            out[:, i], out[:, -1 - i] = out[:, 2 * n - i], out[:, i - 2 * n - 1]
        for i in range(n):
            out[:, :, i] = out[:, :, 2 * n - i]
            out[:, :, -1 - i] = out[:, :, i - 2 * n - 1]
        return out

    def forward(
        self, x: Float[Tensor, "image height width channel"]
    ) -> Float[Tensor, "image height_out width_out filter"]:
        """Return the outputs at every position."""
        size, n = self.window.kernel_size, self.window.padding
        x = x.movedim(-1, 1)
        if n:
            mode = "constant" if self.window.padding_mode == "zeros" else "reflect"
            x = functional.pad(x, (n, n, n, n), mode=mode)
        filters, bias = self.filters()
        filters = filters.unflatten(1, (size, size, -1)).movedim(-1, 1)
        stride = self.window.stride
        product = functional.conv2d(x, filters, bias, stride=stride).movedim(1, -1)
        if self.settings.response == "product":
            return product
        square = x.square().sum(dim=1, keepdim=True)
        mean = functional.avg_pool2d(square, size, stride)
        return self.as_cosine(product, (mean.movedim(1, -1) * size**2).sqrt())
