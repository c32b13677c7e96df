"""Responses of the layers of a stack to images: what drives their units most, and where.

The layers are numbered from 1, from the lowest that learns; an index counts all stages.
"""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fastpath.ambient import isolated
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers import Stack
from fastpath.layers.receptive_field import receptive_field
from fastpath.layers.stages import ActivationPart
from fastpath.training.snapshots import UNIT, displayed_units

RANK = {"units": "1", "long_name": "rank of the image, 0 drives the unit most"}


@isolated(grad=False, numpy=True)
def preferred_patches(
    stack: Stack,
    x: UInt8[Tensor, "image height width channel"],
    preprocess: FittedPreprocess,
    *,
    num_units: int,
    num_patches: int,
) -> dict[int, xr.Dataset]:
    """Return the patches of images that drive units of layers 2, 3, ... most, by layer.

    For each image and unit the position with the largest output counts, before the
    activation: W·v. So each image gives a unit one patch at most. A patch is the receptive
    field of the unit at this position, cut out of the image; if the field is at least as
    large as the image, the patch is the whole image.

    Parameters
    ----------
    num_units
        Number of units, evenly spaced [all units of a smaller layer].
    num_patches
        Number of patches of each unit [the number of images if they are fewer].

    Returns
    -------
    dict
        Under each layer's number: patches (unit, rank, y, x, channel), from 0 to 1 and NaN
        outside of the image; image and output (unit, rank).

    Raises
    ------
    ValueError
        If a stage does not say which inputs it sees, or the images have another size than
        those that the stack sees.
    """
    layers = {number: i for number, i in enumerate(stack.learners, 1) if number > 1}
    sizes = stack.settings.sizes
    units = {i: displayed_units(sizes[n - 1], most=num_units) for n, i in layers.items()}
    fields = {i: receptive_field(stack.settings.stages, i) for i in units}
    largest: dict[int, list[Tensor]] = {i: [] for i in units}
    places: dict[int, list[Tensor]] = {i: [] for i in units}
    for block in x.split(stack.block):
        outputs = stack.outputs(preprocess(block), units)
        for i, output in outputs.items():
            chosen = output[..., units[i]]
            columns = chosen.shape[2] if chosen.ndim == 4 else 1
            value, place = chosen.view(len(block), -1, chosen.shape[-1]).max(dim=1)
            largest[i].append(value)
            places[i].append(torch.stack([place // columns, place % columns]))
    found = {}
    for number, i in layers.items():
        value, image = torch.cat(largest[i]).T.topk(min(num_patches, len(x)))
        row, column = torch.cat(places[i], dim=1).mT.gather(2, image.expand(2, -1, -1))
        patches = _cut(x, image, row, column, fields[i])
        found[number] = xr.Dataset(
            {
                "patches": (("unit", "rank", "y", "x", "channel"), patches.numpy()),
                "image": (("unit", "rank"), image.numpy()),
                "output": (("unit", "rank"), value.numpy()),
            },
            coords={
                "unit": ("unit", units[i].numpy(), UNIT),
                "rank": ("rank", np.arange(image.shape[1]), RANK),
            },
        )
    return found


def _cut(
    x: UInt8[Tensor, "image height width channel"],
    image: Int[Tensor, "unit rank"],
    row: Int[Tensor, "unit rank"],
    column: Int[Tensor, "unit rank"],
    field: tuple[int, int, int] | None,
) -> Float[Tensor, "unit rank y x channel"]:
    """Return the receptive fields at these positions in images, NaN outside of them."""
    height, width = x.shape[1:3]
    if field is None or field[0] >= max(height, width):
        return x[image].float() / 255
    size, stride, start = field
    pixels = torch.arange(size) + start
    y, x_ = (stride * place[..., None] + pixels for place in (row, column))
    y, x_ = y[..., :, None], x_[..., None, :]
    outside = (y < 0) | (y >= height) | (x_ < 0) | (x_ >= width)
    rows, columns = y.clamp(0, height - 1), x_.clamp(0, width - 1)
    patches = x[image[..., None, None], rows, columns].float() / 255
    return patches.masked_fill(outside[..., None], torch.nan)


@isolated(grad=False, numpy=True)
def activity_maps(
    stack: Stack,
    image: UInt8[Tensor, "height width channel"],
    preprocess: FittedPreprocess,
    *,
    num_units: int,
) -> dict[int, xr.DataArray]:
    """Return the outputs of the most active units of each layer for an image, by layer.

    They are outputs of the activation that follows the layer, or of the layer itself if
    none follows. The most active units have the largest mean absolute output; they come in
    falling order. Outputs are (unit, y, x), or (unit,) where units see the whole image.

    Raises
    ------
    ValueError
        If the image has another size than those that the stack sees.
    """
    shown = _activations(stack)
    outputs = stack.outputs(preprocess(image[None]), shown)
    found = {}
    for number, i in enumerate(shown, 1):
        maps = outputs[i][0].movedim(-1, 0)
        activity = maps.flatten(1) if maps.ndim > 1 else maps[:, None]
        mean = activity.abs().mean(dim=1)
        units = mean.topk(min(num_units, len(mean))).indices
        found[number] = xr.DataArray(
            maps[units].numpy(),
            dims=("unit", "y", "x")[: maps.ndim],
            coords={"unit": ("unit", units.numpy(), UNIT)},
        )
    return found


def _activations(stack: Stack) -> list[int]:
    """Return the index of the activation that follows each layer, or of the layer."""
    ends = [*stack.learners[1:], len(stack.parts)]
    return [
        next((i for i in range(n, end) if isinstance(stack.parts[i], ActivationPart)), n)
        for n, end in zip(stack.learners, ends, strict=True)
    ]
