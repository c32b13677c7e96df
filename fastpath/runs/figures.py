"""The figures of a finished run: `fastpath plot`.

They are drawn from the files of the run alone, except for those that show how the layers of
a stack respond to images. A new figure is a function, a line in FIGURES and its name in
`storage`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import UInt8
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from fastpath import plots
from fastpath.data.datasets import Images
from fastpath.fonts import drawable
from fastpath.layers import Stack
from fastpath.runs import storage
from fastpath.runs.folder import Saved, open_run
from fastpath.runs.responses import activity_maps, preferred_patches
from fastpath.training.snapshots import UNIT, displayed_units, moment_title
from neurodyn.files import tidy, whole

DPI = 150
# Approximate width in pixels of a mosaic in a figure and in the film. It is approximate
# since each weight is a whole number of pixels wide.
WIDTH, FILM_WIDTH = 900, 600
FRAME_MS, LAST_FRAME_MS = 250, 2500
# Units of a layer and patches of a unit in the figure of patches, test images among which
# they are found, and units of a layer in the figure of activity.
PATCH_UNITS, NUM_PATCHES, PATCH_IMAGES, MAPS = 25, 9, 2000, 16
PANELS = 4  # in a row, at most


class LeftOut(Exception):
    """A figure cannot be drawn; the message is the reason."""


@dataclass(frozen=True)
class Files:
    """The contents of a run's files that figures show."""

    fields: xr.DataArray
    """Final weights (unit, pixel) of the displayed units."""
    snapshots: xr.DataArray | None
    """Weights (epoch, unit, pixel) of these units; `epoch` may have fractions."""
    history: xr.Dataset
    run: Saved
    load_images: Callable[[Saved], Images] | None
    title: str
    families: list[str]
    """Font families that have the characters of the title."""
    errors: dict[str, float]
    """Final errors in percent by name, beginning with the error on the scored images."""

    @property
    def has_sums(self) -> bool:
        """See `folder.Saved`."""
        return self.run.has_sums

    @property
    def field_shape(self) -> tuple[int, ...]:
        """See `folder.Saved`."""
        return self.run.field_shape

    @property
    def stack(self) -> Stack | None:
        """The layer of the run if it is a stack."""
        return self.run.layer if isinstance(self.run.layer, Stack) else None

    @cached_property
    def images(self) -> Images:
        """The images that the run was trained on.

        Raises
        ------
        LeftOut
            If they are not there, or others are.
        """
        if self.load_images is None:
            raise LeftOut("it shows images of the data set, and none are given")
        try:
            return self.load_images(self.run)
        except ValueError as error:
            raise LeftOut(f"it shows images of the data set, and {error}") from error

    @property
    def result(self) -> str:
        """The title with the error on the scored images."""
        parts = [f"{name} {error:.2f} %" for name, error in self.errors.items()]
        return ", ".join([self.title, *parts[:1]])


def open_files(folder: Path, load_images: Callable[[Saved], Images] | None = None) -> Files:
    """Read the folder of a finished run.

    Parameters
    ----------
    folder
        The folder of the run.
    load_images
        Returns the images of the run, or raises ValueError. It is called only if a figure
        needs them [figures that do are left out].

    Raises
    ------
    ValueError
        If the folder holds no finished run, or a file is missing or damaged.
    """
    run = open_run(folder)
    history = storage.load_dataset(folder / storage.HISTORY)
    path = folder / storage.SNAPSHOTS
    snapshots = storage.load_dataset(path) if path.exists() else None
    units = displayed_units(len(run.weights))
    fields = xr.DataArray(
        run.weights[units].numpy(),
        dims=("unit", "pixel"),
        coords={"unit": ("unit", units.numpy(), UNIT)},
    )
    kept = None if snapshots is None else snapshots.get("weights")
    if snapshots is not None and (kept is None or kept.shape[1:] != fields.shape):
        raise ValueError(
            f"{path} holds no weights of {fields.shape} (unit, pixel) at some epochs, as "
            "this run has: is it that of another run?"
        )
    (title,), families = drawable([_title(run.title)])
    errors = {
        name.replace("_", " "): run.metrics[name]
        for name in ("test_error", "validation_error", "train_error")
        if name in run.metrics
    }
    return Files(fields, kept, history, run, load_images, title, families, errors)


def _title(title: str) -> str:
    """Return a title with $ escaped, which matplotlib would read as mathematics."""
    return title.encode("utf-8", "replace").decode().replace("$", r"\$")


