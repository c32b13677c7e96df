"""Snapshots of receptive fields during training: weights of some units at some epochs."""

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
def snapshot_epochs(num: int, last: int) -> list[int]:
    """Return `num` different epochs from 0 to `last`, log-spaced where possible.

    They are denser at the start, since fields form in the first epochs. Both ends are
    included. If there are fewer than `num` epochs, all are returned.
    """
    check_number(num)
    last = checks.count("last", last, least=0)
    num = min(checks.whole("snapshots", num), last + 1)
    if num < 2:
        return [0] if num else []
    epochs = [0]
    for spaced in np.geomspace(last, 1, num - 1)[::-1]:  # for num = 2, only the last
        epochs.append(max(epochs[-1] + 1, round(spaced)))
    return epochs


@isolated()
def displayed_units(
    num_units: int, device: torch.device | str = "cpu", *, most: int = NUM_UNITS
) -> Int[Tensor, " displayed"]:
    """Return the units that figures show: all, or `most` of them evenly spaced."""
    num = min(num_units, most)
    return torch.arange(num, device=device) * num_units // num


class Snapshots(Callback):
    """Keep the weights of some units (`displayed_units`) at some epochs; 0 is the start.

    Snapshots are rounded to float16, by 0.05 % of each weight at most. Weights range from 4
    at the start, N(0, 1), to 10^-4 after training. Snapshots stay on the device of the
    weights, so that taking one does not wait for the device.
    """

    def __init__(self, epochs: Sequence[int] = ()) -> None:
        self.epochs = frozenset(checks.count("epoch", n, least=0) for n in epochs)
        self.kept: dict[int, Float16[Tensor, "displayed pixel"]] = {}
        self.num_units = 0

    def on_train_begin(self, progress: Progress) -> None:
        """Keep the initial weights, unless a checkpoint has restored the snapshots."""
        self.num_units = len(progress.layer.weights)
        if progress.epoch == 0:
            self.take(progress.layer.weights, 0)

    def on_epoch_end(self, progress: Progress) -> None:
        """Keep the weights after this epoch if it is in `epochs`."""
        self.take(progress.layer.weights, progress.epoch)

    @isolated(grad=False)
    def take(self, weights: Float[Tensor, "unit pixel"], epoch: int) -> None:
        """Keep the weights after this epoch if it is in `epochs`."""
        self.num_units = len(weights)
        if epoch in self.epochs:
            units = displayed_units(len(weights), weights.device)
            self.kept[int(epoch)] = weights[units].half()

    @isolated(grad=False, numpy=True)
    def as_dataset(self, *epochs: int) -> xr.Dataset:
        """Return the snapshots of these epochs, by default of all.

        The dataset has weights (epoch, unit, pixel) in float32.
        """
        epochs = epochs or tuple(sorted(self.kept))
        fields = torch.stack([self.kept[epoch].cpu() for epoch in epochs])
        return xr.Dataset(
            {"weights": (("epoch", "unit", "pixel"), fields.float().numpy(), WEIGHTS)},
            coords={
                "epoch": ("epoch", list(epochs), EPOCH),
                "unit": ("unit", displayed_units(self.num_units).numpy(), UNIT),
            },
            attrs={"title": "Receptive fields as they form, rounded to float16"},
        )


WEIGHTS = {"units": "1", "long_name": "weights of some units"}
EPOCH = {"units": "1", "long_name": "epochs of training done"}
UNIT = {"units": "1", "long_name": "index of the unit in the layer"}
