"""Figures of a run: functions from DataArray or Dataset and Axes to Axes."""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator
from numpy import ndarray

from fastpath.ambient import isolated
from fastpath.fonts import drawable

__all__ = [
    "activity",
    "can_show",
    "confusion",
    "dead_units",
    "enlargement",
    "mosaic",
    "patches",
    "readout_error",
    "readout_loss",
    "receptive_fields",
    "step_size",
    "weight_norms",
]

# Images keep their orientation, whatever the caller's style says.
UPRIGHT: dict[str, Any] = {"origin": "upper", "aspect": "equal"}
BETWEEN = 0.8  # gray of the lines between fields; a weight of 0 is white
SMALL = 7  # pixels; smaller images are enlarged
MOST_NUMBERS = 20  # classes whose confusions are printed as numbers
MOST_NAMES = 120  # classes whose names have room on the axes
LONGEST_NAME = 30  # characters of a class name on the axes


def can_show(image_shape: tuple[int, ...]) -> bool:
    """Tell whether weights for images (height, width[, channel]) can be drawn as images."""
    return len(image_shape) == 2 or (len(image_shape) == 3 and image_shape[2] in (1, 3))


@isolated(numpy=True)
def mosaic(
    fields: xr.DataArray, image_shape: tuple[int, ...], *, times: int = 1
) -> Float[ndarray, "y x rgb"]:
    """Return weights (unit, pixel) as images side by side, each on its own scale.

    One channel: diverging colours, red for positive and blue for negative weights, white
    for 0. Three channels: the weights of red, green and blue, with 0 as mid gray; a channel
    is brighter than mid gray where its weight is positive, darker where it is negative.

    A weight is `times` pixels wide, the lines between images are one: see `enlargement`.

    Raises
    ------
    ValueError
        If the image shape (height, width[, channel]) has another number of pixels than the
        weights, or neither 1 nor 3 channels.
    """
    height, width, channels = (*image_shape, 1, 1, 1)[:3]
    num_pixels = fields.sizes["pixel"]
    if not can_show(image_shape) or height * width * channels != num_pixels:
        raise ValueError(
            f"image_shape is {image_shape}: weights with {num_pixels} pixels need height x "
            "width x channels (1 or 3) of that product"
        )
    weights = fields.transpose("unit", "pixel").values
    scale = np.maximum(abs(weights).max(axis=1, keepdims=True), 1e-30)
    images = _colours((weights / scale).reshape(-1, height, width, channels))
    return _tiles(_enlarged(images, times))


def enlargement(image_shape: tuple[int, ...]) -> int:
    """Return how many pixels wide those of an image are drawn: more than 1 for filters.

    Between images of a few pixels, lines of one pixel would be too thick.
    """
    return math.ceil(SMALL / max(image_shape[:2]))


def _enlarged(
    images: Float[ndarray, "image height width channel"], times: int | None = None
) -> Float[ndarray, "image height_out width_out channel"]:
    """Return images with each pixel repeated [`enlargement` times]."""
    times = enlargement(images.shape[1:]) if times is None else times
    return images.repeat(times, axis=1).repeat(times, axis=2)


