"""The same network trained end to end by back-propagation."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

from fastpath import checks
from fastpath.ambient import adam, isolated
from fastpath.compute import check_memory, enough_threads, free_memory
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.experiment import Split
from fastpath.training.loop import checked_size
from neurodyn.progress import progress_bar


@dataclass(frozen=True, kw_only=True)
class Backprop:
    """Settings of back-propagation: Adam, cosine annealing, cross-entropy."""

    epochs: int = 20
    batch_size: int = 100
    """A data set smaller than this default is one mini-batch."""
    lr: float = 1e-3
    smoothing: float = field(default=0.0, metadata={"neutral": 0.0})
    """Share of each target that is spread over all classes."""

    def __post_init__(self) -> None:
        count = checks.count
        checks.fields(self, epochs=count, batch_size=count, lr=checks.positive)
        checks.fields(self, smoothing=checks.number)
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is {self.smoothing}: 0 to less than 1 is needed")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that `backprop` trained, with its preprocessing and errors."""

    network: nn.Sequential
    """Input rates (image, pixel) to outputs (image, class)."""
    preprocess: FittedPreprocess
    errors: dict[str, float]
    """Errors in percent."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained tensors, by their names in the files of a run."""
        state = {name: value.cpu() for name, value in self.network.state_dict().items()}
        zeros = torch.zeros_like(state["0.bias"])
        return {
            "mean": self.preprocess.mean.cpu(),
            "weights": state["0.weight"],
            "bias": state["0.bias"],
            "head.weights": state["2.weight"],
            "head.bias": state["2.bias"],
            "head.offset": zeros,
            "head.scale": zeros + 1,
        }


@isolated(grad=True)
def backprop(
    split: Split,
    *,
    num_units: int,
    num_classes: int,
    backprop: Backprop,
    preprocess: Preprocess,
    generator: torch.Generator,
    progress: bool = True,
    first: Float[Tensor, "unit pixel"] | None = None,
    frozen: bool = False,
    on_epoch_end: Callable[[int, nn.Module], Any] | None = None,
) -> TrainedNetwork:
    """Train pixels → ReLU units → classes by back-propagation, and score the network.

    The weights start uniform in ±1/√(number of inputs).

    Parameters
    ----------
    first
        Initial weights of the units, whose biases then start at 0; by default random.
    frozen
        Train only the layer of the classes, not the units.
    on_epoch_end
        Called after each epoch with its number, from 1, and `TrainedNetwork.network`.

    Raises
    ------
    ValueError
        If an argument has the wrong type or value, or a label is not below `num_classes`.
    """
    split = checks.instance("split", split, Split)
    backprop = checks.instance("backprop", backprop, Backprop)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    generator = checks.generator(generator)
    split.check_classes(num_classes)
    num_units = checks.count("units", num_units)
    num_classes = checks.count("num_classes", num_classes)
    x, device = split.x_train, split.x_train.device
    preprocess.check(x)
    size = checked_size(backprop.batch_size, len(x), default=Backprop.batch_size)
    _check_memory(num_units * (x[0].numel() + num_classes), device)
    fitted = preprocess.fit(x)
    sizes = (fitted.num_pixels, num_units, num_classes)
    network = _network(sizes, generator, first)
    _train(
        network.to(device),
        split,
        fitted,
        replace(backprop, batch_size=size),
        frozen=frozen,
        generator=generator,
        progress=progress,
        on_epoch_end=on_epoch_end,
    )
    errors = {
        f"{split.scored_on}_error": _error(network, fitted, split.x_eval, split.y_eval),
        "train_error": _error(network, fitted, x, split.y_train),
    }
    return TrainedNetwork(network, fitted, errors)


def _train(
    network: nn.Sequential,
    split: Split,
    preprocess: FittedPreprocess,
    backprop: Backprop,
    *,
    frozen: bool,
    generator: torch.Generator,
    progress: bool,
    on_epoch_end: Callable[[int, nn.Module], Any] | None,
) -> None:
    """Train a network in place."""

    def epoch_ended(epoch: int) -> None:
        if on_epoch_end is not None:
            on_epoch_end(epoch, network)

    inputs, learning = _learning(network, split.x_train, preprocess, frozen=frozen)
    num_weights = next(network.parameters()).numel()  # of the units
    fit_by_labels(
        learning,
        inputs,
        split.y_train,
        backprop,
        flop=2 * backprop.batch_size * num_weights,
        generator=generator,
        progress=progress,
        on_epoch_end=epoch_ended,
    )


