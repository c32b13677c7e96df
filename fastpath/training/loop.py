"""The unsupervised loop: epochs of shuffled mini-batches through one layer."""

import functools
import math
from collections.abc import Callable, Sequence
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
from fastpath.data.augment import Augment, Augmented
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Deep, Layer
from fastpath.plasticity import Normalize, annealed, check_normalize
from fastpath.training.callbacks import Callback, Progress
from fastpath.training.checkpointing import Checkpointer, Checkpoints
from fastpath.training.cuda_graph import CapturedEpoch
from fastpath.training.distributed import Team
from fastpath.training.history import Log, as_dataset
from fastpath.training.snapshots import Snapshots
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

    def num_batches(self, num_images: int) -> int:
        """Return the number of mini-batches of an epoch; the last may be smaller."""
        return math.ceil(num_images / self.batch_size)


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
def train(
    layer: Layer,
    x: Num[Tensor, "image *shape"],
    *,
    competition: Competition,
    training: Training,
    preprocess: FittedPreprocess,
    generator: torch.Generator,
    augment: Augment | None = None,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
    callbacks: Sequence[Callback] = (),
    team: Team | None = None,
) -> xr.Dataset:
    """Train `layer` in place on images x, reshuffled every epoch; return its history.

    The images stay uint8 on the layer's device; each mini-batch is preprocessed when it is
    used. The order of the images comes from `generator` (on the CPU) alone: the same seed
    gives the same weights on the same machine with the same number of threads.

    Parameters
    ----------
    augment
        Random changes of the images, drawn from `generator` for each epoch, if they are of
        use for the features.
    checkpoints
        When the state is saved; it always is at the end. If their folder holds a
        checkpoint already, training continues from it, to the same weights bit for bit.
    callbacks
        Called before the first epoch, after each epoch, and on the CPU after each
        mini-batch. A checkpoint also holds what `Snapshots` has kept.
    team
        The processes that share the work: each calls `train` with the same arguments.

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
    layer, x = checks.instance("layer", layer, Layer), checks.images("x", x)
    competition = checks.competition(competition)
    preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
    checks.mean_image(preprocess.mean, x.flatten(1))
    x, preprocess = x.contiguous(), preprocess.to(layer.weights.dtype)
    generator = checks.generator(generator)
    checkpoints = checks.optional("checkpoints", checkpoints, Checkpoints)
    augment = checks.optional("augment", augment, Augment)
    augment = None if augment is None else augment.of("features")
    augmented = None if augment is None else Augmented(augment, x)
    training = _with_whole_batches(checks.instance("training", training, Training), len(x))
    is_main = team is None or team.is_main
    callbacks = _checked(callbacks)
    log = Log(layer, len(x), cure=_against_divergence(competition, training))
    checkpointer = Checkpointer(layer, generator, log, callbacks, checkpoints, team)
    checkpointer.restore()
    batches = training.num_batches(len(x))
    state = Progress(layer, len(log.entries), log.entries, batches)
    told = callbacks * is_main
    for callback in told:
        callback.on_train_begin(state)
    checkpointer.begin()
    epochs = training.epochs
    phases = layer.phases(epochs) if isinstance(layer, Deep) else [epochs]
    schedule, beginning = _schedule(phases)
    num_epochs = len(schedule)
    begin = functools.partial(_begin, layer, x, preprocess)
    per_image = getattr(layer, "flop", 2 * layer.weights.numel())
    flop = training.batch_size * per_image / (team.size if team else 1)
    with (
        enough_threads(flop),
        progress_bar(
            num_epochs * len(x),
            initial=state.epoch * len(x),
            what="training",
            unit="img",
            show=progress and is_main,
        ) as advance,
    ):
        end_batch = functools.partial(_end_batch, state, told)
        shown = x if augmented is None else augmented.images
        run_epoch = _epoch(
            layer, shown, competition, training, preprocess, team, advance, end_batch
        )
        first = state.epoch
        for epoch in range(first, num_epochs):
            phase, of_phase, length = schedule[epoch]
            if of_phase and epoch == first:
                begin([phase], resumed=True)
            begin(beginning[epoch])
            log.begin_epoch()
            lr = annealed(training.lr, epoch=of_phase, num_epochs=length)
            if augmented is not None:
                augmented.change(generator)
            run_epoch(phase, torch.randperm(len(x), generator=generator), lr)
            log.add(lr)
            state.epoch, state.batch = epoch + 1, 0
            if state.epoch == num_epochs:
                begin(beginning[-1])
            checkpointer.end_epoch(state.epoch, last=state.epoch == num_epochs)
            for callback in told:
                callback.on_epoch_end(state)
    if not num_epochs:
        begin(beginning[-1])
    return as_dataset(log.entries)


def _schedule(
    phases: Sequence[int],
) -> tuple[list[tuple[int, int, int]], list[list[int | None]]]:
    """Return phase, epoch of the phase and their number for each epoch of a training.

    Also return the phases that begin before each epoch and after the last one, where None
    is the end. Those of 0 epochs are among them: those above stand on what they fit.
    """
    epochs: list[tuple[int, int, int]] = []
    beginning: list[list[int | None]] = [[]]
    for phase, number in enumerate(phases):
        beginning[-1].append(phase)
        epochs += [(phase, epoch, number) for epoch in range(number)]
        beginning += [[] for _ in range(number)]
    beginning[-1].append(None)
    return epochs, beginning


def _begin(
    layer: Layer,
    x: Num[Tensor, "image *shape"],
    preprocess: FittedPreprocess,
    phases: Sequence[int | None],
    *,
    resumed: bool = False,
) -> None:
    """Tell a layer of several layers that phases begin, or, with None, the end."""
    if not isinstance(layer, Deep):
        return
    for phase in phases:
        if phase is None:
            layer.end(x, preprocess)
        else:
            layer.begin_phase(phase, x, preprocess, resumed=resumed)


def _end_batch(state: Progress, callbacks: Sequence[Callback]) -> None:
    """Count a mini-batch, and tell the callbacks."""
    state.batch += 1
    for callback in callbacks:
        callback.on_batch_end(state)


def _checked(callbacks: Any) -> list[Callback]:
    """Return a list of callbacks, of which one at most takes snapshots."""
    if not isinstance(callbacks, Sequence):
        raise ValueError(
            f"callbacks is {checks.quoted(callbacks)}: a list of callbacks is needed, [] "
            "for none"
        )
    checked = [checks.instance("callback", each, Callback) for each in callbacks]
    if sum(isinstance(each, Snapshots) for each in checked) > 1:
        raise ValueError(
            "callbacks hold more than one Snapshots, and a checkpoint holds those of one: "
            "give one with all epochs"
        )
    return checked


def _with_whole_batches(training: Training, num_images: int) -> Training:
    """Return settings whose mini-batches are no larger than the set."""
    if not training.epochs:
        return training
    size = checked_size(training.batch_size, num_images, default=Training.batch_size)
    return replace(training, batch_size=size)


def _against_divergence(competition: Competition, training: Training) -> str:
    """Return the changes of settings that could keep the weights from diverging."""
    delta, anti = (getattr(competition, name, 0) for name in ("delta", "anti"))
    cure = "Lower " + "delta (the anti-Hebbian push away from norm 1) or " * bool(delta)
    cure += "lr (the step size)" + ", or leave out anti" * bool(anti)
    return cure + ", or set normalize to max" * (training.normalize is None)


def _epoch(
    layer: Layer,
    x: Num[Tensor, "image *shape"],
    competition: Competition,
    training: Training,
    preprocess: FittedPreprocess,
    team: Team | None,
    count: Callable[[int], Any],
    end_batch: Callable[[], None],
) -> Callable[[int, Int[Tensor, " image"], float], None]:
    """Return a function that runs an epoch, given its phase, the order of images and ε."""
    epoch = functools.partial(
        _mini_batches, layer, x, competition, training, preprocess, team, count, end_batch
    )
    if not x.is_cuda:
        return lambda phase, order, lr: epoch(order, lr)
    # A graph cannot hold code that waits for the device, as a user's own may.
    own_steps = type(preprocess.steps) is not Preprocess
    replayed = _capturable(layer, competition) and not own_steps and team is None
    captured: dict[int, CapturedEpoch] = {}

    def on_device(phase: int, order: Int[Tensor, " image"], lr: float) -> None:
        if not replayed:
            epoch(order.to(x.device), lr)
        else:
            if phase not in captured:
                captured.clear()  # the graph of another phase, and its memory
                trial = training.batch_size + len(x) % training.batch_size
                changed = [*layer.state.values()]
                captured[phase] = CapturedEpoch(epoch, len(x), changed, trial=trial)
            captured[phase](order, lr)
        count(len(x))

    return on_device


def _mini_batches(
    layer: Layer,
    x: Num[Tensor, "image *shape"],
    competition: Competition,
    training: Training,
    preprocess: FittedPreprocess,
    team: Team | None,
    count: Callable[[int], Any],
    end_batch: Callable[[], None],
    order: Int[Tensor, " image"],
    lr: Float[Tensor, ""] | float,
) -> None:
    """Learn from mini-batches of images in this order; on CUDA the epoch is counted."""
    for batch in order.split(training.batch_size):
        layer.learn(
            layer.prepare(x, batch, preprocess),
            competition,
            lr=lr,
            normalize=training.normalize,
            team=team,
        )
        if not x.is_cuda:
            count(len(batch))
            end_batch()


def _capturable(layer: Layer, competition: Competition) -> bool:
    """Return whether a learning step never waits for the device."""
    ask = getattr(layer, "capturable", None)
    return getattr(competition, "capturable", False) if ask is None else ask(competition)
