"""The unsupervised loop: epochs of shuffled mini-batches through one layer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.compute import enough_threads
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Layer
from fastpath.plasticity import Normalize, annealed, check_normalize
from fastpath.training.checkpointing import Checkpoints, Keeper
from fastpath.training.cuda_graph import Replayed
from fastpath.training.distributed import Team
from fastpath.training.history import Log, as_dataset
from fastpath.training.snapshots import Snapshots
from fastpath.training.tensorboard import Board
from neurodyn.progress import progress_bar


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of `train`: the published ones, but for the number of epochs.

    0 epochs leave the random start as it is: the control of every learning result.
    """

    epochs: int = 100
    batch_size: int = 100
    """A set that is smaller than this default is one mini-batch."""
    lr: float = 0.04
    """ε of the first epoch, annealed linearly towards 0."""
    normalize: Normalize = "max"
    """"max": the largest change of one mini-batch is ε; None: plain ε (strictly local)."""

    def __post_init__(self) -> None:
        checks.fields(
            self,
            epochs=functools.partial(checks.count, least=0),
            batch_size=checks.count,
            lr=checks.positive,
            normalize=check_normalize,
        )


def checked_size(given: int, num_images: int, *, default: int | None = None) -> int:
    """Return the images of each update: those of a set smaller than the default are one.

    Raises
    ------
    ValueError
        If another number than the default is more than there are images.
    """
    if given > num_images and given != default:
        raise ValueError(
            f"batch_size is {given}, but there are only {num_images} images: give at most "
            f"{num_images}"
        )
    return min(given, num_images)


@isolated(grad=False, numpy=True)
def train[Kind: Layer](
    layer: Kind,
    x: Num[Tensor, "image *shape"],
    *,
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    generator: torch.Generator,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    snapshots: Snapshots | None = None,
    board: Board | None = None,
    team: Team | None = None,
    watch: Callable[[int, Kind], Any] | None = None,
) -> xr.Dataset:
    """Train `layer` in place on images x, reshuffled every epoch; return its history.

    The images stay uint8 on the layer's device; each mini-batch is preprocessed as it is
    used. The order of the images comes from `generator` (on the CPU) alone: the same seed
    gives the same weights on the same machine with the same number of threads.

    With `checkpoints`, the state is saved as they say and at the end; where their folder
    already holds a checkpoint, training goes on from there, and ends with the same weights
    bit for bit. `snapshots` are filled as they say; a checkpoint holds those so far. A
    `board` is told of every epoch. In a `team`, each process calls this with the same
    arguments, and the first one fills and tells. `watch` is called after each epoch, with
    its number from 1 and the layer.

    Returns
    -------
    xr.Dataset
        Per epoch (dim `epoch`): lr, norm_mean, norm_max (p-norm of the rows), learning
        (share of units whose weights changed), images_per_second.

    Raises
    ------
    ValueError
        If the weights diverge, the batch is larger than the set, the checkpoint is damaged
        or of another configuration, or an argument is something else than it should be.
    ConnectionError
        If another process of the team is lost.
    """
    checks.instance("layer", layer, Layer)
    x = checks.images("x", x)
    competition = checks.competition(competition)
    training = checks.instance("training", training, Training)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    mean = checks.mean_image(mean, x.flatten(1))
    generator = checks.generator(generator)
    checkpoints = checks.optional("checkpoints", checkpoints, Checkpoints)
    snapshots = checks.optional("snapshots", snapshots, Snapshots)
    if training.epochs:
        size, default = training.batch_size, Training.batch_size
        size = checked_size(size, len(x), default=default)
        training = replace(training, batch_size=size)
    leader = team is None or team.rank == 0
    log = Log(layer, len(x), cure=_against_divergence(competition, training))
    if snapshots is None or not leader:
        snapshots = Snapshots()  # keeps none
    follow = board.follow if board is not None and leader else lambda *_: None
    snapshots.take(layer.weights, epoch=0)
    keeper = Keeper(layer, generator, log, snapshots, checkpoints, leader=leader)
    keeper.go_on(team)
    follow(log.entries, snapshots)
    flop = 2 * training.batch_size * layer.weights.numel() / (team.size if team else 1)
    with (
        enough_threads(flop),
        progress_bar(
            training.epochs * len(x),
            initial=len(log.entries) * len(x),
            what="training",
            unit="img",
            wanted=progress and leader,
        ) as advance,
    ):
        run_epoch = _epoch(layer, x, competition, training, preprocess, mean, team, advance)
        for epoch in range(len(log.entries), training.epochs):
            before = layer.weights.clone()
            lr = annealed(training.lr, epoch=epoch, num_epochs=training.epochs)
            run_epoch(torch.randperm(len(x), generator=generator), lr)
            log.add(lr, before)
            snapshots.take(layer.weights, epoch + 1)
            keeper.after(epoch + 1, last=epoch + 1 == training.epochs)
            follow(log.entries, snapshots)
            if watch is not None:
                watch(epoch + 1, layer)
    return as_dataset(log.entries)


def _against_divergence(competition: Competition, training: Training) -> str:
    """Return what could keep the weights from diverging, of what is not so already."""
    delta, anti = (getattr(competition, name, 0) for name in ("delta", "anti"))
    cure = "Lower " + "delta (the anti-Hebbian push away from norm 1) or " * bool(delta)
    cure += "lr (the step size)" + ", or leave out anti" * bool(anti)
    return cure + ", or set normalize to max" * (training.normalize is None)


def _epoch(
    layer: Layer,
    x: Num[Tensor, "image *shape"],
    competition: Competition,
    training: Training,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    team: Team | None,
    count: Callable[[int], Any],
) -> Callable[[Int[Tensor, " image"], float], None]:
    """Return a function that runs one epoch, given the order of the images and ε."""
    x, mean = x.contiguous(), mean.to(layer.weights.dtype).contiguous()

    def epoch(order: Int[Tensor, " image"], lr: Float[Tensor, ""] | float) -> None:
        for batch in order.split(training.batch_size):
            layer.learn(
                layer.prepare(x, batch, preprocess, mean),
                competition,
                lr=lr,
                normalize=training.normalize,
                team=team,
            )
            if not x.is_cuda:
                count(len(batch))

    if not x.is_cuda:
        return epoch
    # What is the user's own may wait for the device, which no graph can hold.
    known = getattr(competition, "capturable", False) and type(preprocess) is Preprocess
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
