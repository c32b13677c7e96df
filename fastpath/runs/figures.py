"""The figures of a finished run, drawn only from its files: `fastpath plot`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fastpath import plots
from fastpath.fonts import drawable
from fastpath.runs import storage
from fastpath.runs.folder import open_run
from fastpath.training.snapshots import UNIT, displayed_units
from neurodyn.files import tidy, whole

DPI = 150
# Approximate width in pixels of a mosaic in a figure and in the film. It is approximate
# since each weight is a whole number of pixels wide.
WIDTH, FILM_WIDTH = 900, 600
FRAME_MS, LAST_FRAME_MS = 250, 2500


@dataclass(frozen=True)
class Files:
    """The contents of a run's files that figures show."""

    fields: xr.DataArray
    """Final weights (unit, pixel) of the displayed units."""
    snapshots: xr.DataArray | None
    """Weights (epoch, unit, pixel) of these units during training."""
    history: xr.Dataset
    image_shape: tuple[int, ...]
    title: str
    families: list[str]
    """Font families that have the characters of the title."""
    errors: dict[str, float]
    """Final errors in percent by name, beginning with the error on the scored images."""
    has_sums: bool
    """See `folder.Saved`."""

    @property
    def result(self) -> str:
        """The title with the error on the scored images."""
        parts = [f"{name} {error:.2f} %" for name, error in self.errors.items()]
        return ", ".join([self.title, *parts[:1]])


def open_files(folder: Path) -> Files:
    """Read the folder of a finished run.

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
    return Files(
        fields, kept, history, run.image_shape, title, families, errors, run.has_sums
    )


def _title(title: str) -> str:
    """Return a title with $ escaped, which matplotlib would read as mathematics."""
    return title.encode("utf-8", "replace").decode().replace("$", r"\$")


def draw(files: Files, out: Path) -> Iterator[tuple[Path, str | None]]:
    """Draw the figures of a run into a folder.

    Yields the path of each figure, with None, or the reason if the figure was left out.

    Raises
    ------
    ValueError
        If a figure cannot be written.
    """
    storage.check_writable(out)
    for name, make in (
        (storage.FIELDS, draw_fields),
        (storage.TRAINING, draw_training),
        (storage.CURVE, draw_curve),
        (storage.CONFUSION, draw_confusion),
        (storage.FILM, draw_film),
    ):
        tidy(out, name)
        left_out = make(files, out / name)
        if left_out is not None:  # remove the figure of another run
            (out / name).unlink(missing_ok=True)
        yield out / name, left_out


def draw_fields(files: Files, path: Path) -> str | None:
    """Draw the receptive fields of the trained layer, or return why not."""
    if not plots.can_show(files.image_shape):
        return _no_colours(files)
    _save(_mosaic_figure(files, files.fields, files.result, WIDTH), path)
    return None


def draw_training(files: Files, path: Path) -> str | None:
    """Draw norms, dead units and learning rate over epochs, or return why not."""
    if reason := _missing(files.history, "norm_mean", "norm_max", "learning", "lr"):
        return reason
    if not files.history.sizes["epoch"]:
        return "the run has 0 epochs of training"
    figure = Figure(figsize=(6, 7.5), dpi=DPI, layout="constrained")
    axes = figure.subplots(3, sharex=True, height_ratios=(2, 1, 1))
    plots.weight_norms(files.history, axes[0]).set(xlabel="")
    axes[0].set_title(files.title, fontfamily=files.families)
    plots.dead_units(files.history["learning"], axes[1]).set_xlabel("")
    plots.step_size(files.history["lr"], axes[2])
    _save(figure, path)
    return None


def draw_curve(files: Files, path: Path) -> str | None:
    """Draw loss and error of the readout in each epoch, or return why not."""
    if reason := _missing(files.history, "head_loss", "head_error"):
        return reason
    figure = Figure(figsize=(6, 6), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, sharex=True)
    plots.readout_loss(files.history["head_loss"], axes[0]).set(xlabel="")
    axes[0].set_title(files.title, fontfamily=files.families)
    plots.readout_error(files.history["head_error"], axes[1], final=files.errors)
    _save(figure, path)
    return None


def draw_confusion(files: Files, path: Path) -> str | None:
    """Draw the confusion matrix of the scored images, or return why not."""
    if reason := _missing(files.history, "confusion"):
        return reason
    counts = files.history["confusion"]
    inches = min(16.0, max(6.0, 3.5 + 0.4 * counts.sizes["label"]))
    figure = Figure(figsize=(inches, 0.85 * inches), dpi=DPI, layout="constrained")
    ax = plots.confusion(counts, figure.subplots())
    ax.set_title(files.result, fontfamily=files.families)
    _save(figure, path)
    return None


def draw_film(files: Files, path: Path) -> str | None:
    """Write a GIF of the fields with a frame for each snapshot, or return why not."""
    weights = files.snapshots
    if weights is None:
        return "the run kept no snapshots (see `fastpath train --snapshots`)"
    if weights.sizes["epoch"] < 2:
        return "the run kept a single snapshot, in which nothing moves"
    if not plots.can_show(files.image_shape):
        return _no_colours(files)
    frames = [
        _frame(_mosaic_figure(files, fields, f"epoch {int(fields['epoch'])}", FILM_WIDTH))
        for fields in weights
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
    return None


def _no_colours(files: Files) -> str:
    return f"images of {files.image_shape[-1]} channels cannot be shown: only 1 or 3 can"


def _missing(history: xr.Dataset, *names: str) -> str | None:
    """Return a message if a history, of an older version, lacks variables."""
    missing = [name for name in names if name not in history]
    return f"{storage.HISTORY} holds no {', '.join(missing)}" if missing else None


def _mosaic_figure(files: Files, fields: xr.DataArray, title: str, near: int) -> Figure:
    """Return a figure of fields, a mosaic about `near` pixels wide."""
    height, width, _ = plots.mosaic(fields, files.image_shape).shape
    scale = max(1, round(near / width))
    strip, edge = 46, 10  # pixels for the title above, and around the fields
    size = np.array([scale * width + 2 * edge, scale * height + strip + edge])
    figure = Figure(figsize=tuple(size / DPI), dpi=DPI)
    figure.set_layout_engine("none")
    box = np.array([edge, edge, scale * width, scale * height])
    ax = figure.add_axes(tuple(box / np.tile(size, 2)))
    plots.receptive_fields(fields, files.image_shape, ax)
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
