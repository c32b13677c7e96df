"""Plots of weights."""

import math

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurodyn.plots import drawing


def receptive_fields(
    weights: xr.DataArray,
    image_shape: tuple[int, ...],
    ax: Axes | None = None,
    *,
    scale: xr.DataArray | None = None,
) -> Axes:
    """Draw weights (unit, pixel) as a mosaic of images, each unit on its own scale.

    Gray images: diverging colours, red for positive and blue for negative weights, white
    for 0. Three channels: RGB, with 0 as mid gray.

    Parameters
    ----------
    scale
        Size of the weight (unit) with the fullest colour, so that several plots can be
        compared; by default the largest of each unit.

    Raises
    ------
    ValueError
        If the image shape (height, width[, channel]) does not have as many pixels.
    """
    weights = drawing.last(weights)
    scale = abs(weights).max("pixel") if scale is None else scale
    mosaic = _mosaic(weights / scale.clip(min=1e-30), image_shape)
    ax = ax or plt.subplots()[1]
    if mosaic.shape[2] == 1:
        ax.imshow(mosaic[..., 0], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    else:
        ax.imshow(np.nan_to_num((mosaic + 1) / 2, nan=1.0), interpolation="nearest")
    ax.set_axis_off()
    return ax


def weight_norms(norms: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw norms (image, unit) against presentation, or a histogram of norms (unit).

    Against presentation, the median and the quartiles over units.

    Raises
    ------
    ValueError
        If the dims are not unit, or image and unit.
    """
    label = norms.attrs.get("long_name", "norm of the weights")
    if dims := [dim for dim in ("image", "snapshot") if dim in norms.dims]:
        ax = drawing.band(norms, dims[0], ax)
        ax.set(xlabel="presentation", ylabel=label)
        return ax
    norms = drawing.only(norms, "unit")
    median = float(norms.median())
    ax = drawing.histogram(norms, None, median, f"median {median:.3g}", ax)
    ax.set(xlabel=label)
    return ax


def sign_violations(violations: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the number of weights of the wrong sign against presentation.

    The title has the largest number.

    Raises
    ------
    ValueError
        If there is no dim `image`.
    """
    dim = "snapshot" if "snapshot" in violations.dims else "image"
    ax = drawing.lines(violations, dim, ax)
    largest = int(drawing.present(violations).max())
    summary = "0, at every presentation" if largest == 0 else f"up to {largest}"
    ax.set_title(f"weights of the wrong sign: {summary}", fontsize="medium")
    ax.set(xlabel="presentation", ylabel="weights of the wrong sign")
    ax.set_ylim(-0.05 * max(largest, 1), 1.1 * max(largest, 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def receptive_field_similarity(similarity: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the cosines of matched receptive fields (unit), sorted, with their mean.

    Raises
    ------
    ValueError
        If there are dims other than unit.
    """
    values = np.sort(drawing.present(drawing.only(drawing.last(similarity), "unit")))[::-1]
    mean = float(values.mean())
    ax = ax or plt.subplots()[1]
    ax.plot(1 + np.arange(len(values)), values, "o-", color="0.2", ms=3, lw=1)
    ax.axhline(mean, ls="--", color="C3", lw=1, label=f"mean {mean:.3g}")
    ax.set(xlabel="matched units, sorted", ylabel="cosine of receptive fields")
    ax.set_ylim(min(0.0, float(values.min())) - 0.03, 1.03)
    ax.legend(frameon=False)
    return ax


def _mosaic(fields: xr.DataArray, image_shape: tuple[int, ...]) -> NDArray:
    """Return fields (unit, pixel) side by side, a line of NaN between: (y, x, channel)."""
    num_units, num_pixels = fields.sizes["unit"], fields.sizes["pixel"]
    height, width, channels = (*image_shape, 1, 1, 1)[:3]
    fits = height * width * channels == num_pixels and channels in (1, 3)
    if len(image_shape) not in (2, 3) or not fits:
        raise ValueError(
            f"image_shape is {image_shape}: weights with {num_pixels} pixels need height x "
            "width x channels (1 or 3) of that product"
        )
    images = fields.transpose("unit", "pixel").values.reshape(-1, height, width, channels)
    columns = math.ceil(math.sqrt(num_units))
    rows = math.ceil(num_units / columns)
    mosaic = np.full((rows * (height + 1), columns * (width + 1), channels), np.nan)
    for unit, image in enumerate(images):
        top, left = (height + 1) * (unit // columns), (width + 1) * (unit % columns)
        mosaic[top : top + height, left : left + width] = image
    return mosaic[:-1, :-1]
