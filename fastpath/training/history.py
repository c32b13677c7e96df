"""What happened in each epoch of a training, of the layer and of its readout.

Numbers on the device while it runs, then a data set.
"""

import time

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fastpath.layers import Layer

DESCRIBED = {
    "lr": ("1", "step size"),
    "norm_mean": ("1", "mean p-norm of the weight rows"),
    "norm_max": ("1", "largest p-norm of a weight row"),
    "learning": ("1", "share of units whose weights changed in the epoch"),
    "images_per_second": ("1/s", "training speed"),
}

READOUT_DESCRIBED = {
    "head_loss": ("1", "mean loss of the readout's steps in the epoch"),
    "head_error": ("%", "images learned from that were answered wrongly as they came"),
}
CONFUSION = {"units": "1", "long_name": "scored images of a label that got an answer"}


class Log:
    """What happened in each epoch, read from the device when it is there."""

    def __init__(self, layer: Layer, num_images: int, *, cure: str) -> None:
        self.entries: list[dict[str, float]] = []
        largest = (matrix.abs().amax().item() for matrix in matrices(layer))
        self.limit = 2 * max(1.0, *largest)
        self._layer, self._num_images = layer, num_images
        self._before: list[Tensor] = []
        self._cure = cure  # of weights that diverge
        self._pending: list[tuple[float, Tensor, torch.cuda.Event | None]] = []
        self._read = time.perf_counter()

    def begin_epoch(self) -> None:
        """Keep the weights before an epoch."""
        self._before = [matrix.clone() for matrix in matrices(self._layer)]

    def add(self, lr: float) -> None:
        """Ask for the numbers of the epoch that was just launched, over all units."""
        after, before = matrices(self._layer), self._before
        norms = torch.cat([weights.norm(p=self._layer.p, dim=1) for weights in after])
        changed = torch.cat(
            [(a != b).any(dim=1) for a, b in zip(after, before, strict=True)]
        )
        learning = changed.to(norms.dtype).mean()
        largest = torch.stack([weights.abs().amax() for weights in after]).amax()
        numbers = torch.stack([norms.mean(), norms.max(), learning, largest])
        event = None
        if numbers.is_cuda:
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
                    f"weight is {largest:.3g} (limit {self.limit:.3g}). {self._cure}"
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


def matrices(layer: Layer) -> list[Float[Tensor, "unit input"]]:
    """Return the weight matrices of a layer, or those of all layers of a stack."""
    state = layer.state
    named = [name for name in state if name.rpartition(".")[2] == "weights"]
    return [state[name] for name in named] or [layer.weights]


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


class ReadoutLog:
    """What the training of a readout looked like, and what it answers in the end.

    Loss and answers are those of the steps themselves, before each of them: nothing is
    computed for the log but the largest output. They stay on the device until the end.
    """

    def __init__(self) -> None:
        self.confusion: Int[Tensor, "label answer"] | None = None
        """Number of scored images of each label that got each answer."""
        self._epochs: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._answers: list[Tensor] = []

    def step(self, loss: Float[Tensor, ""], output: Float[Tensor, "image class"]) -> None:
        """Note the mean loss of a mini-batch, and its outputs."""
        self._losses.append(loss.detach())
        self._answers.append(output.detach().argmax(dim=1))

    def end_epoch(self, labels: Int[Tensor, " image"]) -> None:
        """Sum up an epoch, given the labels of its images in the order they were seen."""
        losses = torch.stack(self._losses)
        sizes = losses.new_tensor([len(answers) for answers in self._answers])
        wrong = (torch.cat(self._answers) != labels).to(losses.dtype).mean()
        mean = (losses * sizes).sum() / sizes.sum()
        self._epochs.append(torch.stack([mean, 100 * wrong]))
        self._losses, self._answers = [], []

    def as_dataset(self) -> xr.Dataset:
        """Return head_loss and head_error (head_epoch), and confusion (label, answer)."""
        curve = torch.stack(self._epochs).T.tolist()
        dataset = xr.Dataset(
            {
                name: ("head_epoch", values, {"units": units, "long_name": long_name})
                for values, (name, (units, long_name)) in zip(
                    curve, READOUT_DESCRIBED.items(), strict=True
                )
            },
            coords={
                "head_epoch": (
                    "head_epoch",
                    range(1, len(self._epochs) + 1),
                    {"units": "1", "long_name": "epoch of the readout's training"},
                )
            },
        )
        if self.confusion is not None:
            counts = self.confusion.cpu().numpy()
            dataset["confusion"] = (("label", "answer"), counts, CONFUSION)
        return dataset
