"""Where the features of many images are held: memory, a file, or nowhere.

Features that fit are held as they are. Otherwise, if they cost little, they are computed
each time they are used. Those that cost more are held as float16, in memory or in a file;
so are those above `EXACT_SIZE`, which leave room for other work, whatever memory is free.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath.compute import free_memory
from fastpath.layers import Encoder
from fastpath.readout.settings import Readout
from fastpath.readout.sources import Features, Mirrored, rows
from fastpath.readout.streamed import Streamed, check_width, flop_of

EXACT_SHARE = 0.5  # of the free memory, for features as they are
EXACT_SIZE = 2e9  # bytes, of those that cost too much to be computed again
SHARE = 0.7  # of the free memory, for those that cost too much to be computed again
KEPT_FREE = 0.05  # of the disk
# Features are computed again in each epoch if that costs no more than this many operations
# an image, in all epochs together.
RECOMPUTED = 5e9
LOST = 0.01  # share of the features other than 0 that float16 may round to 0
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Where features are held, and in which number format."""

    device: torch.device | None
    """None: a file on the disk."""
    dtype: torch.dtype


def check_room(
    layer: Encoder, x: Num[Tensor, "image *shape"], readout: Readout, *, num_features: int
) -> None:
    """Raise ValueError if the readout of images x could not hold their features.

    To be called before the layer is trained, which may take hours.
    """
    if readout.flips:
        check_width(x)
    size = (2 if readout.flips else 1) * len(x), num_features
    place_of(size, torch.float32, x.device, flop=readout.epochs * flop_of(layer))


def hold(x: Streamed) -> Float[Tensor, "image feature"] | Features:
    """Return features for repeated use, held if they fit: see `place_of`.

    Those with mirror images are returned as `Mirrored`.

    Raises
    ------
    ValueError
        If there is no room for them.
    """
    found = held(x, flop=x.epochs * x.flop(1))
    return Mirrored(found) if x.mirrored else found


def held(x: Features, *, flop: float | int) -> Float[Tensor, "image feature"] | Features:
    """Return features held where they fit; or as they are, if they cost little.

    Parameters
    ----------
    flop
        Operations for the features of an image, in all epochs together: see `place_of`.

    Raises
    ------
    ValueError
        If there is no room for them.
    """
    first = x[:1]
    size, dtype, device = (len(x), first.shape[1]), first.dtype, first.device
    place = place_of(size, dtype, device, flop=flop)
    if place is None:
        return x
    if place == Place(device, dtype):
        out = first.new_empty(size)
        for block, rows_of in zip(x.blocks(), out.split(x.block), strict=True):
            rows_of.copy_(block)
        return out
    try:
        return Stored(x, place)
    except _Lossy as lossy:
        reason = str(lossy)
    print(f"fastpath: features are held as {_name(dtype)}: {reason}", file=sys.stderr)
    return Stored(x, _room(size, dtype, device))


def place_of(
    size: tuple[int, int], dtype: torch.dtype, device: torch.device, *, flop: float | int
) -> Place | None:
    """Return where to hold features, or None to compute them each time they are used.

    Parameters
    ----------
    size
        Numbers of images and features.
    dtype, device
        Those of the features as the layer computes them.
    flop
        Operations for the features of an image, in all epochs together.

    Raises
    ------
    ValueError
        If there is no room for them.
    """
    costly = flop > RECOMPUTED
    small = not costly or _num_bytes(size, dtype) <= EXACT_SIZE
    if small and _fits(size, dtype, device, EXACT_SHARE):
        return Place(device, dtype)
    return _room(size, torch.float16, device) if costly else None


def _room(size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Place:
    """Return the first place with room: the memory of the device, of the CPU, the disk."""
    for where in dict.fromkeys((device, CPU)):
        if _fits(size, dtype, where, SHARE):
            return Place(where, dtype)
    folder, needed = tempfile.gettempdir(), _num_bytes(size, dtype)
    disk = shutil.disk_usage(folder)
    if needed <= disk.free - KEPT_FREE * disk.total:
        return Place(None, dtype)
    memory, kept = free_memory(CPU) or 0, KEPT_FREE * disk.total
    raise ValueError(
        f"{size[1]} features of {size[0]} images need {needed / 1e9:.2f} GB as "
        f"{_name(dtype)}, but {memory / 1e9:.2f} GB of memory are free "
        f"({100 * SHARE:.0f} % can be used) and {disk.free / 1e9:.2f} GB of the disk of "
        f"{folder} ({kept / 1e9:.2f} GB must stay free): take fewer units or more pooling, "
        "or name a folder with more room by TMPDIR=..."
    )


def _fits(
    size: tuple[int, int], dtype: torch.dtype, device: torch.device, share: float
) -> bool:
    free = free_memory(device)
    return free is None or _num_bytes(size, dtype) <= share * free


def _num_bytes(size: tuple[int, int], dtype: torch.dtype) -> int:
    return size[0] * size[1] * dtype.itemsize


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class _Lossy(Exception):
    """Float16 cannot hold these features."""


class Stored(Features):
    """Features in a smaller number format, in another memory, or in a file.

    Rows are returned as the layer computed them: in its number format, on its device.
    """

    def __init__(self, x: Features, place: Place) -> None:
        first = x[:1]
        self._dtype, self._device, self._block = first.dtype, first.device, x.block
        self._rows = _empty((len(x), first.shape[1]), place)
        nonzero = zeroed = 0
        for block, held in zip(x.blocks(), self._rows.split(self._block), strict=True):
            held.copy_(block)
            if place.dtype != torch.float16:
                continue
            largest = max(abs(end.item()) for end in block.aminmax())
            if largest > torch.finfo(torch.float16).max:
                raise _Lossy(f"one is {largest:.3g}, and float16 ends at 65504")
            before = int(block.count_nonzero())
            nonzero, zeroed = nonzero + before, zeroed + before - int(held.count_nonzero())
            if zeroed > LOST * nonzero:
                raise _Lossy(
                    f"float16 would round {100 * zeroed / nonzero:.1f} % of those that are "
                    f"not 0 to 0 (at most {100 * LOST:.0f} % is accepted)"
                )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images."""
        chosen = rows(self._rows, images)
        if self._device != chosen.device:  # CUDA copies from pinned memory without waiting
            chosen = chosen.pin_memory()
        return chosen.to(self._device, non_blocking=True).to(self._dtype)

    @property
    def block(self) -> int:
        """Number of images in a block."""
        return self._block


def _empty(size: tuple[int, int], place: Place) -> Float[Tensor, "image feature"]:
    """Return memory for features, not initialised; or a file that is mapped to memory.

    The file has no name, so that the system removes it when the process ends in any way.
    """
    if place.device is not None:
        return torch.empty(size, dtype=place.dtype, device=place.device)
    dtype = np.dtype(_name(place.dtype))
    with tempfile.TemporaryFile(prefix="fastpath-") as file:
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process
            os.posix_fallocate(file.fileno(), 0, _num_bytes(size, place.dtype))
        return torch.from_numpy(np.memmap(file, dtype=dtype, mode="w+", shape=size))
