"""Receptive fields as they form: the weights of some units, at some epochs."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Float16, Int
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.training.callbacks import Callback, Progress

NUM_UNITS = 100  # as many as a picture of 10 x 10 shows


def check_number(num: int) -> None:
    """Raise ValueError unless so many epochs can be kept: none, or both ends at least."""
    num = checks.whole("snapshots", num)
    if num < 0 or num == 1:
        raise ValueError(
            f"snapshots is {num}: 0 (keep none) or at least 2 (the start and the end) is "
            "needed"
        )


@isolated(numpy=True)
def snapshot_epochs(num: int, last: int) -> list[int]:
    """Return `num` different epochs from 0 to `last`, log-spaced where there are enough.

    Fields form in the first epochs and are polished in the rest. Both ends are among them;
    where there are fewer epochs than that, all are.
    """
    check_number(num)
    last = checks.count("last", last, least=0)
    num = min(checks.whole("snapshots", num), last + 1)
    if num < 2:
        return [0] if num else []
    epochs = [0]
    for wanted in np.geomspace(last, 1, num - 1)[::-1]:  # a single one is the last
        epochs.append(max(epochs[-1] + 1, round(wanted)))
    return epochs


@isolated()
def displayed_units(
    num_units: int, device: torch.device | str = "cpu"
) -> Int[Tensor, " displayed"]:
    """Return the units to look at: all, or NUM_UNITS evenly spaced."""
    num = min(num_units, NUM_UNITS)
    return torch.arange(num, device=device) * num_units // num


class Snapshots(Callback):
    """The weights of some units (`displayed_units`) at some epochs; 0 is the start.

    They are rounded to float16, 0.05 % of each weight: weights range from 4 at the start,
    N(0, 1), to 10^-4 after training. They stay on the device of the weights, so that a
    snapshot does not wait for the device.
    """

    def __init__(self, epochs: Sequence[int] = ()) -> None:
        self.epochs = frozenset(checks.count("epoch", n, least=0) for n in epochs)
        self.kept: dict[int, Float16[Tensor, "displayed pixel"]] = {}
        self.num_units = 0

    def on_train_begin(self, progress: Progress) -> None:
        """Keep the start; a checkpoint has brought back those of later epochs."""
        self.num_units = len(progress.layer.weights)
        if progress.epoch == 0:
            self.take(progress.layer.weights, 0)

    def on_epoch_end(self, progress: Progress) -> None:
        """Keep the weights after this epoch, if it is among those to keep."""
        self.take(progress.layer.weights, progress.epoch)

    @isolated(grad=False)
    def take(self, weights: Float[Tensor, "unit pixel"], epoch: int) -> None:
        """Keep the weights after this epoch, if it is among those to keep."""
        self.num_units = len(weights)
        if epoch in self.epochs:
            units = displayed_units(len(weights), weights.device)
            self.kept[int(epoch)] = weights[units].half()

    @isolated(grad=False, numpy=True)
    def as_dataset(self, *epochs: int) -> xr.Dataset:
        """Return what was kept, labelled: weights (epoch, unit, pixel) in float32.

        Of these epochs, or of all.
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
