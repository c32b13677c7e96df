"""The learning step in Triton, on CUDA."""

import torch

from fastpath.kernels.plain import Plain


def why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the fused step cannot serve here, or None if it can."""
    return (
        f"it runs on CUDA, not on '{device.type}'" if device.type != "cuda" else "unwritten"
    )


class Fused(Plain):
    """The four parts of a step in Triton."""

    name = "fused"