def draw(files: Files, out: Path) -> Iterator[str]:
    """Draw the figures of a run into a folder.

    Yields a line on each figure: that it was written, or left out and why. Figures of
    stacks are not mentioned for another layer.

    Raises
    ------
    ValueError
        If a figure cannot be written.
    """
    storage.check_writable(out)
    for name, make in FIGURES.items():
        tidy(out, name)
        try:
            note = make(files, out / name)
        except LeftOut as left_out:
            (out / name).unlink(missing_ok=True)  # that of another run
            if str(left_out) != NO_STACK:
                yield f"left out {out / name}: {left_out}"
        else:
            yield f"wrote {out / name}" + (f": {note}" if note else "")


def draw_fields(files: Files, path: Path) -> None:
    """Draw the receptive fields of the lowest layer that learns."""
    _check_colours(files.field_shape)
    _save(_mosaic_figure(files, files.fields, files.result, WIDTH), path)


def draw_training(files: Files, path: Path) -> None:
    """Draw norms, dead units and learning rate over epochs."""
    _check_kept(files.history, "norm_mean", "norm_max", "learning", "lr")
    if not files.history.sizes["epoch"]:
        raise LeftOut("the run has 0 epochs of training")
    figure = Figure(figsize=(6, 7.5), dpi=DPI, layout="constrained")
    axes = figure.subplots(3, sharex=True, height_ratios=(2, 1, 1))
    plots.weight_norms(files.history, axes[0]).set(xlabel="")
    axes[0].set_title(files.title, fontfamily=files.families)
    plots.dead_units(files.history["learning"], axes[1]).set_xlabel("")
    plots.step_size(files.history["lr"], axes[2])
    _save(figure, path)


def draw_curve(files: Files, path: Path) -> None:
    """Draw loss and error of the readout in each epoch."""
    _check_kept(files.history, "head_loss", "head_error")
    figure = Figure(figsize=(6, 6), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, sharex=True)
    plots.readout_loss(files.history["head_loss"], axes[0]).set(xlabel="")
    axes[0].set_title(files.title, fontfamily=files.families)
    plots.readout_error(files.history["head_error"], axes[1], final=files.errors)
    _save(figure, path)


def draw_confusion(files: Files, path: Path) -> None:
    """Draw the confusion matrix of the scored images."""
    _check_kept(files.history, "confusion")
    counts = files.history["confusion"]
    inches = min(16.0, max(6.0, 3.5 + 0.4 * counts.sizes["label"]))
    figure = Figure(figsize=(inches, 0.85 * inches), dpi=DPI, layout="constrained")
    ax = plots.confusion(counts, figure.subplots())
    ax.set_title(files.result, fontfamily=files.families)
    _save(figure, path)


def draw_film(files: Files, path: Path) -> str | None:
    """Write a GIF of the fields with a frame for each snapshot.

    Returns a note if there are two frames only, as after one epoch on CUDA.
    """
    weights = files.snapshots
    if weights is None:
        raise LeftOut("the run kept no snapshots (see `fastpath train --snapshots`)")
    if weights.sizes["epoch"] < 2:
        raise LeftOut("the run kept a single snapshot, in which nothing moves")
    _check_colours(files.field_shape)
    frames = [
        _frame(_mosaic_figure(files, fields, moment_title(float(epoch)), FILM_WIDTH))
        for epoch, fields in zip(weights["epoch"], weights, strict=True)
    ]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    with whole(path) as part:
        frames[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
        )
    return None if len(frames) > 2 else "2 frames, the start and the end of training"


def draw_patches(files: Files, path: Path) -> None:
    """Draw the patches of test images that drive units of the deeper layers most."""
    stack = _stack(files)
    if len(stack.learners) < 2:
        raise LeftOut(
            f"the stack has one layer that learns, whose fields are in {storage.FIELDS}"
        )
    _check_colours(files.run.image_shape)
    x = _test_images(files)
    x = x[displayed_units(len(x), most=PATCH_IMAGES)]
    try:
        of_layers = preferred_patches(
            stack,
            x,
            files.run.preprocess,
            num_units=PATCH_UNITS,
            num_patches=NUM_PATCHES,
        )
    except ValueError as error:
        raise LeftOut(str(error)) from error
    figure, axes = _panels(len(of_layers), width=4.5, height=4.6)
    for ax, (number, found) in zip(axes, of_layers.items(), strict=True):
        patches = found["patches"]
        plots.patches(patches, ax)
        height, width = shape = patches.shape[2:4]
        fields = f"{height} x {width} pixels" if shape != x.shape[1:3] else "whole images"
        of = f"{patches.sizes['unit']} of {stack.settings.sizes[number - 1]} units"
        ax.set_title(f"layer {number}: {of}, {fields}", fontsize=9)
    what = f"what drives a unit most: {patches.sizes['rank']} of {len(x)} test images"
    _head(figure, files, what)
    _save(figure, path)