def _tiles(
    images: Float[ndarray, "image height width channel"],
    *,
    gap: int = 1,
    between: float = BETWEEN,
    empty: float = 1.0,
) -> Float[ndarray, "y x channel"]:
    """Return images in the order of reading, as many rows as columns if possible.

    `between` fills the gaps around the images, `empty` the places without one.
    """
    number, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    step_y, step_x = height + gap, width + gap
    whole = np.full((rows * step_y + gap, columns * step_x + gap, channels), empty)
    for i, image in enumerate(images):
        top, left = step_y * (i // columns), step_x * (i % columns)
        whole[top : top + height + 2 * gap, left : left + width + 2 * gap] = between
        top, left = top + gap, left + gap
        whole[top : top + height, left : left + width] = image
    return whole


def receptive_fields(
    fields: xr.DataArray,
    image_shape: tuple[int, ...],
    ax: Axes | None = None,
    *,
    times: int = 1,
) -> Axes:
    """Draw weights (unit, pixel) as a `mosaic`.

    Raises
    ------
    ValueError
        As `mosaic`.
    """
    ax = ax or plt.subplots()[1]
    shown = mosaic(fields, image_shape, times=times)
    ax.imshow(shown, interpolation="nearest", **UPRIGHT)
    ax.set_axis_off()
    return ax


@isolated(numpy=True)
def patches(images: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw patches of images (unit, rank, y, x, channel), a block for each unit.

    Values from 0 to 1 are gray for one channel, colours for three. NaN, outside of the
    image, is light gray. Units and ranks are in the order of reading.

    Raises
    ------
    ValueError
        If the patches have neither 1 nor 3 channels.
    """
    images = images.transpose("unit", "rank", "y", "x", "channel")
    if not can_show(images.shape[2:]):
        channels = images.sizes["channel"]
        raise ValueError(f"the patches have {channels} channels: 1 or 3 are needed")
    values = images.fillna(BETWEEN).values.astype(float)
    coloured = np.broadcast_to(values, (*values.shape[:4], 3))
    blocks = np.stack([_tiles(_enlarged(each), between=1.0) for each in coloured])
    shown = _tiles(blocks, gap=2 + blocks.shape[1] // 20, between=1.0)
    ax = ax or plt.subplots()[1]
    ax.imshow(shown, interpolation="nearest", **UPRIGHT)
    ax.set_axis_off()
    return ax


@isolated(numpy=True)
def activity(maps: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw outputs of units for one image: maps (unit, y, x), or bars (unit).

    All maps have one scale, from 0 on; if some outputs are negative, red is positive, blue
    negative and white 0. Maps and bars have the numbers of their units, the coordinate
    `unit`.
    """
    ax = ax or plt.subplots()[1]
    if maps.dims == ("unit",):
        ax.bar([str(unit) for unit in maps["unit"].values], maps, color="0.4")
        ax.tick_params(axis="x", rotation=90, labelsize="small")
        ax.set(xlabel="unit", ylabel="output")
        return ax
    maps = maps.transpose("unit", "y", "x")
    images = _enlarged(maps.values[..., None].astype(float))
    shown = _tiles(images, between=np.nan, empty=np.nan)
    largest = float(abs(maps.values).max()) or 1.0
    signed = bool((maps < 0).any())
    image = ax.imshow(
        np.ma.masked_invalid(shown[..., 0]),
        cmap="RdBu_r" if signed else "magma",
        vmin=-largest if signed else 0.0,
        vmax=largest,
        interpolation="nearest",
        **UPRIGHT,
    )
    (height, width), columns = images.shape[1:3], math.ceil(math.sqrt(len(maps)))
    for i, unit in enumerate(maps["unit"].values):
        x, y = (width + 1) * (i % columns) + 1, (height + 1) * (i // columns) + 1
        color = "black" if signed else "white"
        ax.text(x, y, str(unit), va="top", color=color, fontsize="xx-small")
    ax.set_axis_off()
    ax.figure.colorbar(image, ax=ax, label="output", shrink=0.8)
    return ax


def weight_norms(history: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the mean and the largest p-norm of the units' weights over epochs."""
    ax = _over_epochs(history["norm_max"], ax, color="0.6", label="largest")
    ax = _over_epochs(history["norm_mean"], ax, color="0.1", label="mean")
    ax.axhline(1, color="C3", ls=":", lw=1, label="1, where Hebbian units end")
    ax.set(ylabel="norm of a unit's weights", yscale="log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(0.6, 0.3)))
    ax.legend(frameon=False)
    return ax


def dead_units(learning: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the share of units that did not learn, from the share (epoch) that did."""
    ax = _over_epochs(100 * (1 - learning), ax, color="0.1")
    ax.set(ylabel="units not learning [%]", ylim=(-3, 103))
    return ax


def step_size(lr: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the learning rate (epoch)."""
    ax = _over_epochs(lr, ax, color="0.1")
    ax.set(ylabel="step size ε")
    ax.set_ylim(bottom=0)
    return ax


def readout_loss(loss: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw the mean loss of the readout's steps (head_epoch)."""
    ax = _over_epochs(loss, ax, color="0.1")
    ax.set(ylabel="loss while learning")
    ax.set_ylim(bottom=0)
    return ax


def readout_error(
    error: xr.DataArray, ax: Axes | None = None, *, final: dict[str, float] | None = None
) -> Axes:
    """Draw the readout's error on the images it learns from (head_epoch), in percent.

    Parameters
    ----------
    final
        Errors of the trained readout, by their names, drawn as horizontal lines.
    """
    ax = _over_epochs(error, ax, color="0.1", label="while learning")
    for number, (name, value) in enumerate((final or {}).items()):
        label = f"{name}: {value:.2f} %"
        ax.axhline(value, color=("C3", "C0")[number % 2], ls="--", lw=1, label=label)
    ax.set(ylabel="error [%]")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


@isolated(numpy=True)
def confusion(counts: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: each label's images by answer, in percent.

    `counts` has the numbers of images (label, answer). Colours rise with the root of the
    percentage, so that errors of a few percent are visible beside the right answers. With
    up to 20 classes the percentages are printed. A label without images has an empty row.
    """
    counts = counts.transpose("label", "answer")
    total = counts.sum("answer").clip(min=1)
    percent = (100 * counts / total).values
    ax = ax or plt.subplots()[1]
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    image = ax.imshow(percent, cmap="Blues", norm=norm, **UPRIGHT)
    ax.figure.colorbar(image, ax=ax, label="images of the label [%]", shrink=0.8)
    _name_classes(counts, ax)
    if len(percent) <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(percent):
            _print(ax, row, column, share)
    ax.set(xlabel="answer", ylabel="label")
    return ax


def _print(ax: Axes, row: int, column: int, percent: float) -> None:
    """Print one percentage into its square, unless it is below 0.05."""
    if percent < 0.05:
        return
    text = f"{percent:.1f}" if percent < 99.95 else "100"
    color = "white" if percent > 35 else "0.2"
    ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small")


def _name_classes(counts: xr.DataArray, ax: Axes) -> None:
    num = counts.sizes["label"]
    if num > MOST_NAMES or "label" not in counts.coords:
        return
    names, families = drawable([str(name) for name in counts["label"].values])
    names = [_cut(name) for name in names]
    size = min(10.0, max(4.0, 420 / num))
    # A $ is drawn as a $, not read as mathematics.
    text = {"fontsize": size, "parse_math": False, "fontfamily": families}
    long = max(map(len, names)) > 3
    ax.set_xticks(range(num), names, rotation=90 if long else 0, **text)
    ax.set_yticks(range(num), names, **text)


def _cut(name: str) -> str:
    """Return a name cut to LONGEST_NAME characters."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _over_epochs(
    values: xr.DataArray, ax: Axes | None, *, color: str, label: str | None = None
) -> Axes:
    """Draw values (epoch) as a line; up to 30 of them with a point each."""
    (dim,) = values.dims
    ax = ax or plt.subplots()[1]
    marker = "o" if values.size <= 30 else ""
    ax.plot(values[dim], values, marker=marker, color=color, lw=1.2, ms=3, label=label)
    ax.set(xlabel=values[dim].attrs.get("long_name", dim))
    whole = MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.xaxis.set_major_locator(whole)
    return ax


def _colours(
    images: Float[ndarray, "unit height width channel"],
) -> Float[ndarray, "unit height width rgb"]:
    """Return the colours of weights from -1 to 1."""
    shares = (images + 1) / 2
    if images.shape[3] == 3:
        return shares
    return plt.get_cmap("RdBu_r")(shares[..., 0])[..., :3]
