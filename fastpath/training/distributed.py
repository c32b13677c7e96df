"""Train one layer by several processes: `torchrun --nproc-per-node R -m fastpath ...`.

Every process holds all images and weights. It computes the drive of its share of each
mini-batch: that product is nearly all of the work. Then the processes exchange the non-zero
entries of g (image, unit, g, drive). A ranking has two entries an image: 6 KB for a
mini-batch of 100, where the changed rows of W would be 600 KB. All processes compute ΔW
from the same list, so their weights stay the same bit for bit. Where every unit learns
(`Soft`), ΔW is summed over the processes instead.
"""

import os
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from fastpath.kernels import Learners

TIMEOUT = timedelta(minutes=10)


class Team:
    """The processes of one training. This process has number `rank` of `size`."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_main(self) -> bool:
        """Whether this is the main process (rank 0), which reports and saves."""
        return self.rank == 0

    def share(self, num_images: int, rank: int | None = None) -> slice:
        """Return which images of a mini-batch a process computes, by default this one."""
        rank = self.rank if rank is None else rank
        return slice(num_images * rank // self.size, num_images * (rank + 1) // self.size)

    def gather(
        self, learners: Learners, num_images: int, per_image: int | None = None
    ) -> Learners:
        """Return the learners of the whole mini-batch, from those of each share.

        `per_image` is the number of entries of each image, if it is fixed (`Rule`). Else
        each message has room for two entries an image of the largest share. If a process
        has more (an equilibrium with many active units), all processes see this and
        exchange a second, larger message.
        """
        start = self.share(num_images).start
        numbered = learners._replace(image=learners.image + start)
        # float64 holds whole numbers up to 2^53 exactly.
        mine = torch.stack([column.double() for column in numbered], dim=1)
        shares = [self.share(num_images, rank) for rank in range(self.size)]
        capacity = (per_image or 2) * max(share.stop - share.start for share in shares)
        if mine.is_cuda and per_image is not None:  # so the host need not ask
            lengths = [per_image * (share.stop - share.start) for share in shares]
            everyone = self._exchange(mine, capacity)
        else:
            everyone = self._exchange(mine, capacity)
            lengths = [int(length) for length in everyone[:, 0, 0].tolist()]
            if max(lengths) > capacity:
                everyone = self._exchange(mine, max(lengths))
        entries = torch.cat(
            [message[1 : 1 + n] for message, n in zip(everyone, lengths, strict=True)]
        )
        image, unit, g, drive = entries.unbind(dim=1)
        return Learners(
            image.long(),
            unit.long(),
            g.to(learners.g.dtype),
            drive.to(learners.drive.dtype),
        )

    def _exchange(self, mine: Tensor, capacity: int) -> Float[Tensor, "process entry four"]:
        """Return the entries of every process, preceded by their number.

        At most `capacity` entries follow; the number may be larger.
        """
        packed = mine.new_zeros(1 + capacity, mine.shape[1])
        packed[0] = len(mine)
        sent = mine[:capacity]
        packed[1 : 1 + len(sent)] = sent
        everyone = packed.new_empty(self.size * len(packed), packed.shape[1])
        try:
            dist.all_gather_into_tensor(everyone, packed)
        except RuntimeError as error:
            self._lost(error)
        return everyone.view(self.size, *packed.shape)

    def add(self, change: Float[Tensor, "*shape"]) -> None:
        """Sum ΔW, or other numbers, over all shares, in place."""
        try:
            dist.all_reduce(change)
        except RuntimeError as error:
            self._lost(error)

    def broadcast[Thing](self, thing: Thing) -> Thing:
        """Return the main process's `thing` in every process."""
        things = [thing]
        try:
            dist.broadcast_object_list(things, src=0)
        except RuntimeError as error:
            self._lost(error)
        return things[0]

    def _lost(self, error: RuntimeError) -> NoReturn:
        raise ConnectionError(
            f"process {self.rank} of {self.size} has lost the others: one of them died, or "
            f"cannot be reached ({' '.join(str(error).split())[:160]})"
        ) from error

    def leave(self) -> None:
        """Leave the team: the other processes go on without this process."""
        dist.destroy_process_group()


def join(device: torch.device) -> Team | None:
    """Return the team that `torchrun` started this process for, or None without `torchrun`.

    Raises
    ------
    ValueError
        If there are more processes on this machine than CUDA devices.
    ConnectionError
        If the other processes cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return None
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"process {local} of this machine has no CUDA device of its own: there are "
                f"{torch.cuda.device_count()}; lower --nproc-per-node"
            )
        torch.cuda.set_device(local)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=TIMEOUT)
    except RuntimeError as error:
        raise ConnectionError(
            f"one of {size} processes cannot reach the others within {TIMEOUT} "
            f"({' '.join(str(error).split())[:160]})"
        ) from error
    return Team(dist.get_rank(), dist.get_world_size())
