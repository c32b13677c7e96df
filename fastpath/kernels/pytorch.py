"""The learning step in PyTorch: the reference, on any device."""

from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fastpath.competition import Competition, activation, sparse
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Changes, Learners
from fastpath.plasticity import Normalize, delta_w, signed_power, step_size


class PyTorchKernels:
    """The four parts of a step in PyTorch.

    On CUDA nothing waits for the device: tensors have sizes that the host knows, so a unit
    that learns from several images has several rows in `changes`, all the same.
    """

    name = "pytorch"

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.fixed_sizes = device.type == "cuda"

    def prepare(
        self,
        x: UInt8[Tensor, "all pixel"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
        out: Float[Tensor, "image pixel"],
    ) -> Float[Tensor, "image pixel"]:
        """Write images x[index], as the layer sees them, to `out`."""
        return preprocess(x.index_select(0, index), mean, out=out)

    def learners(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Learners | None:
        """Return who learns, or None where it is as well said by all of g."""
        return sparse(competition, drive, fixed_size=self.fixed_sizes)

    def activation(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image unit"]:
        """Return all of g, where `learners` said None."""
        return activation(competition, drive)

    def changes(
        self,
        learners: Learners,
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of the units that learn (eq. 3), summed over the mini-batch."""
        image, unit, g, drive = learners
        if self.fixed_sizes:
            rows = unit
            same = (unit[:, None] == unit).to(g.dtype)
            decay = same @ (g * drive)
            share = torch.zeros_like(same[:, : len(images)]).index_add_(1, image, same * g)
        else:
            rows, slot = unit.unique(return_inverse=True)
            decay = g.new_zeros(len(rows)).index_add_(0, slot, g * drive)
            share = g.new_zeros(len(rows), len(images))
            share.index_put_((slot, image), g, accumulate=True)
        change = (share @ images).addcmul_(decay[:, None], weights[rows], value=-1)
        return Changes(rows, change, largest(change))

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
        rows, change, most = changes
        scale(changes, weights, p=p, rate_power=rate_power)
        step = change * step_size(most, lr=lr, normalize=normalize)
        if rows is None:
            weights += step
            if p != 2:
                signed_powers.copy_(signed_power(weights, p=p))
            return
        after = weights[rows] + step
        weights.index_copy_(0, rows, after)
        if p != 2:
            signed_powers.index_copy_(0, rows, signed_power(after, p=p))


def all_changes(
    kernels: Any,
    competition: Competition,
    drive: Float[Tensor, "image unit"],
    images: Float[Tensor, "image pixel"],
    weights: Float[Tensor, "unit pixel"],
) -> Changes:
    """Return ΔW of all units (eq. 3), for g as these kernels compute it."""
    g = kernels.activation(competition, drive)
    change = delta_w(g, drive, images, weights)
    return Changes(None, change, largest(change))


def scale(
    changes: Changes, weights: Float[Tensor, "unit pixel"], *, p: float, rate_power: float
) -> None:
    """Multiply the ΔW of each row, in place, by |‖W_u‖ − 1|^rate_power, with the p-norm."""
    if rate_power:
        rows = weights if changes.rows is None else weights[changes.rows]
        norms = rows.norm(p=p, dim=1, keepdim=True)
        changes.change.mul_((norms - 1).abs_().pow_(rate_power))


def largest(change: Float[Tensor, "row pixel"]) -> Float[Tensor, ""]:
    """Return max|ΔW|, 0 where no unit learns; NaN if there is one."""
    if not change.numel():
        return change.new_zeros(())
    least, most = change.aminmax()
    return torch.maximum(-least, most)
