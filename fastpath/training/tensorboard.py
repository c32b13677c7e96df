"""TensorBoard events of a run, written while it trains: `tensorboard --logdir RUN`."""

import os
import socket
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from fastpath.training.callbacks import Callback, Progress
from fastpath.training.snapshots import Snapshots
from neurodyn import files

FOLDER = "tensorboard"


def check_installed() -> None:
    """Raise ValueError if the package tensorboard is not installed."""
    if find_spec("tensorboard") is None:
        raise ValueError(
            "--tensorboard needs the package tensorboard, which is not installed: pip "
            "install 'neurodyn[tensorboard]', or leave the flag out"
        )


def clear(run: Path) -> None:
    """Remove the events of a run."""
    folder = run / FOLDER
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class TensorBoard(Callback):
    """Write the epochs, the receptive fields and the result of a training as events.

    Nothing is written before training begins. Then the folder is emptied, and a run that
    continues from a checkpoint is written again from its start.

    Parameters
    ----------
    run
        The folder of the run.
    field_shape
        (height, width, channel) of the weights of a unit: see `layers.field_shape`.
    snapshots
        The receptive fields to write, of whole epochs: steps are whole numbers.
    """

    def __init__(
        self, run: Path, field_shape: tuple[int, ...], snapshots: Snapshots
    ) -> None:
        self._run, self._field_shape, self._snapshots = run, field_shape, snapshots
        self._events: Events | None = None
        self._epochs, self._drawn = 0, set[float]()

    def on_train_begin(self, progress: Progress) -> None:
        """Write the epochs that a checkpoint restored."""
        self._write(progress.history)

    def on_epoch_end(self, progress: Progress) -> None:
        """Write the new entries of the history and the new snapshots.

        Raises
        ------
        ValueError
            If the file cannot be written, because the disk is full for instance.
        """
        self._write(progress.history)

    def _write(self, history: list[dict[str, float]]) -> None:
        events = self._opened()
        for number, entry in enumerate(history[self._epochs :], self._epochs + 1):
            for name, value in entry.items():
                events.scalar(f"training/{name}", value, number)
            events.scalar("training/dead", 1 - entry["learning"], number)
        self._epochs = len(history)
        whole = {moment for moment in self._snapshots.kept if moment.is_integer()}
        for moment in sorted(whole - self._drawn):
            self._draw(self._snapshots.as_dataset(moment).weights[0])
            self._drawn.add(moment)

    def _draw(self, fields: xr.DataArray) -> None:
        from fastpath import plots  # imports matplotlib, which is slow

        if not plots.can_show(self._field_shape):
            return
        mosaic = plots.mosaic(fields, self._field_shape)
        number = int(fields["epoch"])
        self._opened().image("receptive_fields", mosaic, number)

    def finish(self, history: xr.Dataset, metrics: dict[str, Any]) -> None:
        """Write the loss and error of the readout in each epoch, and the final metrics."""
        events = self._opened()
        for name in ("head_loss", "head_error"):
            tag = name.replace("head_", "readout/")
            for number, value in zip(
                history["head_epoch"].values, history[name].values, strict=True
            ):
                events.scalar(tag, value, int(number))
        for name, value in metrics.items():
            events.scalar(f"metrics/{name}", value, history.sizes["epoch"])

    def close(self) -> None:
        """Close the file of events."""
        if self._events is not None:
            self._events.close()

    def _opened(self) -> "Events":
        if self._events is None:
            clear(self._run)
            self._events = Events(self._run / FOLDER)
        return self._events


class Events:
    """A file of events, each written to disk at once.

    PyTorch's own writer uses a thread, which ends with a traceback when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        name = (
            f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        )
        self._path = folder / name
        try:
            folder.mkdir(exist_ok=True)
            self._file = self._path.open("xb")
        except OSError as error:
            raise files.refused(self._path, error) from error
        self._write(file_version="brain.Event:2")

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        from torch.utils.tensorboard import summary

        self._write(step=step, summary=summary.scalar(tag, value))

    def image(
        self, tag: str, pixels: Float[np.ndarray, "height width channel"], step: int
    ) -> None:
        """Write a picture."""
        from torch.utils.tensorboard import summary

        self._write(step=step, summary=summary.image(tag, pixels, dataformats="HWC"))

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        # pyrefly: ignore [missing-attribute]
        event = event_pb2.Event(wall_time=time.time(), **content)
        try:
            RecordWriter(self._file).write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise files.refused(self._path, error) from error

    def close(self) -> None:
        """Close the file; on a full disk the events not yet written are lost."""
        with suppress(OSError):
            self._file.close()
