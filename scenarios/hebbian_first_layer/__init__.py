"""Does Hebbian pre-training help back-propagation?

A layer trained by the local rule, without labels, becomes the first layer of a network that
is trained by back-propagation. The layer is either frozen, or the start of the supervised
training. Controls are the same network from a random start, a frozen random first layer,
and the Hebbian layer with its own readout. With 2000 units, pre-training lowers the error
on MNIST during the first two epochs. It does not help on Fashion-MNIST.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from fastpath.baselines import Backprop
from fastpath.data import datasets
from fastpath.data.defaults import Defaults, defaults_for
from scenarios.hebbian_first_layer.networks import Layer, OwnReadout, Perceptron
from scenarios.support import study
from scenarios.support.checks import check_counts
from scenarios.support.statistics import entry
from scenarios.support.study import Study
from scenarios.support.trials import Network, Source

type Name = Literal[
    "end to end",
    "random frozen",
    "Hebbian frozen",
    "Hebbian start",
    "Hebbian own readout",
]
NAMES: tuple[Name, ...] = Name.__value__.__args__
COLORS = dict(zip(NAMES, ("C3", "0.5", "C0", "C4", "C2"), strict=True))
EARLY = 5  # an early epoch, after which the accuracy of the classes is drawn
MOST_LABELS = 10  # number of classes that fit into a panel
PROTOCOL = (
    "Test error after each epoch of supervised training. The Hebbian layer and its own "
    "readout have the settings of hidden_size (see there how they were chosen). "
    "Mean over the seeds, band: one sd. All step sizes are annealed by a cosine over all "
    "epochs: an early epoch is not the last one of a short training. All networks of a "
    "data set see the same preprocessed pixels. A Hebbian layer has seen the training "
    "images before, without labels, in epochs that are not counted here. All networks but "
    "the last are pixels, ReLU units, classes: Adam, lr 0.001, batches of 100, "
    "cross-entropy; Hebbian and frozen random units start with weights of unit norm and no "
    "biases. The own readout sees the features of eq. 1 of Krotov & Hopfield (2019)."
)


@dataclass(frozen=True, kw_only=True)
class Config(Study):
    """Which networks to train. Results already on record are plotted too."""

    data: tuple[str, ...] | None = None
    """Data sets, by name or path [mnist fashion_mnist; quick: digits]."""
    units: int | None = None
    """Hidden units [2000; quick: 50]."""
    epochs: int | None = None
    """Epochs of supervised training [20; quick: 40]."""
    learning_epochs: int | None = None
    """Epochs of Hebbian pre-training [the default of the data set]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units", "epochs", "learning_epochs")

    @property
    def sets(self) -> tuple[str, ...]:
        """The data sets."""
        return self.data or (("digits",) if self.quick else ("mnist", "fashion_mnist"))

    @property
    def num_units(self) -> int:
        """The number of hidden units."""
        return self.units or (50 if self.quick else 2000)

    @property
    def num_epochs(self) -> int:
        """The number of epochs of supervised training."""
        return self.epochs or (40 if self.quick else 20)


