"""Can competing units tell real from fake faces, and gender?

The local rule in gray and in colour, beside the same network trained by back-propagation,
units with random weights, units at the centres of clusters, and a linear classifier of
the pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr

from fastpath import datasets
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Ranking
from fastpath.defaults import COLOUR, Defaults, defaults_for
from fastpath.experiment import Split, Trained
from fastpath.readout import Readout
from fastpath.train import Training
from scenarios import face_figure
from scenarios.support import records, settings, study
from scenarios.support.study import Study
from scenarios.support.trials import (
    Clusters,
    EndToEnd,
    Local,
    Network,
    Pixels,
    Source,
    scored,
)

type Method = Literal[
    "local rule", "back-propagation", "random weights", "k-means", "pixels"
]
METHODS: tuple[Method, ...] = Method.__value__.__args__
# What the labels of the known sets, 0 and 1, stand for.
CLASSES = {"faces_utk": ("male", "female"), "faces_real_fake": ("real", "fake")}
# Which they are is told by their content (`trials.Source.digest`), not by a file's name.
KNOWN = {"aedbea0ba9": "faces_utk", "0d3e994f1f": "faces_real_fake"}
NUM_FIELDS = 16
FIELD_LEVELS = 64  # a weight is kept as a multiple of 1/64 of its unit's largest
UTK = Readout(epochs=30, power=2.0, scaling="set", lr=5e-2, batch_size=400)
REAL_FAKE = Readout(epochs=10, power=1.0, scaling="set", batch_size=400)
# What they are learned with: 20 % of the training images held out, gray, 2000 units; what
# is learned from is mirrored too.
SETTINGS = {
    # Gender, one split (sd 1.0), n = 2: 79.8 %; 79.0 at lr 0.02, 78.0 after 10 epochs at
    # 0.005; n = 1 and 3, p = 2 with k = 2 no better. k-means: 78.3, 78.7, 78.5 % for n = 1,
    # 2, 3; random weights want n = 1 (79.2 %).
    "faces_utk": Defaults(
        preprocess=COLOUR,
        p=3.0,
        competition=Ranking(k=7, delta=0.4),
        training=Training(epochs=6, lr=1.0),
        readout=UTK,
        random=replace(UTK, power=1.0, epochs=8, lr=5e-3),
        kmeans=UTK,
        # The same split, in gray: 80.9 %; 78.8 at lr 3e-4.
        backprop=Backprop(epochs=4, batch_size=200, lr=1e-3),
        backprop_preprocess=COLOUR,
    ),
    # Real or fake, two splits (sd 2.7 each): 63 % for n = 1 and 2, and for p = 3 with
    # k = 7; 60 for n = 3, and at most that after 30 epochs at lr 0.02. k-means, one split:
    # 62.3, 66.6, 59.2 % for n = 1, 2, 3; random 60.5 for n = 1, 59 for n = 2.
    "faces_real_fake": Defaults(
        preprocess=COLOUR,
        p=2.0,
        competition=Ranking(k=2, delta=0.2),
        training=Training(epochs=12, lr=2.0),
        readout=REAL_FAKE,
        random=replace(REAL_FAKE, epochs=8),
        kmeans=replace(REAL_FAKE, power=2.0),
        # One split, in gray: 62.5 %; 60.5 at lr 1e-4.
        backprop=Backprop(epochs=6, batch_size=200, lr=3e-4),
        backprop_preprocess=COLOUR,
    ),
}
# Chosen like these settings: on the same splits in gray 79.4 and 63.2 % (55.8 after 10
# epochs at 1e-3).
PIXELS_HEAD = {
    "faces_utk": Readout(loss="cross-entropy", epochs=10, lr=1e-3),
    "faces_real_fake": Readout(loss="cross-entropy", epochs=3, lr=1e-4),
}
IMAGES_PER_CLUSTER = 2  # at least, so that a cluster is more than one image
PROTOCOL = (
    "Accuracy on the test set after the last epoch. Preprocessing, exponents, step sizes "
    "and numbers of epochs were chosen with held-out training images; the test chose "
    "nothing. Faces are learned with their mirror images, by every method. k-means has at "
    "most one unit for every two training images."
)


@dataclass(frozen=True, kw_only=True)
class Config(Study):
    """Which faces, or other images, and how many units."""

    data: tuple[str, ...] | None = None
    """Data sets: .npz files, image folders, names [faces_utk faces_real_fake, of the data
    root; quick: digits]."""
    units: int | None = None
    """Number of hidden units [2000; quick: 50]."""
    methods: tuple[Method, ...] = METHODS
    """How the units come to be; "pixels" has none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_positive("units")

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
        """Return the path of a known set of faces, or what was given.

        Raises
        ------
        ValueError
            If the file of a known set is missing.
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


@dataclass(frozen=True, kw_only=True)
class Faces(Source):
    """Images that show the same when mirrored, as faces do and digits do not."""

    @property
    def known(self) -> str:
        """The known set of faces that it is, or empty."""
        return KNOWN.get(self.digest, "")

    def load(self) -> datasets.Images:
        """Return the images, with names of the classes that are known."""
        images = super().load()
        if images.classes != ("0", "1"):  # the file has names of its own
            return images
        name = self.known or images.name
        return replace(images, classes=CLASSES.get(name, images.classes))

    def to_learn(self, parts: Split) -> Split:
        """Add the mirror images; those scored on stay as they are, and out of it."""
        x, y = parts.x_learn, parts.y_learn
        return replace(parts, x_learn=torch.cat([x, x.flip(2)]), y_learn=torch.cat([y, y]))


@dataclass(frozen=True, kw_only=True)
class Shown(Local):
    """A network some receptive fields of which are kept."""

    fields: int
    """Keep those of so many units, the first ones: units are in no order."""

    def score(self, trained: Trained, parts: Split) -> xr.Dataset:
        """Return what is kept of the network, the receptive fields in few levels.

        Units that learned from few faces show them: those of the known sets, people who
        did not ask for it, are not kept.
        """
        if {self.source.known, self.source.name} & CLASSES.keys():
            return super().score(trained, parts)
        fields = trained.weights[: self.fields].cpu()
        fields = fields / fields.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
        kept = np.rint(fields.numpy() * FIELD_LEVELS) / FIELD_LEVELS
        return super().score(trained, parts).assign(fields=(("unit", "pixel"), kept))


@dataclass(frozen=True, kw_only=True)
class LargestClass(Network):
    """No network at all: every image is said to be of the class most trained with."""

    def compute(self) -> xr.Dataset:
        """Return its errors."""
        _, parts, _ = self.begin()
        said = parts.y_learn.mode().values
        errors = {
            f"{parts.scored_on}_error": 100 * float((parts.y_score != said).float().mean()),
            "train_error": 100 * float((parts.y_learn != said).float().mean()),
        }
        return scored(errors, parts, learn_seconds=0.0)


def main(config: Config) -> xr.Dataset:
    """Train what is missing, print the table, draw the figure; return what they show."""
    sources = [version for path in config.sets for version in versions(path, config)]
    if config.data and not {*config.data} & CLASSES.keys():
        datasets.check_root(config, *config.data)
    where = study.places(config, "faces")
    asked = [trial for source in sources for trial in trials(config, source)]
    known = study.filled(
        config,
        where,
        asked,
        title="Faces: accuracy of competing units and of their controls",
        protocol=PROTOCOL,
    )
    result = only(known, asked)
    print(face_figure.table(result))
    figure = face_figure.draw(result, {s.label: s.load() for s in sources}, PROTOCOL)
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
    names = (*config.methods, face_figure.CHANCE)
    return [network(name, source, seed, config) for name in names for seed in seeds]


def network(method: str, source: Source, seed: int, config: Config) -> Network:
    """Return one network."""
    known = SETTINGS.get(source.known, defaults_for(source.known))
    num_images = len(source.load().x_train)
    place: dict[str, Any] = {
        "network": method,
        "source": source,
        "num_units": config.num_units,
        "seed": seed,
        "preprocess": known.preprocess,
        "device": config.device,
    }
    match method:
        case "local rule" | "random weights":
            random = method == "random weights"
            return Shown(
                **place,
                p=known.p,
                competition=known.competition,
                training=training(known, num_images, random=random),
                readout=known.random if random else known.readout,
                fields=0 if random or seed else NUM_FIELDS,
            )
        case "k-means":
            most = max(1, num_images // IMAGES_PER_CLUSTER)
            return Clusters(
                **place | {"num_units": min(config.num_units, most)},
                kmeans=KMeans(passes=3),
                readout=known.kmeans,
            )
        case "back-propagation":
            batch_size = min(known.backprop.batch_size, num_images)
            return EndToEnd(
                **place | {"preprocess": known.backprop_preprocess},
                backprop=replace(known.backprop, batch_size=batch_size),
            )
        case "pixels":
            linear = Readout(loss="cross-entropy", lr=1e-3)
            head = PIXELS_HEAD.get(source.known, linear)
            return Pixels(**place | {"num_units": 0}, readout=head)
        case _:
            return LargestClass(**place | {"num_units": 0})


def training(known: Defaults, num_images: int, *, random: bool) -> Training:
    """Return how a layer is trained: as known, in smaller batches of few images."""
    training = known.training
    return replace(
        training,
        epochs=0 if random else training.epochs,
        batch_size=min(training.batch_size, num_images),
    )


def only(known: xr.Dataset, asked: Sequence[Network]) -> xr.Dataset:
    """Return the results of the networks asked for, one size for each set and method.

    k-means has fewer units than the others where there are few images.
    """
    mine = known["settings"].isin([settings.canonical(trial) for trial in asked])
    shown = known.drop_vars([*records.LABELS, "seconds"]).where(mine).max("num_units")
    places = {
        dim: [trial.coords[dim] for trial in asked] for dim in ("data", "network", "seed")
    }
    return shown.sel({dim: list(dict.fromkeys(at)) for dim, at in places.items()})


if __name__ == "__main__":
    study.command("faces", main, Config, __doc__)
