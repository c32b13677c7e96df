"""Pooling: the largest or the mean output of each unit among neighbouring positions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import (
    Part,
    Shape,
    Window,
    WithoutState,
    positions,
    spatial,
)


@dataclass(frozen=True, kw_only=True)
class _Pool(WithoutState):
    """Settings of both kinds of pooling."""

    size: int
    """Height and width of the window."""
    stride: int | None = None
    """Step from one window to the next [the size]."""
    padding: int = 0
    """Positions added on each side: they never win, and count as 0 in a mean."""

    def __post_init__(self) -> None:
        checks.fields(self, size=checks.count)
        stride = self.size if self.stride is None else self.stride
        object.__setattr__(self, "stride", checks.count("stride", stride))
        padding = checks.count("padding", self.padding, least=0)
        object.__setattr__(self, "padding", padding)
        if 2 * padding > self.size:
            raise ValueError(
                f"padding is {padding}: at most half of the window's {self.size} pixels, "
                "or some windows would see padding only"
            )

    @property
    def window(self) -> Window:
        """Size, stride and padding: see `receptive_field`."""
        assert self.stride is not None
        return self.size, self.stride, self.padding

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (height, width, channel)."""
        name = type(self).__name__
        height, width, channels = spatial(name, input_shape)
        size, stride, padding = self.window
        window = {"size": size, "stride": stride, "padding": padding}
        rows = positions(name, height, side="height", **window)
        return rows, positions(name, width, side="width", **window), channels


@dataclass(frozen=True, kw_only=True)
class MaxPool(_Pool):
    """The largest output in each window."""

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "PoolPart":
        """Return the part."""
        return PoolPart(self, largest=True)


@dataclass(frozen=True, kw_only=True)
class AveragePool(_Pool):
    """The mean output in each window."""

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "PoolPart":
        """Return the part."""
        return PoolPart(self, largest=False)


class PoolPart(Part):
    """Pooling at work."""

    def __init__(self, settings: _Pool, *, largest: bool) -> None:
        super().__init__()
        self._window = settings.window
        self._largest = largest

    def forward(
        self, x: Float[Tensor, "image height width channel"]
    ) -> Float[Tensor, "image height_out width_out channel"]:
        """Return the pooled outputs."""
        pool = functional.max_pool2d if self._largest else functional.avg_pool2d
        return pool(x.movedim(-1, 1), *self._window).movedim(1, -1)
