"""A mini-batch of images, as a layer sees them."""

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath import checks
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import Kernels


def prepared(
    x: Num[Tensor, "all *shape"],
    index: Int[Tensor, " image"],
    preprocess: FittedPreprocess,
    *,
    kernels: Kernels,
    out: Float[Tensor, "image pixel"],
) -> Float[Tensor, "image pixel"]:
    """Write the input rates of images x[index] to `out`, and return it.

    Raises
    ------
    ValueError
        If the mean image does not have as many pixels as `out`, or one of the arguments
        has another number format, or is on another device.
    IndexError
        If there are no such images.
    """
    index = checks.tensor("index", index)
    preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
    steps, mean, flat = preprocess.steps, preprocess.mean, x.flatten(1)
    if not x.device == index.device == mean.device == out.device:
        for name, value in (("images", x), ("index", index), ("mean", mean)):
            checks.same_device(name, value, "the weights", out)
    if x.dtype not in (torch.uint8, out.dtype):
        raise ValueError(
            f"the images are {x.dtype}: uint8 is needed, or {out.dtype}, the "
            "number format of the weights, for the rates of a layer below"
        )
    if index.dtype != torch.int64 or index.ndim != 1:
        raise ValueError(
            f"the index is {index.dtype}: int64 is needed, of one dim (it has {index.ndim})"
        )
    if (mean.dtype, mean.shape) != (out.dtype, out.shape[1:]):
        raise ValueError(
            f"the mean image is {mean.dtype} of shape {tuple(mean.shape)}, the weights "
            f"{out.dtype} of {out.shape[1]} pixels: make them alike"
        )
    # A subclass may do something else, and may need the shape of the images for it.
    if x.is_floating_point() or type(steps) is not Preprocess:
        return preprocess(x.index_select(0, index), out=out)
    return kernels.prepare(flat, index, steps, mean, out)
