"""Snapshots of receptive fields during training: weights of some units at some moments."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Float16, Int
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.training.callbacks import Callback, Progress

NUM_UNITS = 100  # fills a figure of 10 x 10 fields


def check_number(num: int) -> None:
    """Raise ValueError unless the number of snapshots is 0, or at least 2."""
    num = checks.whole("snapshots", num)
    if num < 0 or num == 1:
        raise ValueError(
            f"snapshots is {num}: 0 (keep none) or at least 2 (the start and the end) is "
            "needed"
        )


@isolated(numpy=True)
def snapshot_moments(num: int, epochs: int, batches: int) -> list[float]:
    """Return `num` different moments of a training, the start and the end among them.

    They are whole epochs, log-spaced; if there are too few, all of them, and for the rest
    mini-batches of the first epoch, log-spaced too, then of the second, and so on, until
    there are no more. So they are denser at the start, where fields form.

    Parameters
    ----------
    num
        Number of moments: 0, or at least 2.
    epochs
        Number of epochs of the training, of all phases of a stack.
    batches
        Number of mini-batches of an epoch.
    """
    check_number(num)
    epochs = checks.count("epochs", epochs, least=0)
    batches = checks.count("batches", batches)
    moments = [float(epoch) for epoch in _log_spaced(num, epochs)]
    for epoch in range(epochs):
        missing = num - len(moments)
        if missing <= 0:
            break
        within = _log_spaced(min(missing, batches - 1) + 2, batches)[1:-1]
        moments += [(epoch * batches + batch) / batches for batch in within]
    return sorted(moments)


def _log_spaced(num: int, last: int) -> list[int]:
    """Return `num` whole numbers from 0 to `last`, or all if there are fewer."""
    num = min(checks.whole("snapshots", num), last + 1)
    if num < 2:
        return [0] if num else []
    spaced = [0]
    for ideal in np.geomspace(last, 1, num - 1)[::-1]:  # for num = 2, only the last
        spaced.append(max(spaced[-1] + 1, round(ideal)))
    return spaced


def moment_title(moment: float) -> str:
    """Return "epoch 3", or "epoch 0.0667" with three digits within an epoch."""
    if moment.is_integer():
        return f"epoch {moment:.0f}"
    return "epoch " + np.format_float_positional(
        moment, precision=3, fractional=False, trim="-"
    )


@isolated()
def displayed_units(
    num_units: int, device: torch.device | str = "cpu", *, most: int = NUM_UNITS
) -> Int[Tensor, " displayed"]:
    """Return the units that figures show: all, or `most` of them evenly spaced."""
    num = min(num_units, most)
    return torch.arange(num, device=device) * num_units // num


class Snapshots(Callback):
    """Keep the weights of some units (`displayed_units`) at some moments; 0 is the start.

    A moment is a number of epochs done, whole or after a mini-batch: 2.5 is half an epoch
    after the second. On CUDA an epoch is one graph: there only whole epochs are kept.

    Snapshots are rounded to float16, by 0.05 % of each weight at most. Weights range from 4
    at the start, N(0, 1), to 10^-4 after training. Snapshots stay on the device of the
    weights, so that taking one does not wait for the device.
    """

    def __init__(self, moments: Sequence[float | int] = ()) -> None:
        self.moments = frozenset(float(checks.not_negative("epoch", n)) for n in moments)
        self.kept: dict[float, Float16[Tensor, "displayed pixel"]] = {}
        self.num_units = 0

    def on_train_begin(self, progress: Progress) -> None:
        """Keep the initial weights, unless a checkpoint has restored the snapshots.

        Raises
        ------
        ValueError
            If a moment lies within a mini-batch.
        """
        of_epoch = progress.batches
        for moment in sorted(self.moments):
            if round(moment * of_epoch) / of_epoch != moment:
                raise ValueError(
                    f"a snapshot at epoch {moment} falls within a mini-batch: an epoch has "
                    f"{of_epoch} of them, so give n / {of_epoch}"
                )
        self.num_units = len(progress.layer.weights)
        if progress.epoch == 0:
            self.take(progress.layer.weights, 0)

    def on_batch_end(self, progress: Progress) -> None:
        """Keep the weights after this mini-batch if it is in `moments`."""
        if (moment := progress.moment) in self.moments:
            self.take(progress.layer.weights, moment)

    def on_epoch_end(self, progress: Progress) -> None:
        """Keep the weights after this epoch if it is in `moments`."""
        self.take(progress.layer.weights, progress.epoch)

    @isolated(grad=False)
    def take(self, weights: Float[Tensor, "unit pixel"], moment: float | int) -> None:
        """Keep the weights at this moment if it is in `moments`."""
        self.num_units = len(weights)
        if moment in self.moments:
            units = displayed_units(len(weights), weights.device)
            self.kept[float(moment)] = weights[units].half()

    @isolated(grad=False, numpy=True)
    def as_dataset(self, *moments: float) -> xr.Dataset:
        """Return the snapshots at these moments, by default at all.

        The dataset has weights (epoch, unit, pixel) in float32; `epoch` is in float64.
        """
        moments = moments or tuple(sorted(self.kept))
        fields = torch.stack([self.kept[moment].cpu() for moment in moments])
        return xr.Dataset(
            {"weights": (("epoch", "unit", "pixel"), fields.float().numpy(), WEIGHTS)},
            coords={
                "epoch": ("epoch", np.array(moments, dtype=float), EPOCH),
                "unit": ("unit", displayed_units(self.num_units).numpy(), UNIT),
            },
            attrs={"title": "Receptive fields as they form, rounded to float16"},
        )


WEIGHTS = {"units": "1", "long_name": "weights of some units"}
EPOCH = {"units": "1", "long_name": "epochs of training done"}
UNIT = {"units": "1", "long_name": "index of the unit in the layer"}
