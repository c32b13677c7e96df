"""A whole epoch as one CUDA graph: thousands of launches become one.

A mini-batch of a few hundred images keeps a GPU busy for less time than Python needs to
launch its kernels. Epochs differ only in the order of the images and the learning rate, so
one epoch is recorded and then replayed.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

type Epoch = Callable[[Tensor, Tensor], object]


class CapturedEpoch:
    """An epoch that is launched as one CUDA graph.

    Parameters
    ----------
    epoch
        Called as epoch(order, lr) with `order` (image,), int64, and `lr`, 0-d, on the
        device. It may only launch work on the current stream, must not wait for it, and
        must launch the same work whatever the values of `order` and `lr`. It is called
        twice here, and never again.
    num
        Number of images, the length of `order`.
    changed
        All tensors that the epoch changes (`Dense.state`). They get back their values
        after the trial run. The first gives the device and the number format of `lr`.
    trial
        Number of images of the trial run [all]: enough for a mini-batch of each size.

    Raises
    ------
    ValueError
        If `changed` is empty, or not on a CUDA device.

    Notes
    -----
    The graph reads and writes the memory with which it was recorded, so change the tensors
    in place. A layer that learns from larger mini-batches in between allocates new buffers
    and drops those of the graph.
    """

    def __init__(
        self,
        epoch: Epoch,
        num: int,
        changed: Sequence[Tensor],
        *,
        trial: int | None = None,
    ) -> None:
        if not changed or not changed[0].is_cuda:
            where = f"on '{changed[0].device}'" if changed else "empty"
            raise ValueError(f"changed is {where}: tensors on a CUDA device are needed")
        device = changed[0].device
        self._order = torch.arange(num, device=device)
        self._lr = torch.zeros((), dtype=changed[0].dtype, device=device)
        self._epoch = epoch  # keeps the memory that the graph reads
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            self._try(epoch, changed, num if trial is None else min(trial, num))
            with torch.cuda.graph(self._graph):
                epoch(self._order, self._lr)

    def _try(self, epoch: Epoch, changed: Sequence[Tensor], num: int) -> None:
        """Run part of the epoch: this compiles the kernels and allocates the buffers."""
        before = [tensor.clone() for tensor in changed]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            epoch(self._order[:num], self._lr)
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        side.synchronize()

    def __call__(self, order: Int[Tensor, " image"], lr: Float[Tensor, ""] | float) -> None:
        """Launch the epoch with this order of the images, and return at once.

        Raises
        ------
        ValueError
            If `order` has another length than the captured epoch.
        """
        if order.shape != self._order.shape:
            raise ValueError(
                f"the order has {len(order)} images, the captured epoch "
                f"{len(self._order)}: capture another"
            )
        if not order.is_cuda:  # a copy from memory that is not pinned waits for the device
            order = order.pin_memory()
        with torch.cuda.device(self._order.device):
            self._order.copy_(order, non_blocking=True)
            self._lr.fill_(lr)
            self._graph.replay()
