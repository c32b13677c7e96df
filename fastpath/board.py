"""A run as TensorBoard shows it, while it is under way: `tensorboard --logdir RUN`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from fastpath.snapshots import Snapshots

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


def check_installed() -> None:
    """Raise ValueError, with what to do, unless TensorBoard's package is there."""
    if find_spec("tensorboard") is None:
        raise ValueError(
            "--tensorboard needs the package tensorboard, which is not installed: pip "
            "install 'neurodyn[tensorboard]', or leave the flag away"
        )


def clear(run: Path) -> None:
    """Remove the events of a run."""
    folder = run / FOLDER
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class Board:
    """Writes the epochs of a training, its fields and its result as TensorBoard events.

    Nothing is written before the first call of `follow`. Then the folder begins anew: a
    run that goes on from a checkpoint is written again from its start.
    """

    def __init__(self, run: Path, image_shape: tuple[int, ...]) -> None:
        self._run, self._image_shape = run, image_shape
        self._writer: SummaryWriter | None = None
        self._epochs, self._drawn = 0, set[int]()

    def follow(self, epochs: list[dict[str, float]], snapshots: Snapshots) -> None:
        """Write what is new in the list of all epochs so far, and in the snapshots."""
        writer = self._opened()
        for number, entry in enumerate(epochs[self._epochs :], self._epochs + 1):
            for name, value in entry.items():
                writer.add_scalar(f"training/{name}", value, number)
            writer.add_scalar("training/dead", 1 - entry["learning"], number)
        self._epochs = len(epochs)
        for number in sorted(snapshots.kept.keys() - self._drawn):
            self._draw(snapshots.as_dataset(number).weights[0])
            self._drawn.add(number)

    def _draw(self, fields: xr.DataArray) -> None:
        from fastpath import plots  # matplotlib takes its time

        if not plots.can_show(self._image_shape):
            return
        mosaic = plots.mosaic(fields, self._image_shape)
        number = int(fields["epoch"])
        self._opened().add_image("receptive_fields", mosaic, number, dataformats="HWC")

    def finish(self, history: xr.Dataset, metrics: dict[str, Any]) -> None:
        """Write the readout's training and the result."""
        writer = self._opened()
        for name in ("head_loss", "head_error"):
            tag = name.replace("head_", "readout/")
            for number, value in zip(
                history["head_epoch"].values, history[name].values, strict=True
            ):
                writer.add_scalar(tag, value, int(number))
        for name, value in metrics.items():
            writer.add_scalar(f"metrics/{name}", value, history.sizes["epoch"])

    def close(self) -> None:
        """Write what is still held back."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            clear(self._run)
            self._writer = SummaryWriter(self._run / FOLDER)
        return self._writer
