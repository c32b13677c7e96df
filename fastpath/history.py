"""What happened in each epoch of a training: numbers on the device, then a data set."""

import time

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fastpath.layers import Dense

DESCRIBED = {
    "lr": ("1", "step size"),
    "norm_mean": ("1", "mean p-norm of the weight rows"),
    "norm_max": ("1", "largest p-norm of a weight row"),
    "learning": ("1", "share of units whose weights changed in the epoch"),
    "images_per_second": ("1/s", "training speed"),
}


class Log:
    """What happened in each epoch, read from the device when it is there."""

    def __init__(self, layer: Dense, num_images: int) -> None:
        self.entries: list[dict[str, float]] = []
        self.limit = 2 * max(1.0, layer.weights.abs().amax().item())
        self._layer, self._num_images = layer, num_images
        self._pending: list[tuple[float, Tensor, torch.cuda.Event | None]] = []
        self._read = time.perf_counter()

    def add(self, lr: float, before: Float[Tensor, "unit pixel"]) -> None:
        """Ask for the numbers of the epoch that was just launched."""
        weights = self._layer.weights
        norms = weights.norm(p=self._layer.p, dim=1)
        learning = (weights != before).any(dim=1).to(weights.dtype).mean()
        numbers = torch.stack([norms.mean(), norms.max(), learning, weights.abs().amax()])
        event = None
        if weights.is_cuda:
            here = torch.empty_like(numbers, device="cpu", pin_memory=True)
            numbers = here.copy_(numbers, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._pending.append((lr, numbers, event))

    def read(self, *, but: int) -> None:
        """Read what is there, and on CUDA wait for all epochs `but` the last so many.

        Raises
        ------
        ValueError
            If the weights have diverged: a weight is not finite, or twice as large as any
            was at the start. They shrink from there towards rows of p-norm 1; anti-Hebbian
            units are pushed away from it, faster and faster, when Δ wins over the +1.
        """
        while self._pending and (len(self._pending) > but or self._pending[0][2] is None):
            lr, numbers, event = self._pending.pop(0)
            if event is not None:
                event.synchronize()
            norm_mean, norm_max, learning, largest = numbers.tolist()
            if not largest <= self.limit:  # also for NaN
                raise ValueError(
                    f"training diverged in epoch {len(self.entries) + 1}: the largest "
                    f"weight is {largest:.3g} (limit {self.limit:.3g}). Lower delta (the "
                    "anti-Hebbian push away from norm 1) or lr (the step size), or use "
                    "normalize='max'"
                )
            now = time.perf_counter()
            self.entries.append(
                {
                    "lr": lr,
                    "norm_mean": norm_mean,
                    "norm_max": norm_max,
                    "learning": learning,
                    "images_per_second": self._num_images / (now - self._read),
                }
            )
            self._read = now


def as_dataset(history: list[dict[str, float]]) -> xr.Dataset:
    """Return what happened in each epoch, labelled."""
    return xr.Dataset(
        {
            name: (
                "epoch",
                [entry[name] for entry in history],
                {"units": units, "long_name": long_name},
            )
            for name, (units, long_name) in DESCRIBED.items()
        },
        coords={
            "epoch": (
                "epoch",
                range(1, len(history) + 1),
                {"units": "1", "long_name": "epoch of training"},
            )
        },
        attrs={"title": "History of unsupervised training"},
    )