def fit_by_labels(
    learning: nn.Module,
    inputs: Callable[[Int[Tensor, " batch"]], Tensor],
    y: Int[Tensor, " image"],
    backprop: Backprop,
    *,
    flop: int,
    generator: torch.Generator,
    progress: bool,
    on_epoch_end: Callable[[int], Any] | None = None,
) -> None:
    """Train a module in place by Adam.

    Parameters
    ----------
    inputs
        A function from indices of images to what the module sees.
    y
        The label of each image.
    flop
        Operations of the forward pass of a mini-batch, which decide the threads.
    """
    total, what = backprop.epochs * len(y), "back-propagation"
    with (
        enough_threads(flop),
        progress_bar(total, what=what, unit="img", show=progress) as advance,
    ):
        step = _optimizer(learning, backprop, math.ceil(len(y) / backprop.batch_size))
        for epoch in range(1, backprop.epochs + 1):
            order = torch.randperm(len(y), generator=generator).to(y.device)
            for batch in order.split(backprop.batch_size):
                step(inputs(batch), y[batch])
                advance(len(batch))
            if on_epoch_end is not None:
                on_epoch_end(epoch)


def _check_memory(num_weights: int, device: torch.device) -> None:
    # Weights, their gradients and the two moments of Adam.
    check_memory({"weights": 16 * num_weights}, "lower the number of units", device)


def _optimizer(
    learning: nn.Module, backprop: Backprop, batches: int
) -> Callable[[Tensor, Tensor], None]:
    """Return a function that makes one step of Adam on a mini-batch (inputs, labels)."""
    optimizer = adam(learning.parameters(), backprop.lr)
    num_steps = backprop.epochs * batches
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)

    def step(inputs: Tensor, labels: Tensor) -> None:
        output = learning(inputs)
        loss = functional.cross_entropy(output, labels, label_smoothing=backprop.smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    return step


def _network(
    sizes: tuple[int, int, int],
    generator: torch.Generator,
    first: Float[Tensor, "unit pixel"] | None,
) -> nn.Sequential:
    """Return a network with these numbers of pixels, units and classes."""
    # Skip PyTorch's initial weights, which would be drawn from its global generator.
    layers = (
        nn.utils.skip_init(nn.Linear, *pair, dtype=torch.float32)
        for pair in itertools.pairwise(sizes)
    )
    network = nn.Sequential(next(layers), nn.ReLU(), next(layers))
    with torch.no_grad():
        for parameter, num_inputs in zip(
            network.parameters(),
            (sizes[0], sizes[0], sizes[1], sizes[1]),
            strict=True,
        ):
            bound = 1 / math.sqrt(num_inputs)
            parameter.uniform_(-bound, bound, generator=generator)
    if first is not None:
        _start_from(network, first)
    return network


@torch.no_grad()
def _start_from(network: nn.Sequential, first: Float[Tensor, "unit pixel"]) -> None:
    weight, bias = network[0].parameters()
    first = checks.tensor("first", first)
    if weight.shape != first.shape:
        raise ValueError(
            f"the first weights are {tuple(first.shape)}: {tuple(weight.shape)}, units and "
            "pixels, are needed"
        )
    weight.copy_(first)
    bias.zero_()


def _learning(
    network: nn.Sequential,
    x: Num[Tensor, "image *shape"],
    preprocess: FittedPreprocess,
    *,
    frozen: bool,
) -> tuple[Callable[[Int[Tensor, " batch"]], Tensor], nn.Module]:
    """Return the part of the network that learns, behind a function that gives its inputs.

    The function takes indices of images. Frozen units do not learn, so their rates are the
    inputs. If these fit into half of the free memory, they are computed once. Otherwise
    they are computed each time they are used.
    """
    if not frozen:
        return lambda batch: preprocess(x[batch]), network
    units, classes = network[:2].requires_grad_(False), network[2:]
    first, free = units(preprocess(x[:1])), free_memory(x.device)
    if free is not None and 2 * len(x) * first.nbytes > free:
        return lambda batch: units(preprocess(x[batch])), classes
    rates = first.new_empty(len(x), first.shape[1])
    for block, result in zip(x.split(4096), rates.split(4096), strict=True):
        result.copy_(units(preprocess(block)))
    return rates.__getitem__, classes


@torch.no_grad()
def _error(
    network: nn.Module,
    preprocess: FittedPreprocess,
    x: Num[Tensor, "image *shape"],
    y: Tensor,
) -> float:
    wrong = sum(
        int((network(preprocess(images)).argmax(dim=1) != labels).sum())
        for images, labels in zip(x.split(4096), y.split(4096), strict=True)
    )
    return 100 * wrong / len(y)
