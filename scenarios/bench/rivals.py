"""The same learning step as others write it, for measurements and for tests."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def published(
    weights: Float[np.ndarray, "unit pixel"],
    images: Float[np.ndarray, "image pixel"],
    *,
    p: float,
    k: int,
    delta: float,
    lr: float,
) -> None:
    """Update the weights in place by one mini-batch, as in the authors' notebook.

    All drives are sorted. sign(W)|W|^(p−1) and ΔW are computed for the whole matrix.
    Source: Krotov & Hopfield 2019, eq. 3 and 10, in the form of their published code.
    """
    drive = (np.sign(weights) * np.absolute(weights) ** (p - 1)) @ images.T
    rank = np.argsort(drive, axis=0)
    each = np.arange(len(images))
    g = np.zeros_like(drive)
    g[rank[-1], each] = 1.0
    g[rank[-k], each] = -delta
    decay = np.tile((g * drive).sum(axis=1)[:, None], (1, weights.shape[1]))
    change = g @ images - decay * weights
    weights += lr * np.true_divide(change, max(np.absolute(change).max(), 1e-30))


def dense_topk(
    weights: Float[Tensor, "unit pixel"],
    images: Float[Tensor, "image pixel"],
    *,
    p: float,
    k: int,
    delta: float,
    lr: float,
) -> None:
    """Update the weights in place by one mini-batch, as PyTorch versions usually do.

    They use topk instead of a sort, and float32. The rest is computed for the whole matrix,
    including the power at p = 2.
    """
    drive = (weights.sign() * weights.abs() ** (p - 1)) @ images.T
    rank = drive.topk(k, dim=0).indices
    g = torch.zeros_like(drive)
    g.scatter_(0, rank[:1], 1.0)
    g.scatter_(0, rank[k - 1 :], -delta)
    change = g @ images - (g * drive).sum(dim=1, keepdim=True) * weights
    weights += lr * change / change.abs().max().clamp(min=1e-30)
