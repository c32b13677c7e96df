"""The same learning step as others write it, for measurements and for tests."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath.competition import Ranking, Soft


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


def by_two_convolutions(
    weights: Float[Tensor, "filter channel size size"],
    images: Float[Tensor, "image channel height width"],
    *,
    padding: int,
    competition: Ranking | Soft,
    lr: float,
) -> None:
    """Update filters in place by one mini-batch, as convolutional versions usually do.

    ΔW is a second convolution, of the images with g, with the mini-batch as channels; g is
    dense also for a ranking. Source: the form of the published code of SoftHebb (Journé et
    al., ICLR 2023) and of others who made the rule of Krotov & Hopfield convolutional.
    """
    x = functional.pad(images, (padding,) * 4, mode="reflect")
    drive = functional.conv2d(x, weights)
    if isinstance(competition, Soft):
        g = torch.softmax(drive / competition.temperature, dim=1)
        if competition.anti:
            winner = drive.argmax(dim=1, keepdim=True)
            g = (-g).scatter_(1, winner, g.gather(1, winner))
    else:
        rank = drive.topk(competition.k, dim=1).indices
        g = torch.zeros_like(drive)
        g.scatter_(1, rank[:, :1], 1.0)
        g.scatter_(1, rank[:, competition.k - 1 :], -competition.delta)
    hebb = functional.conv2d(x.transpose(0, 1), g.transpose(0, 1)).transpose(0, 1)
    decay = (g * drive).sum(dim=(0, 2, 3))
    change = hebb - decay[:, None, None, None] * weights
    weights += lr * change / change.abs().max().clamp(min=1e-30)
