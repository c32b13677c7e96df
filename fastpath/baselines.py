"""Controls beside the local rule: back-propagation, clusters of images, pixels alone.

One more, random weights, is a run of 0 epochs. It deserves its own power n of the features
(`defaults`): on a validation split n = 1 serves it best (500 units, one seed, n = 1, 2, 3,
4.5: 5.8, 6.1, 6.9, 9.2 % error on MNIST, 14.4, 14.8, 16.1, 17.7 % on Fashion-MNIST).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

from fastpath import checks, readout
from fastpath.ambient import adam, isolated
from fastpath.compute import check_memory, enough_threads, free_memory
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.readout import Readout
from fastpath.training.loop import checked_size
from neurodyn.progress import progress_bar

# Called after each epoch, from 1, with the network as it is then.
type Watch = Callable[[int, nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class Backprop:
    """Settings of back-propagation: Adam, cosine annealing, cross-entropy."""

    epochs: int = 20
    batch_size: int = 100
    """A set that is smaller than this default is one mini-batch."""
    lr: float = 1e-3
    smoothing: float = field(default=0.0, metadata={"neutral": 0.0})
    """Share of each target that is spread over all classes."""

    def __post_init__(self) -> None:
        count = checks.count
        checks.fields(self, epochs=count, batch_size=count, lr=checks.positive)
        checks.fields(self, smoothing=checks.number)
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is {self.smoothing}: 0 to less than 1 is needed")


@isolated(grad=True)
def backprop(
    parts: Split,
    *,
    num_units: int,
    num_classes: int,
    backprop: Backprop,
    preprocess: Preprocess,
    generator: torch.Generator,
    progress: bool = True,
    first: Float[Tensor, "unit pixel"] | None = None,
    frozen: bool = False,
    watch: Watch | None = None,
) -> dict[str, float]:
    """Train pixels → ReLU units → classes by back-propagation; return errors in percent.

    The weights start uniform in ±1/√(number of inputs), drawn from `generator`.

    Parameters
    ----------
    first
        The weights that the units start with, without biases, in place of random ones.
    frozen
        Leave the units as they are, and train the classes' weights alone.
    watch
        Called with each epoch that is done, from 1, and the network: images as the layer
        sees them (image, pixel) to outputs (image, class).

    Raises
    ------
    ValueError
        If an argument is something else than it should be, or labels are no classes.
    """
    parts = checks.instance("parts", parts, Split)
    backprop = checks.instance("backprop", backprop, Backprop)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    generator = checks.generator(generator)
    parts.check_classes(num_classes)
    num_units = checks.count("units", num_units)
    num_classes = checks.count("num_classes", num_classes)
    x, y, device = parts.x_learn, parts.y_learn, parts.x_learn.device
    preprocess.check(x)
    batch_size = checked_size(backprop.batch_size, len(x), default=Backprop.batch_size)
    # Weights, their gradients and the two moments of Adam.
    check_memory(
        {"weights": 16 * num_units * (x[0].numel() + num_classes)},
        "lower the number of units",
        device,
    )
    mean = preprocess.fit(x)
    network = _network(mean.numel(), num_units, num_classes, generator)
    if first is not None:
        _start_from(network, first)
    network.to(device)
    inputs, learning = _learning(network, x, preprocess, mean, frozen=frozen)
    optimizer = adam(learning.parameters(), backprop.lr)
    steps = backprop.epochs * math.ceil(len(x) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    with (
        enough_threads(2 * batch_size * mean.numel() * num_units),
        progress_bar(
            backprop.epochs * len(x), what="back-propagation", unit="img", wanted=progress
        ) as advance,
    ):
        for epoch in range(1, backprop.epochs + 1):
            order = torch.randperm(len(x), generator=generator).to(device)
            for batch in order.split(batch_size):
                loss = functional.cross_entropy(
                    learning(inputs(batch)), y[batch], label_smoothing=backprop.smoothing
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                advance(len(batch))
            if watch is not None:
                watch(epoch, network)
    return {
        f"{parts.scored_on}_error": _error(
            network, preprocess, mean, parts.x_score, parts.y_score
        ),
        "train_error": _error(network, preprocess, mean, x, y),
    }


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return what `backprop` trained, by the names that the files of a run give it."""
    held = {name: value.cpu() for name, value in network.state_dict().items()}
    none = torch.zeros_like(held["0.bias"])
    return {
        "weights": held["0.weight"],
        "bias": held["0.bias"],
        "head.weights": held["2.weight"],
        "head.bias": held["2.bias"],
        "head.offset": none,
        "head.scale": none + 1,
    }


