"""The parts of a learning step that are not the matrix product of the drive.

A step is: `prepare` a mini-batch from the uint8 images, multiply it by the weights, find
who learns (`learners`), add up what changes (`changes`, or `all_changes` where every unit
learns; eq. 3), `apply` it. Three implementations do the same:

- `pytorch`: PyTorch, on any device; the reference, and what runs when nothing better can.
- `cpp`: C++, on the CPU; built once where there is a compiler, then cached.
- `triton`: Triton, on CUDA.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fastpath import checks
from fastpath.competition import Competition, Learners
from fastpath.compute import Kernels as Name
from fastpath.data.preprocess import Preprocess
from fastpath.plasticity import Normalize


class Changes(NamedTuple):
    """ΔW of the rows that change, and its largest absolute value, or that of each part.

    A row may stand there more than once: on CUDA the number of entries is fixed, so that
    nothing waits to hear how many there are. Then the first one holds its ΔW, and is to be
    applied once. `rows` is None where all rows change.
    """

    rows: Int[Tensor, " row"] | None
    change: Float[Tensor, "row pixel"]
    largest: Float[Tensor, "*part"] | float


@runtime_checkable
class Kernels(Protocol):
    """What `pytorch`, `cpp` and `triton` have in common."""

    name: str

    def prepare(
        self,
        x: UInt8[Tensor, "all pixel"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
        out: Float[Tensor, "image pixel"],
    ) -> Float[Tensor, "image pixel"]:
        """Write images x[index], as the layer sees them, to `out`."""
        ...

    def learners(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Learners | None:
        """Return who learns, or None where it is as well said by all of g."""
        ...

    def activation(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image unit"]:
        """Return all of g, where `learners` said None."""
        ...

    def changes(
        self,
        learners: Learners,
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of the units that learn (eq. 3), summed over the mini-batch."""
        ...

    def all_changes(
        self,
        competition: Competition,
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of all units (eq. 3), where `learners` said None."""
        ...

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
        """Add ε ΔW, or ε ΔW / max|ΔW|, and renew sign(W)|W|^(p−1) of the rows.

        ε of row u is multiplied by |‖W_u‖ − 1|^rate_power, with the p-norm. The changes may
        be overwritten.
        """
        ...


def choose(device: torch.device, dtype: torch.dtype, name: Name | None = None) -> Kernels:
    """Return the implementation of this name, or the fastest that works here.

    They round otherwise, so a result belongs to the one that it was computed with.

    Raises
    ------
    ValueError
        If there is none of this name, or it does not work here.
    """
    from fastpath.kernels import cpp, pytorch, triton

    makers: dict[Name, Callable[[torch.device, torch.dtype], Kernels]] = {
        "triton": triton.TritonKernels,
        "cpp": cpp.CppKernels,
        "pytorch": pytorch.PyTorchKernels,
    }

    if name is not None:
        checks.one_of(*makers)("kernels", name)
        if reason := why_not(name, device, dtype):
            raise ValueError(f"kernels is '{name}', but {reason}: leave it away")
        return makers[name](device, dtype)
    # To ask `cpp` is to build it.
    return next(
        make(device, dtype)
        for name, make in makers.items()
        if not why_not(name, device, dtype)
    )


def why_not(name: Name, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why an implementation cannot serve here, or None if it can."""
    from fastpath.kernels import cpp, triton

    known = {"triton": triton.why_not, "cpp": cpp.why_not}
    return known[name](device, dtype) if name in known else None