def draw_activity(files: Files, path: Path) -> None:
    """Draw the first test image and the most active units of each layer."""
    stack = _stack(files)
    _check_colours(files.run.image_shape)
    image = _test_images(files)[0]
    of_layers = activity_maps(stack, image, files.run.preprocess, num_units=MAPS)
    figure, axes = _panels(1 + len(of_layers), width=4.2, height=3.3)
    shown = image.numpy()
    axes[0].imshow(shown, cmap="gray", vmin=0, vmax=255, **plots.UPRIGHT)
    axes[0].set_axis_off()
    axes[0].set_title("first test image", fontsize=9)
    for ax, (number, maps) in zip(axes[1:], of_layers.items(), strict=True):
        plots.activity(maps, ax)
        of = stack.settings.sizes[number - 1]
        ax.set_title(f"layer {number}: {len(maps)} of {of} units", fontsize=9)
    _head(figure, files, "most active units for one image")
    _save(figure, path)


# The function that draws each figure. It may return a note on what it has drawn.
FIGURES: dict[str, Callable[[Files, Path], str | None]] = {
    storage.FIELDS: draw_fields,
    storage.TRAINING: draw_training,
    storage.CURVE: draw_curve,
    storage.CONFUSION: draw_confusion,
    storage.FILM: draw_film,
    storage.PATCHES: draw_patches,
    storage.ACTIVITY: draw_activity,
}
NO_STACK = "the layer is no stack"


def _stack(files: Files) -> Stack:
    if files.stack is None:
        raise LeftOut(NO_STACK)
    return files.stack


def _test_images(files: Files) -> UInt8[Tensor, "image height width channel"]:
    return torch.from_numpy(files.images.x_test)


def _check_colours(shape: tuple[int, ...]) -> None:
    if not plots.can_show(shape):
        raise LeftOut(f"images of {shape[-1]} channels cannot be shown: only 1 or 3 can")


def _check_kept(history: xr.Dataset, *names: str) -> None:
    """Check that a history, which may be of an older version, holds these variables."""
    if missing := [name for name in names if name not in history]:
        raise LeftOut(f"{storage.HISTORY} holds no {', '.join(missing)}")


def _head(figure: Figure, files: Files, what: str) -> None:
    """Write the title of the run above a figure, and below it what is shown."""
    text = f"{files.title}\n{what}"
    figure.suptitle(text, fontsize=9, fontfamily=files.families)


def _panels(number: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels of this size in inches, in rows of up to PANELS."""
    rows = math.ceil(number / PANELS)
    columns = math.ceil(number / rows)
    size = width * columns, height * rows + 0.5
    figure = Figure(figsize=size, dpi=DPI, layout="compressed")
    axes = [*figure.subplots(rows, columns, squeeze=False).flat]
    for ax in axes[number:]:
        ax.remove()
    return figure, axes[:number]


def _mosaic_figure(files: Files, fields: xr.DataArray, title: str, near: int) -> Figure:
    """Return a figure of fields, a mosaic about `near` pixels wide."""
    shape = files.field_shape
    times = plots.enlargement(shape)
    height, width, _ = plots.mosaic(fields, shape, times=times).shape
    scale = max(1, round(near / width))
    strip, edge = 46, 10  # pixels for the title above, and around the fields
    size = np.array([scale * width + 2 * edge, scale * height + strip + edge])
    figure = Figure(figsize=tuple(size / DPI), dpi=DPI)
    figure.set_layout_engine("none")
    box = np.array([edge, edge, scale * width, scale * height])
    ax = figure.add_axes(tuple(box / np.tile(size, 2)))
    plots.receptive_fields(fields, shape, ax, times=times)
    ax.set_title(title, fontsize=9, fontfamily=files.families)
    return figure


def _frame(figure: Figure) -> Image.Image:
    """Return a figure as an image with its own palette of 256 colours, dithered."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # An octree finds colours as good as those of k-means, in a hundredth of the time.
    return drawn.quantize(palette=drawn.quantize(method=Image.Quantize.FASTOCTREE))


def _save(figure: Figure, path: Path) -> None:
    as_laid_out = {"savefig.bbox": None, "savefig.dpi": "figure"}
    with whole(path) as part, rc_context(as_laid_out):
        figure.savefig(part, format="png")