def main(config: Config) -> xr.Dataset:
    """Train missing networks, print the table, draw the figure; return all on record."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "hebbian_first_layer")
    sources = [Source.of(path, config.data_root) for path in config.sets]
    result = study.filled(
        config,
        where,
        [trial for source in sources for trial in trials(config, source)],
        title="A layer that learned without labels as the first layer of a network",
        protocol=PROTOCOL,
    )
    print(table(result))
    study.save(draw(result), where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def trials(config: Config, source: Source) -> list[Network]:
    """Return the networks of a data set."""
    return [
        network(name, source, seed, config)
        for seed in config.seeds_of(config.num_units)
        for name in NAMES
    ]


def network(name: Name, source: Source, seed: int, config: Config) -> Network:
    """Return one network."""
    defaults = defaults_for(source.origin, config.num_units)
    common = {
        "network": name,
        "source": source,
        "num_units": config.num_units,
        "seed": seed,
        "preprocess": defaults.preprocess,
        "device": config.device,
    }
    backprop = Backprop(epochs=config.num_epochs)
    random, hebbian = layers(defaults, common, config)
    match name:
        case "end to end":
            return Perceptron(**common, backprop=backprop)
        case "random frozen":
            return Perceptron(**common, backprop=backprop, layer=random, frozen=True)
        case "Hebbian frozen":
            return Perceptron(**common, backprop=backprop, layer=hebbian, frozen=True)
        case "Hebbian start":
            return Perceptron(**common, backprop=backprop, layer=hebbian)
        case "Hebbian own readout":
            readout = replace(defaults.readout, epochs=config.num_epochs)
            return OwnReadout(**common, readout=readout, layer=hebbian)


def layers(defaults: Defaults, common: dict, config: Config) -> tuple[Layer, Layer]:
    """Return a layer with random weights, and a layer trained by the local rule."""
    epochs = config.learning_epochs or defaults.training.epochs
    random, hebbian = (
        Layer(
            **common | {"network": name},
            p=defaults.p,
            competition=defaults.competition,
            training=replace(defaults.training, epochs=epochs),
        )
        for name, epochs in (("random layer", 0), ("Hebbian layer", epochs))
    )
    return random, hebbian


def table(result: xr.Dataset) -> str:
    """Return a table of test errors in percent (mean ± sd), a line for each network."""
    lines = []
    for data, num_units in groups(result):
        by_network = result["error"].sel(data=data, num_units=num_units)
        epochs = shown_epochs(by_network, 1)
        title = f"{data}, {num_units} units"
        lines.append(f"{title:<30}" + "".join(f"{f'epoch {e}':>15}" for e in epochs))
        for name in networks(result):
            errors = by_network.sel(network=name)
            entries = [entry(errors.sel(epoch=epoch).values) for epoch in epochs]
            lines.append(f"  {name:<28}" + "".join(f"{text:>15}" for text in entries))
    return "\n".join(lines)


def groups(result: xr.Dataset) -> list[tuple[str, int]]:
    """Return the data sets and sizes that have results."""
    has_result = result["error"].notnull().any(("network", "seed", "epoch"))
    return [
        (data, int(num_units))
        for data in result["data"].values
        for num_units in result["num_units"].values
        if has_result.sel(data=data, num_units=num_units)
    ]


def networks(result: xr.Dataset) -> list[Name]:
    """Return the names of the networks that have results."""
    return [name for name in NAMES if name in result["network"]]


def shown_epochs(errors: xr.DataArray, *wanted: int) -> list[int]:
    """Return the epochs to report: those wanted and EARLY if they exist, and the last."""
    last = int(errors.dropna("epoch", how="all")["epoch"][-1])
    return sorted({epoch for epoch in (*wanted, EARLY) if epoch < last} | {last})


def draw(result: xr.Dataset) -> Figure:
    """Draw a row for each data set: error against epoch, and accuracy of the classes."""
    sets = groups(result)
    figure, axes = plt.subplots(
        len(sets),
        3,
        figsize=(15, 1.2 + 3.9 * len(sets)),
        squeeze=False,
        layout="constrained",
        width_ratios=(1.15, 1, 1),
    )
    for row, (data, num_units) in zip(axes, sets, strict=True):
        here = result.sel(data=data, num_units=num_units)
        draw_errors(row[0], here["error"])
        row[0].set_title(f"{data}, {num_units} hidden units")
        draw_classes(row[1:], here)
    axes[0, 0].legend(fontsize=9)
    figure.supxlabel(
        textwrap.fill(str(result.attrs["protocol"]), 265), x=0.01, ha="left", fontsize=8
    )
    return figure


def draw_errors(ax: Axes, errors: xr.DataArray) -> None:
    """Draw the mean error over seeds against the epoch, with a band of one sd."""
    for name in networks(errors.to_dataset()):
        mine = errors.sel(network=name).dropna("epoch", how="all")
        mean, sd = mine.mean("seed"), mine.std("seed", ddof=1).fillna(0)
        ax.plot(mine["epoch"], mean, "o-", color=COLORS[name], ms=3, label=name)
        ax.fill_between(
            mine["epoch"], mean - sd, mean + sd, color=COLORS[name], alpha=0.2, lw=0
        )
    ax.axvline(EARLY, color="0.8", lw=1, zorder=0)
    ax.set(yscale="log", xlabel="epoch of supervised training", ylabel="test error [%]")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(LogLocator(subs=(1.5, 2, 3, 4, 5, 7)))
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.tick_params(axis="y", which="minor", labelsize=7)


def draw_classes(axes: Sequence[Axes], here: xr.Dataset) -> None:
    """Draw the accuracy of each class after an early epoch and after the last one."""
    epochs = shown_epochs(here["error"])
    accuracy = here["accuracy"].mean("seed").sel(network=networks(here), epoch=epochs)
    accuracy = hardest(accuracy.dropna("label", how="all"))
    norm = Normalize(float(accuracy.min()), 100)
    for ax, epoch in zip(axes, epochs, strict=False):
        draw_table(ax, accuracy.sel(epoch=epoch), norm)
        ax.set_title(f"accuracy of each class [%], epoch {epoch}", fontsize=10)
    axes[0].set_yticks(range(accuracy.sizes["network"]), networks(here))
    for ax in axes[len(epochs) :]:
        ax.axis("off")


def hardest(accuracy: xr.DataArray) -> xr.DataArray:
    """Return the accuracy of the least recognised classes, as many as fit into a panel."""
    if accuracy.sizes["label"] <= MOST_LABELS:
        return accuracy
    order = accuracy.mean(("network", "epoch")).values.argsort()
    return accuracy.isel(label=order[:MOST_LABELS])


def draw_table(ax: Axes, accuracy: xr.DataArray, norm: Normalize) -> None:
    """Draw the accuracy as numbers on colours, a line for each network."""
    values = accuracy.transpose("network", "label").values
    ax.imshow(values, cmap="Blues_r", norm=norm, aspect="auto", interpolation="none")
    for (i, j), value in np.ndenumerate(values):
        color = "w" if norm(value) < 0.5 else "k"
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8, color=color)
    labels = [str(label) for label in accuracy["label"].values]
    tilted = max(map(len, labels)) > 3
    ax.set_xticks(
        range(len(labels)),
        labels,
        rotation=35 if tilted else 0,
        ha="right" if tilted else "center",
        fontsize=9,
    )
    ax.set_yticks([])
