"""The settings of every sub-command, as flags; light, so that help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fastpath.compute import Compute, Cores, Processor

# `datasets.GIVEN`, which takes long to load.
GIVEN = "digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder"
type Data = Annotated[str, tyro.conf.arg(help=f"{GIVEN}.")]


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How often a run that is under way is saved."""

    checkpoint_minutes: float | None = None
    """Save a checkpoint at the end of an epoch when so many minutes have passed [5]."""
    checkpoint_epochs: int | None = None
    """Save a checkpoint after so many epochs as well."""


@dataclass(frozen=True, kw_only=True)
class Train(Saving, Compute):
    """Train a layer without labels, then a linear readout of it; write both to a folder.

    The folder gets weights.safetensors, history.nc, snapshots.nc, config.json and
    metrics.json; `fastpath plot` draws pictures of them.
    """

    data: Data
    out: Path
    """Folder of the run."""
    overwrite: bool = False
    """Replace a run that the folder already holds."""
    seed: int = 0
    """Seed of everything random."""
    validation: int = 0
    """Hold out this many training images and score on them, not on the test set."""
    snapshots: int | None = None
    """Number of epochs at which the weights of 100 units are kept, log-spaced from the
    start to the last; 0 keeps none [25]."""
    tensorboard: bool = False
    """Write events for TensorBoard to the folder `tensorboard` of the run."""

    units: int = 2000
    """Number of hidden units K."""
    epochs: int | None = None
    """Passes through the images; 0 is the control with random weights [by data set]."""
    p: float | None = None
    """Exponent of the metric (eq. 2), 2 or more [by data set]."""
    batch_size: int | None = None
    """Images per update [by data set; all, if they are fewer]."""
    lr: float | None = None
    """Step size ε of the first epoch, annealed linearly towards 0 [by data set]."""
    normalize: Literal["max", "none"] | None = None
    """max: the largest change of an update is ε, as published; none: plain ε [max]."""

    competition: Literal["ranking", "equilibrium", "soft"] | None = None
    """Who learns [ranking]."""
    k: int | None = None
    """Ranking: the rank that gets -delta; 2 is the runner-up [by data set]."""
    delta: float | None = None
    """Ranking and equilibrium: anti-Hebbian strength [by data set]."""
    w_inh: float | None = None
    """Equilibrium: strength of lateral inhibition [0.9]."""
    h_star: float | None = None
    """Equilibrium: activity above which a unit learns Hebbian, in units of the drive; for
    images of unit norm, else times their norm [0.2]."""
    temperature: float | None = None
    """Soft: temperature of the softmax, in units of the drive [1]."""
    anti: tyro.conf.DisallowNone[bool | None] = None
    """Soft: flip the sign of the losers [they keep it]."""

    subtract_mean: bool | None = None
    """Subtract the training mean [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Bring images to unit norm while learning; the readout always does [by data set]."""

    head_epochs: int | None = None
    """Passes of the readout's training [by data set]."""
    head_lr: float | None = None
    """Step size of Adam [by data set]."""
    head_loss: Literal["tanh", "cross-entropy"] | None = None
    """Loss of the readout: eq. 12, or cross-entropy [by data set]."""
    head_exponent: float | None = None
    """m of the tanh loss, eq. 12 [by data set]."""
    head_smoothing: float | None = None
    """Cross-entropy: share of each target that is spread over all classes [by data set]."""
    head_scaling: Literal["image", "set", "unit"] | None = None
    """Scale each image's features to one sum, or all images' by one factor, or standardise
    each unit's [by data set]."""
    head_schedule: Literal["cosine", "step"] | None = None
    """Annealing of the readout's step size [by data set]."""
    power: float | None = None
    """n of the features max(W·v, 0)^n [by data set; another for random weights]."""


@dataclass(frozen=True, kw_only=True)
class Resume(Saving):
    """Go on with a run that was interrupted, to the result it would have had."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """Where the images are now, the same ones: a name, an .npz file or an image folder [as
    before]."""
    data_root: Path | None = None
    """Where data sets lie [as before]."""
    device: Literal["cpu", "cuda"] | None = None
    """What computes [as before; on another device results differ by rounding]."""
    threads: int | None = None
    """CPU threads at most [as before]."""


@dataclass(frozen=True, kw_only=True)
class OfRun(Cores):
    """A finished run, and where its images are."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """Where the images are now: a name, an .npz file or an image folder [as before]."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(OfRun, Processor):
    """Score the weights and the readout of a run on the test set."""


@dataclass(frozen=True, kw_only=True)
class Predict(Processor):
    """Say what each image shows, by a finished run: lines of CSV, image and class."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    images: tyro.conf.Positional[Path]
    """An image file, a folder of them, or an .npy file: (image, height, width[, channel])
    of uint8."""
    out: Path | None = None
    """The .csv file to write [the terminal]."""
    overwrite: bool = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw a finished run from its files: fields, training, readout, confusions.

    Writes receptive_fields.png, training.png, learning_curve.png, confusion.png and
    receptive_fields.gif; pictures that are there are replaced.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path | None = None
    """Folder of the pictures [that of the run]."""


@dataclass(frozen=True, kw_only=True)
class Backprop(Processor):
    """Train the same network end to end by back-propagation, as a control."""

    data: Data
    out: Path | None = None
    """Folder of the run, which `evaluate`, `predict` and `plot` read [not saved]."""
    overwrite: bool = False
    """Replace a run that the folder already holds."""
    units: int = 2000
    """Number of hidden units."""
    epochs: int | None = None
    """Passes through the images [by data set]."""
    batch_size: int | None = None
    """Images per update [by data set; all, if they are fewer]."""
    lr: float | None = None
    """Step size of Adam at the start, annealed to 0 by a cosine [by data set]."""
    smoothing: float | None = None
    """Share of each target that is spread over all classes [by data set]."""
    subtract_mean: bool | None = None
    """Subtract the training mean [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Bring images to unit norm [by data set]."""
    seed: int = 0
    """Seed of everything random."""
    validation: int = 0
    """Hold out this many training images and score on them, not on the test set."""


@dataclass(frozen=True, kw_only=True)
class Export(OfRun):
    """Write held-out images as the layer of a run sees them, for `neurodyn simulate`."""

    out: Path
    """The .npz file to write: images (image, pixel) and labels."""
    num_images: int = 50
    """How many images of the test set, drawn at random."""
    seed: int = 0
    """Seed of the draw."""
    overwrite: bool = False
    """Replace the file if it exists."""


type Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Backprop, tyro.conf.subcommand("backprop")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)
