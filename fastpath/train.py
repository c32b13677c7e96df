"""The unsupervised loop: epochs of shuffled mini-batches through one layer."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from fastpath import checkpoint
from fastpath.competition import Competition, Equilibrium, Ranking, Soft
from fastpath.distributed import Team
from fastpath.graph import Replayed
from fastpath.layers import Dense
from fastpath.machine import enough_threads
from fastpath.plasticity import Normalize, annealed
from fastpath.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of `train`: the published ones, but for the number of epochs.

    0 epochs leave the random start as it is: the control of every learning result.
    """

    epochs: int = 100
    batch_size: int = 100
    lr: float = 0.04
    """ε of the first epoch, annealed linearly towards 0."""
    normalize: Normalize = "max"
    """"max": the largest change of one mini-batch is ε; None: plain ε (strictly local)."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 1)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}: at least {least} is needed")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"lr is {self.lr}: the step size must be positive and finite")


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where and how often `train` saves its state, at the end of an epoch."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    """What the training is: one with another configuration does not go on from it."""
    epochs: int | None = None
    """Save after so many epochs."""
    minutes: float | None = 5.0
    """Save at the end of an epoch when so many minutes have passed."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"checkpoint epochs is {self.epochs}: at least 1 is needed")
        if self.minutes is not None and not self.minutes >= 0:
            raise ValueError(f"checkpoint minutes is {self.minutes}: 0 or more is needed")

    @property
    def path(self) -> Path:
        """The file of the checkpoint."""
        return self.folder / checkpoint.CHECKPOINT

    def due(self, epoch: int, since: float) -> bool:
        """Tell whether to save after this epoch, `since` seconds after the last time."""
        by_epoch = self.epochs is not None and epoch % self.epochs == 0
        return by_epoch or (self.minutes is not None and since >= 60 * self.minutes)


def train(
    layer: Dense,
    x: UInt8[Tensor, "image *shape"],
    *,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    team: Team | None = None,
) -> xr.Dataset:
    """Train `layer` in place on images x, reshuffled every epoch; return its history.

    The images stay uint8 on the layer's device; each mini-batch is preprocessed as it is
    used. The order of the images comes from `generator` (on the CPU) alone: the same seed
    gives the same weights on the same machine with the same number of threads.

    With `checkpoints`, the state is saved as they say and at the end; where their folder
    already holds a checkpoint, training goes on from there, and ends with the same weights
    bit for bit. In a `team`, each process calls this with the same arguments.

    Returns
    -------
    xr.Dataset
        Per epoch (dim `epoch`): lr, norm_mean, norm_max (p-norm of the rows), learning
        (share of units whose weights changed), images_per_second.

    Raises
    ------
    ValueError
        If the weights diverge, the batch is larger than the set, or the checkpoint is
        damaged or of another configuration.
    ConnectionError
        If another process of the team is lost.
    """
    if training.batch_size > len(x):
        raise ValueError(
            f"batch_size is {training.batch_size}, but there are only {len(x)} images: "
            f"give at most {len(x)}"
        )
    log = _Log(layer, len(x))
    if checkpoints is not None:
        _go_on(layer, generator, log, checkpoints, team)
    leader = team is None or team.rank == 0
    flop = 2 * training.batch_size * layer.weights.numel()
    with (
        enough_threads(flop / (team.size if team else 1)),
        tqdm(
            total=training.epochs * len(x),
            initial=len(log.entries) * len(x),
            unit="img",
            unit_scale=True,
            desc="training",
            disable=None if progress and leader else True,  # None: only on a terminal
        ) as bar,
    ):
        run_epoch = _epoch(
            layer, x, competition, training, preprocess, mean, team, bar.update
        )
        if checkpoints is not None and leader and not log.entries:
            _save(layer, generator, log, checkpoints)
        saved = time.monotonic()
        for epoch in range(len(log.entries), training.epochs):
            before = layer.weights.clone()
            lr = annealed(training.lr, epoch=epoch, num_epochs=training.epochs)
            run_epoch(torch.randperm(len(x), generator=generator), lr)
            log.add(lr, before)
            done = epoch + 1
            due = done == training.epochs
            if checkpoints is not None and leader:
                due |= checkpoints.due(done, time.monotonic() - saved)
            # On CUDA the host is an epoch ahead, so that the device never waits for it.
            try:
                log.read(but=0 if due else 1)
            except ValueError:
                if checkpoints is not None and leader:  # it would diverge again from there
                    checkpoints.path.unlink(missing_ok=True)
                raise
            if checkpoints is not None and leader and due:
                _save(layer, generator, log, checkpoints)
                saved = time.monotonic()
    return _as_dataset(log.entries)


def _epoch(
    layer: Dense,
    x: UInt8[Tensor, "image *shape"],
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    team: Team | None,
    count: Callable[[int], Any],
) -> Callable[[Int[Tensor, " image"], float], None]:
    """Return a function that runs one epoch, given the order of the images and ε."""
    flat, mean = x.flatten(1), mean.to(layer.weights.dtype)

    def epoch(order: Int[Tensor, " image"], lr: Float[Tensor, ""] | float) -> None:
        for batch in order.split(training.batch_size):
            layer.learn(
                layer.prepare(flat, batch, preprocess, mean),
                competition,
                lr=lr,
                normalize=training.normalize,
                team=team,
            )
            if not x.is_cuda:
                count(len(batch))

    if not x.is_cuda:
        return epoch
    # A competition of the user's may wait for the device, which no graph can hold.
    known = isinstance(competition, Ranking | Equilibrium | Soft)
    replayed = None
    if known and team is None and training.epochs:
        replayed = Replayed(epoch, len(x), changed=[*layer.state.values()])

    def on_device(order: Int[Tensor, " image"], lr: float) -> None:
        if replayed is None:
            epoch(order.to(x.device), lr)
        else:
            replayed(order, lr)
        count(len(x))

    return on_device


class _Log:
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


def _save(
    layer: Dense, generator: torch.Generator, log: _Log, checkpoints: Checkpoints
) -> None:
    history = {
        name: torch.tensor([entry[name] for entry in log.entries], dtype=torch.float64)
        for name in DESCRIBED
    }
    state = checkpoint.State(
        len(log.entries), log.limit, layer.state, generator.get_state(), history
    )
    checkpoint.save_state(checkpoints.path, state, checkpoints.config)


def _go_on(
    layer: Dense,
    generator: torch.Generator,
    log: _Log,
    checkpoints: Checkpoints,
    team: Team | None,
) -> None:
    """Put everything where the checkpoint left it, if there is one."""
    state = None
    if (team is None or team.rank == 0) and checkpoints.path.exists():
        state, config = checkpoint.load_state(checkpoints.path)
        checkpoint.check_same(config, checkpoints.config, checkpoints.path)
    if team is not None:
        state = team.tell(state)
    if state is None:
        return
    for name, tensor in layer.state.items():
        tensor.copy_(state.layer[name])
    generator.set_state(state.generator)
    log.limit = state.limit
    columns = [state.history[name].tolist() for name in DESCRIBED]
    log.entries = [
        dict(zip(DESCRIBED, row, strict=True)) for row in zip(*columns, strict=True)
    ]


DESCRIBED = {
    "lr": ("1", "step size"),
    "norm_mean": ("1", "mean p-norm of the weight rows"),
    "norm_max": ("1", "largest p-norm of a weight row"),
    "learning": ("1", "share of units whose weights changed in the epoch"),
    "images_per_second": ("1/s", "training speed"),
}


def _as_dataset(history: list[dict[str, float]]) -> xr.Dataset:
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
