"""A whole epoch as one CUDA graph: thousands of launches become one.

A mini-batch of a few hundred images keeps a GPU busy for less time than Python needs to
launch its kernels. An epoch is the same work every time, on other images in another order
and with another step size, so it is recorded once and replayed.
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
        device. It may only launch work on the current stream and wait for none of it, and
        must do the same whatever the two hold. It is called twice here, and never again.
    num
        Number of images, the length of `order`.
    changed
        All tensors that the epoch changes (`Dense.state`), to be given back their values
        after the trial run. The first decides the device, and the number format of `lr`.

    Raises
    ------
    ValueError
        If there is no tensor that changes, or it is not on a CUDA device.

    Notes
    -----
    The graph reads and writes the memory it was recorded with: change those tensors in
    place. A layer that learns from larger mini-batches in between makes new buffers, and
    drops those of the graph.
    """

    def __init__(self, epoch: Epoch, num: int, changed: Sequence[Tensor]) -> None:
        if not changed or not changed[0].is_cuda:
            where = f"on '{changed[0].device}'" if changed else "nowhere"
            raise ValueError(f"what the epoch changes is {where}: a CUDA device is needed")
        device = changed[0].device
        self._order = torch.arange(num, device=device)
        self._lr = torch.zeros((), dtype=changed[0].dtype, device=device)
        self._epoch = epoch  # and with it the memory that the graph reads
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            self._try(epoch, changed)
            with torch.cuda.graph(self._graph):
                epoch(self._order, self._lr)

    def _try(self, epoch: Epoch, changed: Sequence[Tensor]) -> None:
        """Run once: compile the kernels, make the buffers that are kept."""
        before = [held.clone() for held in changed]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            epoch(self._order, self._lr)
            for held, value in zip(changed, before, strict=True):
                held.copy_(value)
        side.synchronize()

    def __call__(self, order: Int[Tensor, " image"], lr: Float[Tensor, ""] | float) -> None:
        """Launch the epoch on these images, in this order, and return at once.

        Raises
        ------
        ValueError
            If `order` is not as long as the one that was captured.
        """
        if order.shape != self._order.shape:
            raise ValueError(
                f"the order has {len(order)} images, the captured epoch "
                f"{len(self._order)}: capture another"
            )
        if not order.is_cuda:  # the copy waits for the device where memory is not pinned
            order = order.pin_memory()
        with torch.cuda.device(self._order.device):
            self._order.copy_(order, non_blocking=True)
            self._lr.fill_(lr)
            self._graph.replay()
