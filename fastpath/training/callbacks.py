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
    """Number of epochs done, of all phases of a stack."""
    history: list[dict[str, float]]
    """The numbers of each epoch: see `history.DESCRIBED`. On CUDA the numbers of an epoch
    may follow one epoch later."""
    batches: int
    """Number of mini-batches of an epoch."""
    batch: int = 0
    """Number of mini-batches done since the end of the last epoch."""

    @property
    def moment(self) -> float:
        """Number of epochs done, with the fraction of the one under way.

        It is the float nearest to that fraction, so that 3 of 10 mini-batches are 0.3.
        """
        return (self.epoch * self.batches + self.batch) / self.batches


class Callback:
    """Called by `training.loop.train`: override what is needed.

    In a team of processes only the main process calls. A callback must draw no random
    numbers and change no weights, or the result depends on it.
    """

    def on_train_begin(self, progress: Progress) -> None:
        """Act once, before the first epoch or after those that a checkpoint holds."""

    def on_batch_end(self, progress: Progress) -> None:
        """Act after each mini-batch on the CPU, the last of an epoch included.

        It is not called on CUDA, where an epoch is one graph.
        """

    def on_epoch_end(self, progress: Progress) -> None:
        """Act after each epoch."""


class EachEpoch(Callback):
    """Calls a function with the number of epochs done, from 1, and the layer."""

    def __init__(self, function: Callable[[int, Any], Any]) -> None:
        self._function = function

    def on_epoch_end(self, progress: Progress) -> None:
        """Call the function."""
        self._function(progress.epoch, progress.layer)
