"""Pictures of traces and weights: functions from DataArray and Axes to Axes."""

import math

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes


def activity_traces(
    activity: xr.DataArray, ax: Axes | None = None, *, settled: xr.DataArray | None = None
) -> Axes:
    """Draw activity (time, unit) against time, one line a unit, darker for the winner.

    Parameters
    ----------
    settled
        Values (unit) to which the activity should settle, drawn as dashes over the time.
    """
    ax = ax or plt.subplots()[1]
    last = activity.isel(time=-1)
    for rank, unit in enumerate(last.sortby(last)["unit"].values, start=1):
        color = plt.get_cmap("viridis_r")(rank / activity.sizes["unit"])
        trace = activity.sel(unit=unit)
        ax.plot(activity["time"], trace, color=color, lw=1)
        if settled is not None:
            level = float(settled.sel(unit=unit))
            ax.plot(activity["time"][[0, -1]], [level, level], "--", color=color, lw=0.8)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    ax.set(
        xlabel=f"time [{activity['time'].attrs.get('units', 'ms')}]", ylabel="activity h"
    )
    return ax


def receptive_fields(
    weights: xr.DataArray, image_shape: tuple[int, ...], ax: Axes | None = None
) -> Axes:
    """Draw weights (unit, pixel) as a mosaic of images, each unit on its own scale.

    Gray images: diverging colours, red for positive and blue for negative weights, white
    for 0. Three channels: RGB, with 0 as mid gray.

    Raises
    ------
    ValueError
        If the image shape (height, width[, channel]) does not have as many pixels.
    """
    num_units, num_pixels = weights.sizes["unit"], weights.sizes["pixel"]
    height, width, channels = (*image_shape, 1, 1, 1)[:3]
    fits = height * width * channels == num_pixels and channels in (1, 3)
    if len(image_shape) not in (2, 3) or not fits:
        raise ValueError(
            f"image_shape is {image_shape}: weights with {num_pixels} pixels need height x "
            "width x channels (1 or 3) of that product"
        )
    ax = ax or plt.subplots()[1]
    fields = weights.transpose("unit", "pixel").values.reshape(-1, height, width, channels)
    fields = fields / np.maximum(abs(fields).max(axis=(1, 2, 3), keepdims=True), 1e-30)
    columns = math.ceil(math.sqrt(num_units))
    rows = math.ceil(num_units / columns)
    mosaic = np.full((rows * (height + 1), columns * (width + 1), channels), np.nan)
    for unit, image in enumerate(fields):
        top, left = (height + 1) * (unit // columns), (width + 1) * (unit % columns)
        mosaic[top : top + height, left : left + width] = image
    mosaic = mosaic[:-1, :-1]
    if channels == 1:
        ax.imshow(mosaic[..., 0], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    else:
        ax.imshow(np.nan_to_num((mosaic + 1) / 2, nan=1.0), interpolation="nearest")
    ax.set_axis_off()
    return ax
