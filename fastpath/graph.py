"""One epoch on CUDA as a captured graph."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


class Replayed:
    """An epoch that is launched as one graph."""

    def __init__(
        self, epoch: Callable[..., Any], num: int, changed: list[Tensor]
    ) -> None: ...

    def __call__(self, order: Tensor, lr: float) -> None:
        """Run the epoch."""
