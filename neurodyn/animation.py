"""Animations of traces, written to files."""

from pathlib import Path

import xarray as xr
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from neurodyn import files, plots, traces

__all__ = ["weight_evolution"]


def weight_evolution(
    weights: xr.DataArray,
    image_shape: tuple[int, ...],
    path: Path | str,
    *,
    frames_per_second: float = 8.0,
) -> Path:
    """Write the changes of receptive fields to an animated GIF, whole or not at all.

    Each presentation is a frame, drawn by `plots.receptive_fields`. A unit has one scale in
    all frames. Frames are kept in memory until written: of many presentations, select some.

    Parameters
    ----------
    weights
        Weights (image, unit, pixel) or (snapshot, unit, pixel).
    path
        File to write, ending in .gif; an existing file is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If dims, image shape or speed do not fit, or the file cannot be written.
    """
    path = Path(path)
    if "snapshot" in weights.dims:
        weights = weights.rename(snapshot="image")
    if sorted(map(str, weights.dims)) != ["image", "pixel", "unit"] or not weights.size:
        raise ValueError(
            f"weights have sizes {dict(weights.sizes)}: one or more of image, unit and "
            "pixel are needed, and no other dim (select one trial)"
        )
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{path} does not end in .gif: only GIF is written")
    if not 0.01 <= frames_per_second <= 50:
        raise ValueError(f"frames_per_second is {frames_per_second}: GIF allows 0.01 to 50")
    figure = Figure(figsize=(4.5, 4.8), dpi=100, layout="constrained")
    ax = figure.subplots()
    scale = abs(weights).max(("image", "pixel"))
    first = weights.isel(image=0)
    plots.receptive_fields(first, image_shape, ax, scale=scale)  # refuses a wrong shape
    traces.check_writable(path)
    # fps may be any number, though its annotation asks for an integer.
    writer = PillowWriter(fps=frames_per_second)  # pyrefly: ignore[bad-argument-type]
    with (
        files.whole(path, ending=".gif") as part,
        writer.saving(figure, str(part), dpi=100),
    ):
        for index, image in enumerate(weights["image"].values):
            ax.clear()
            frame = weights.isel(image=index)
            plots.receptive_fields(frame, image_shape, ax, scale=scale)
            ax.set_title(f"presentation {image}")
            writer.grab_frame()
    return path
