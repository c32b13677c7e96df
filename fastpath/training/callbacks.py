"""Callbacks of a training: base of snapshots, TensorBoard and of functions of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastpath.layers import Layer


@dataclass
class Progress:
    """The state of a training, as callbacks see it."""

    layer: Layer
    epoch: int
    """Number of epochs done."""
    history: list[dict[str, float]]
    """The numbers of each epoch: see `history.DESCRIBED`. On CUDA the numbers of an epoch
    may follow one epoch later."""


class Callback:
    """Called by `training.loop.train`: override what is needed.

    In a team of processes only the main process calls. A callback must draw no random
    numbers and change no weights, or the result depends on it.
    """

    def on_train_begin(self, progress: Progress) -> None:
        """Act once, before the first epoch or after those that a checkpoint holds."""

    def on_epoch_end(self, progress: Progress) -> None:
        """Act after each epoch."""


class EachEpoch(Callback):
    """Calls a function with the number of epochs done, from 1, and the layer."""

    def __init__(self, function: Callable[[int, Any], Any]) -> None:
        self._function = function

    def on_epoch_end(self, progress: Progress) -> None:
        """Call the function."""
        self._function(progress.epoch, progress.layer)