def _network(
    num_pixels: int, num_units: int, num_classes: int, generator: torch.Generator
) -> nn.Sequential:
    # Without weights of their own, which would be drawn from PyTorch's global generator.
    sizes, linear = (num_pixels, num_units, num_classes), nn.utils.skip_init
    layers = (
        linear(nn.Linear, *pair, dtype=torch.float32) for pair in itertools.pairwise(sizes)
    )
    network = nn.Sequential(next(layers), nn.ReLU(), next(layers))
    with torch.no_grad():
        for parameter, num_inputs in zip(
            network.parameters(),
            (num_pixels, num_pixels, num_units, num_units),
            strict=True,
        ):
            bound = 1 / math.sqrt(num_inputs)
            parameter.uniform_(-bound, bound, generator=generator)
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
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    *,
    frozen: bool,
) -> tuple[Callable[[Int[Tensor, " batch"]], Tensor], nn.Module]:
    """Return what gives the inputs of some images to the part that learns, and that part.

    The rates of frozen units are computed once where they fit into half of the memory
    that is free, elsewhere each time they are used.
    """
    if not frozen:
        return lambda batch: preprocess(x[batch], mean), network
    units, classes = network[:2].requires_grad_(False), network[2:]
    first, free = units(preprocess(x[:1], mean)), free_memory(x.device)
    if free is not None and 2 * len(x) * first.nbytes > free:
        return lambda batch: units(preprocess(x[batch], mean)), classes
    rates = first.new_empty(len(x), first.shape[1])
    for block, result in zip(x.split(4096), rates.split(4096), strict=True):
        result.copy_(units(preprocess(block, mean)))
    return rates.__getitem__, classes


@torch.no_grad()
def _error(
    network: nn.Module,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    x: Num[Tensor, "image *shape"],
    y: Tensor,
) -> float:
    wrong = sum(
        int((network(preprocess(images, mean)).argmax(dim=1) != labels).sum())
        for images, labels in zip(x.split(4096), y.split(4096), strict=True)
    )
    return 100 * wrong / len(y)


@dataclass(frozen=True, kw_only=True)
class KMeans:
    """Settings of k-means, from mini-batches of images (Sculley 2010)."""

    passes: int = 10
    """Passes through the images, at most: it ends earlier where nothing moves."""
    batch_size: int = 4096

    def __post_init__(self) -> None:
        checks.fields(self, passes=checks.count, batch_size=checks.count)


@isolated(grad=False, numpy=True)
def kmeans(
    x: Num[Tensor, "image *shape"],
    *,
    num_units: int,
    kmeans: KMeans,
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    seed: int,
) -> Float[Tensor, "unit pixel"]:
    """Return the centres of clusters of images as the weights of a layer.

    The start is `num_units` of the images, drawn at random: k-means++ takes longer than
    the clustering. scikit-learn does the work, on as many threads as PyTorch would use.

    Raises
    ------
    ValueError
        If there are fewer images than clusters, or the images are all alike.
    """
    kmeans = checks.instance("kmeans", kmeans, KMeans)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    x, seed = checks.images("x", x), checks.seed("seed", seed)
    num_units = checks.whole("units", num_units)
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if not 1 <= num_units <= len(x):
        raise ValueError(
            f"units is {num_units}: 1 to {len(x)}, the number of images, are needed"
        )
    preprocess.check(x)
    v = torch.cat([preprocess(block, mean) for block in x.split(4096)]).cpu().numpy()
    clusters = MiniBatchKMeans(
        num_units,
        init="random",
        n_init=1,
        batch_size=kmeans.batch_size,
        max_iter=kmeans.passes,
        # scikit-learn takes no larger seeds as they are.
        random_state=seed
        if seed < 2**32
        else np.random.RandomState([seed % 2**32, seed // 2**32]),
    )
    with threadpool_limits(torch.get_num_threads()):
        clusters.fit(v)
    return torch.from_numpy(clusters.cluster_centers_).to(mean)


@isolated(grad=False)
def linear(
    parts: Split,
    *,
    num_classes: int,
    preprocess: Preprocess,
    head: Readout,
    generator: torch.Generator,
    progress: bool = True,
) -> dict[str, float]:
    """Train a linear classifier of the pixels themselves; return its errors in percent.

    Each pixel is standardised over the training images. Of `head` the loss and the
    settings of its training count, not the power of features.
    """
    parts = checks.instance("parts", parts, Split)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    head = checks.instance("head", head, Readout)
    parts.check_classes(num_classes)
    preprocess.check(parts.x_learn)
    mean = preprocess.fit(parts.x_learn)
    learned, scored = (
        torch.cat([preprocess(block, mean) for block in x.split(4096)])
        for x in (parts.x_learn, parts.x_score)
    )
    trained = readout.fit(
        learned,
        parts.y_learn,
        num_classes=num_classes,
        readout=replace(head, scaling="unit"),
        generator=generator,
        progress=progress,
    )
    return {
        f"{parts.scored_on}_error": readout.error(trained, scored, parts.y_score),
        "train_error": readout.error(trained, learned, parts.y_learn),
    }
