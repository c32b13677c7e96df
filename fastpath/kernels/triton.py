"""The learning step in Triton, on CUDA: a step of a ranking is four kernels and a product.

Nothing here waits for the device or asks it how many units learn, and memory is kept by
size, never replaced: a whole epoch can be captured (`training.cuda_graph`). Triton is
imported by the first layer on a CUDA device, never by `import fastpath`.

Bytes of a step of B images, K units, N pixels in float32: the product reads W, 4 K N. The
rest is 5 B N (prepare), 8 B K (the drives, written and read) and 24 N for each of the up to
2 B rows that change (W, ΔW, images): 6 MB beside the 6 MB of W at B = 100, K = 2000,
N = 784. All of it stays in the second-level cache, so launches count more than bytes.
"""

import importlib.util
from typing import Any

import torch
from jaxtyping import Float, Int, Int32, UInt8
from torch import Tensor

from fastpath.competition import (
    Competition,
    Equilibrium,
    Ranking,
    Soft,
    activation,
    sparse,
)
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Changes, Learners
from fastpath.kernels.pytorch import all_changes, scale
from fastpath.plasticity import Normalize

MOST_PIXELS = 1024  # of one program, where a row can be cut
MOST_ENTRIES = 1024


def why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the Triton step cannot serve here, or None if it can."""
    if device.type != "cuda":
        return f"it runs on CUDA, not on '{device.type}'"
    if dtype not in (torch.float32, torch.float64):
        return f"it is written for float32 and float64, not for {dtype}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return None


class TritonKernels:
    """The four parts of a step in Triton."""

    name = "triton"

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from fastpath.kernels import triton_kernels

        self._kernels = triton_kernels
        self._device = device
        self._dtype = dtype
        self._buffers: dict[tuple[str, int], Tensor] = {}

    def prepare(
        self,
        x: UInt8[Tensor, "all pixel"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
        out: Float[Tensor, "image pixel"],
    ) -> Float[Tensor, "image pixel"]:
        """Write images x[index], as the layer sees them, to `out`; NaN for missing ones.

        To raise an error for an index that is none, the host would have to wait.
        """
        num_images, num_pixels = out.shape
        self._launch(
            self._kernels.prepare,
            (num_images,),
            x.contiguous(),
            index.contiguous(),
            mean,
            out,
            len(x),
            num_pixels,
            subtract_mean=preprocess.subtract_mean,
            center_images=preprocess.center_images,
            unit_norm=preprocess.unit_norm,
            PIXELS=_block(num_pixels),
        )
        return out

    def learners(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Learners | None:
        """Return who learns, or None where it is as well said by all of g."""
        ranking: Any = competition
        if type(ranking) is not Ranking:  # a subclass may decide otherwise
            return sparse(competition, drive, fixed_size=True)
        num_images, num_units = drive.shape
        found = Learners(
            self._buffer("image", 2 * num_images, torch.int64),
            self._buffer("unit", 2 * num_images, torch.int64),
            self._buffer("g", 2 * num_images, self._dtype),
            self._buffer("drive", 2 * num_images, self._dtype),
        )
        self._launch(
            self._kernels.rank,
            (num_images,),
            drive,
            *found,
            num_units,
            ranking.k,
            delta=ranking.delta,
            UNITS=_block(num_units),
        )
        return found

    def activation(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image unit"]:
        """Return all of g, where `learners` said None."""
        kernels = {Equilibrium: self._kernels.equilibrium, Soft: self._kernels.soft}
        kernel = kernels.get(type(competition))
        if kernel is None:
            return activation(competition, drive)
        settings: dict[str, Any] = vars(competition)
        num_images, num_units = drive.shape
        g = self._buffer("activation", drive.numel(), self._dtype).view_as(drive)
        self._launch(
            kernel,
            (num_images,),
            drive,
            g,
            num_units,
            **settings,
            UNITS=_block(num_units),
        )
        return g

    def changes(
        self,
        learners: Learners,
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of the units that learn (eq. 3), summed over the mini-batch."""
        num_entries, num_pixels = len(learners.unit), weights.shape[1]
        pixels = _block(num_pixels, MOST_PIXELS)
        grid = (num_entries, -(-num_pixels // pixels))
        change = self._buffer("change", num_entries * num_pixels, self._dtype)
        maxima = self._buffer("maxima", grid[0] * grid[1], self._dtype)
        # Those that other processes sent are columns of a matrix.
        learners = Learners(*(part.contiguous() for part in learners))
        self._launch(
            self._kernels.changes,
            grid,
            *learners,
            images,
            weights,
            change,
            maxima,
            num_entries,
            num_pixels,
            ENTRIES=_block(num_entries, MOST_ENTRIES),
            PIXELS=pixels,
        )
        return Changes(learners.unit, change.view(num_entries, num_pixels), maxima)

    def all_changes(
        self,
        competition: Competition,
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of all units (eq. 3), summed over the mini-batch."""
        return all_changes(self, competition, drive, images, weights)

    def apply(
        self,
        changes: Changes,
        weights: Float[Tensor, "unit pixel"],
        signed_powers: Float[Tensor, "unit pixel"],
        *,
        p: float,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize,
        rate_power: float = 0.0,
    ) -> None:
        """Add ε ΔW, or ε ΔW / max|ΔW|, and renew sign(W)|W|^(p−1) of the rows."""
        scale(changes, weights, p=p, rate_power=rate_power)
        num_rows, num_pixels = changes.change.shape
        pixels = _block(num_pixels, MOST_PIXELS)
        most = self._on_device("largest", changes.largest)
        self._launch(
            self._kernels.apply,
            (num_rows, -(-num_pixels // pixels)),
            changes.rows,
            changes.change,
            most,
            self._on_device("lr", lr),
            weights,
            signed_powers,
            most.numel(),
            num_pixels,
            p=p,
            some_rows=changes.rows is not None,
            normalize=normalize == "max",
            ENTRIES=_block(max(num_rows, most.numel()), MOST_ENTRIES),
            PIXELS=pixels,
        )

    def _launch(
        self, kernel: Any, grid: tuple[int, ...], *args: object, **constants: object
    ) -> None:
        with torch.cuda.device(self._device if self._device.type == "cuda" else -1):
            kernel[grid](*args, **constants, **_options(constants))

    def _on_device(self, name: str, value: Tensor | float) -> Tensor:
        """Return a number where a kernel can read it."""
        if isinstance(value, Tensor) and value.device == self._device:
            return value
        return self._buffer(name, 1, self._dtype).fill_(value)

    def _buffer(self, name: str, size: int, dtype: torch.dtype) -> Tensor:
        """Return memory that is kept, and that a captured epoch may go on using."""
        held = self._buffers.get((name, size))
        if held is None:
            held = torch.empty(size, dtype=dtype, device=self._device)
            self._buffers[name, size] = held
        return held


def augment(
    x: UInt8[Tensor, "image *shape"],
    draws: Int32[Tensor, "image 12"],
    out: UInt8[Tensor, "image *shape"],
) -> None:
    """Change images as drawn (`data.augment`), into `out`; all three are contiguous."""
    from fastpath.kernels import triton_kernels

    height, width, *channels = x.shape[1:]
    size = height, width, *(channels or [1])
    constants = {"PIXELS": _block(x[0].numel())}
    with torch.cuda.device(x.device if x.is_cuda else -1):
        kernel: Any = triton_kernels.augment[(len(x),)]
        kernel(x, draws, out, *size, **constants, **_options(constants))


def _options(constants: dict[str, Any]) -> dict[str, Any]:
    """Return how a kernel is compiled: the same in every version of Triton."""
    widest = max(constants.get(name, 0) for name in ("UNITS", "PIXELS", "ENTRIES"))
    # 8 numbers of a block a thread, up to 512 threads. No multiply-adds: nothing here waits
    # for arithmetic, and without them a product and a sum are rounded as in PyTorch.
    return {"num_warps": min(max(widest // 256, 1), 16), "enable_fp_fusion": False}


def _block(size: int, most: int | None = None) -> int:
    """Return the least power of two, from 32, that holds `size`, or `most`."""
    block = max(32, 1 << (size - 1).bit_length())
    return block if most is None else min(block, most)
