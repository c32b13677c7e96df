"""Can competing units tell real from fake faces, and gender?

Trains the local rule on faces, in gray and in colour. Controls are the same network trained
by back-propagation, random weights, k-means, a linear classifier of the pixels, and the
largest class. With 2000 units the local rule is no better than random weights.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import xarray as xr

from fastpath.baselines import Backprop, KMeans
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.readout import Readout
from fastpath.training.loop import Training
from scenarios.faces.defaults import CLASSES, PIXELS_HEAD, SETTINGS
from scenarios.faces.figure import CHANCE, draw, table
from scenarios.faces.networks import Faces, LargestClass, Shown
from scenarios.support import records, settings, study
from scenarios.support.checks import check_counts
from scenarios.support.study import Study
from scenarios.support.trials import METHODS, Method, Network, Source, network

NUM_FIELDS = 16
IMAGES_PER_CLUSTER = 2  # at least, so that a cluster is more than one image
PROTOCOL = (
    "Accuracy on the test set after the last epoch. Preprocessing, exponents, step sizes "
    "and numbers of epochs were chosen with held-out training images; the test chose "
    "nothing. Faces are learned with their mirror images, by every method. k-means has at "
    "most one unit for every two training images."
)


@dataclass(frozen=True, kw_only=True)
class Config(Study):
    """Data sets, methods and number of units."""

    data: tuple[str, ...] | None = None
    """Data sets: .npz files, image folders, names [faces_utk faces_real_fake, of the data
    root; quick: digits]."""
    units: int | None = None
    """Number of hidden units [2000; quick: 50]."""
    methods: tuple[Method, ...] = METHODS
    """Methods to train; "pixels" has no hidden units."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units")

    @property
    def num_units(self) -> int:
        """The number of hidden units."""
        return self.units or (50 if self.quick else 2000)

    @property
    def sets(self) -> tuple[str, ...]:
        """The names or paths of the data sets."""
        names = self.data or (("digits",) if self.quick else tuple(CLASSES))
        return tuple(self._found(name) for name in names)

    def _found(self, data: str) -> str:
        """Return the path of a set of `CLASSES` in the data root; leave others unchanged.

        Raises
        ------
        ValueError
            If the file of a set of `CLASSES` is missing.
        """
        if data not in CLASSES:
            return data
        root = self.data_root or datasets.default_root()
        if not (path := root / f"{data}.npz").is_file():
            raise ValueError(
                f"there is no {path}: put it into the data root (--data-root or "
                "NEURODYN_DATA names another one), or give images of your own by --data: "
                "an .npz with x_train, y_train, x_test, y_test, or a folder "
                "train/<class>/*.png|jpg, test/<class>/*.png|jpg"
            )
        return str(path)


def main(config: Config) -> xr.Dataset:
    """Train missing networks, print the table, draw the figure; return its results."""
    sources = [version for path in config.sets for version in versions(path, config)]
    if config.data and not {*config.data} & CLASSES.keys():
        datasets.check_root(config, *config.data)
    where = study.paths(config, "faces")
    asked = [trial for source in sources for trial in trials(config, source)]
    recorded = study.filled(
        config,
        where,
        asked,
        title="Faces: accuracy of competing units and of their controls",
        protocol=PROTOCOL,
    )
    result = only(recorded, asked)
    print(table(result))
    figure = draw(result, {s.label: s.load() for s in sources}, PROTOCOL)
    study.save(figure, where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def versions(path: str, config: Config) -> list[Source]:
    """Return a data set in gray and, if it has colours, in colour."""
    kind = Source if path in datasets.NAMES else Faces
    plain = kind.of(path, config.data_root)
    if plain.load().shape[2] == 1:
        return [plain]
    return [kind.of(path, config.data_root, gray=True), plain]


def trials(config: Config, source: Source) -> list[Network]:
    """Return the networks of a data set."""
    seeds = config.seeds_of(config.num_units)
    names = (*config.methods, CHANCE)
    return [trial(name, source, seed, config) for name in names for seed in seeds]


def trial(
    method: Method | Literal["largest class"], source: Source, seed: int, config: Config
) -> Network:
    """Return one network. Its mini-batches are no larger than the training set."""
    defaults = SETTINGS.get(source.origin, defaults_for(source.origin))
    common: dict[str, Any] = {"source": source, "seed": seed, "device": config.device}
    if method == "largest class":
        preprocess = defaults.preprocess
        return LargestClass(**common, network=method, num_units=0, preprocess=preprocess)
    num_images = len(source.load().x_train)
    num_units = {"pixels": 0, "k-means": max(1, num_images // IMAGES_PER_CLUSTER)}
    return network(
        method,
        replace(
            defaults,
            training=fitting(defaults.training, num_images),
            backprop=fitting(defaults.backprop, num_images),
        ),
        linear=PIXELS_HEAD.get(source.origin, Readout(loss="cross-entropy", lr=1e-3)),
        kmeans=KMeans(passes=3),
        local=functools.partial(
            Shown, fields=0 if method == "random weights" or seed else NUM_FIELDS
        ),
        num_units=min(config.num_units, num_units.get(method, config.num_units)),
        **common,
    )


def fitting[T: (Training, Backprop)](settings: T, num_images: int) -> T:
    """Return settings whose mini-batches are no larger than the training set."""
    return replace(settings, batch_size=min(settings.batch_size, num_images))


def only(recorded: xr.Dataset, asked: Sequence[Network]) -> xr.Dataset:
    """Return the results of the networks asked for, without the dim `num_units`.

    Each method has one size. It differs for k-means, which has fewer units on small sets.
    """
    mine = recorded["settings"].isin([settings.canonical(network) for network in asked])
    result = recorded.drop_vars([*records.LABELS, "seconds"]).where(mine).max("num_units")
    coords = {
        dim: [network.coords[dim] for network in asked]
        for dim in ("data", "network", "seed")
    }
    return result.sel({dim: list(dict.fromkeys(at)) for dim, at in coords.items()})
