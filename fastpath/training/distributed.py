"""One training by several processes: `torchrun --nproc-per-node R -m fastpath ...`.

Every process holds the images and the weights, and computes the drive of its share of each
mini-batch: that product is nearly all of the work. What they then exchange is who learned
(image, unit, g, drive): two entries an image for a ranking, 6 KB of a mini-batch of 100
where its changed rows of W would be 600 KB. From the same list each adds up the same ΔW, so
all weights stay the same bit for bit. Where every unit learns (`Soft`), ΔW is summed.
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
    """The processes of one training, of which this is number `rank` of `size`."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_main(self) -> bool:
        """Whether this process reports and saves: that of rank 0."""
        return self.rank == 0

    def share(self, num_images: int, rank: int | None = None) -> slice:
        """Return the images of a mini-batch whose drive a process (this one) computes."""
        rank = self.rank if rank is None else rank
        return slice(num_images * rank // self.size, num_images * (rank + 1) // self.size)

    def gather(self, learners: Learners, num_images: int) -> Learners:
        """Return the learners of the whole mini-batch, from those of each share.

        As many entries travel as the fullest share of a ranking has; where a process found
        more (an equilibrium with many active units), all say so, and they travel again.
        """
        start = self.share(num_images).start
        found = learners._replace(image=learners.image + start)
        # Whole numbers up to 2^53 survive in float64.
        mine = torch.stack([part.double() for part in found], dim=1)
        shares = [self.share(num_images, rank) for rank in range(self.size)]
        capacity = 2 * max(share.stop - share.start for share in shares)
        if mine.is_cuda:  # two entries an image, whatever they are: the host knows
            lengths = [2 * (share.stop - share.start) for share in shares]
            everyone = self._exchange(mine, capacity)
        else:
            everyone = self._exchange(mine, capacity)
            lengths = [int(length) for length in everyone[:, 0, 0].tolist()]
            if max(lengths) > capacity:
                everyone = self._exchange(mine, max(lengths))
        entries = torch.cat(
            [held[1 : 1 + n] for held, n in zip(everyone, lengths, strict=True)]
        )
        image, unit, g, drive = entries.unbind(dim=1)
        return Learners(
            image.long(),
            unit.long(),
            g.to(learners.g.dtype),
            drive.to(learners.drive.dtype),
        )

    def _exchange(self, mine: Tensor, capacity: int) -> Float[Tensor, "process entry four"]:
        """Return every process's entries behind their number, which may exceed capacity."""
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

    def add(self, change: Float[Tensor, "unit pixel"]) -> None:
        """Sum ΔW over all shares, in place."""
        try:
            dist.all_reduce(change)
        except RuntimeError as error:
            self._lost(error)

    def broadcast[Thing](self, thing: Thing) -> Thing:
        """Return the object that the main process gives, in every process."""
        held = [thing]
        try:
            dist.broadcast_object_list(held, src=0)
        except RuntimeError as error:
            self._lost(error)
        return held[0]

    def _lost(self, error: RuntimeError) -> NoReturn:
        raise ConnectionError(
            f"process {self.rank} of {self.size} has lost the others: one of them died, or "
            f"cannot be reached ({' '.join(str(error).split())[:160]})"
        ) from error

    def leave(self) -> None:
        """End this process's part: the others may go on, and wait for it no more."""
        dist.destroy_process_group()


def join(device: torch.device) -> Team | None:
    """Return the team that `torchrun` started this process for, or None without one.

    Raises
    ------
    ValueError
        If there are more processes on this machine than CUDA devices.
    ConnectionError
        If the others are not there.
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
