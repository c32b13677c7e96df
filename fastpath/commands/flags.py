"""The flags of every sub-command; imports are few, so that help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fastpath.compute import Compute, Cores, Processor

# A copy of `datasets.GIVEN`, whose module is slow to import.
GIVEN = "digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder"
type Data = Annotated[str, tyro.conf.arg(help=f"{GIVEN}.")]


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How often a checkpoint is saved."""

    checkpoint_minutes: float | None = None
    """Minutes between checkpoints, which are saved at the end of an epoch [5]."""
    checkpoint_epochs: int | None = None
    """Epochs between checkpoints, in addition to those by time [by time only]."""


@dataclass(frozen=True, kw_only=True)
class Train(Saving, Compute):
    """Train a layer without labels, then its linear readout; write both to a folder.

    With --preset, the settings are those of a published result. The folder gets
    weights.safetensors, history.nc, snapshots.nc, config.json and metrics.json; `fastpath
    plot` draws figures of them.
    """

    data: Data | None = None
    """Data set [that of the preset]."""
    out: Path
    """Folder of the run."""
    preset: str | None = None
    """Settings that reproduce a published result; `fastpath presets` lists them."""
    control: Literal["random", "orthogonal", "patches", "kmeans", "backprop"] | None = None
    """The same network with other weights: as they start, orthogonal, whitened training
    patches, their k-means clusters, or trained end to end with labels [as they learn]."""
    set: tuple[str, ...] = ()
    """Settings without a flag, as NAME=VALUE, such as layer.stages.2.num_units=48: names
    are those of config.json, stages are numbered from 1."""
    overwrite: bool = False
    """Replace a run that the folder already holds."""
    seed: int = 0
    """Seed of all random numbers."""
    validation: int = 0
    """Number of training images held out to score on, instead of the test set."""
    snapshots: int | None = None
    """Number of snapshots of the weights of 100 units, log-spaced from the start to the
    end: after epochs and, if there are too few, after mini-batches of the first epochs (on
    CUDA after epochs only); 0 keeps none [25]."""
    tensorboard: bool = False
    """Write events for TensorBoard to the folder `tensorboard` in the run's folder."""

    units: int | None = None
    """Number of hidden units K [2000]."""
    epochs: int | None = None
    """Number of epochs; 0 is the control with random weights [by data set]."""
    p: float | None = None
    """Exponent of the metric (eq. 2), 2 or more [by data set]."""
    batch_size: int | None = None
    """Images in a mini-batch [by data set; all images if they are fewer]."""
    lr: float | None = None
    """Learning rate ε of the first epoch, annealed linearly towards 0 [by data set]."""
    normalize: Literal["max", "none"] | None = None
    """max: ε / max|ΔW| times ΔW, as published; none: ε times ΔW [max]."""

    competition: Literal["ranking", "runners-up", "equilibrium", "soft"] | None = None
    """Competition that decides which units learn from an image [ranking]."""
    k: int | None = None
    """Ranking: the rank that gets -delta; 2 is the runner-up [by data set]. Runners-up: the
    number of units, after the winner, that each get -delta [2]."""
    delta: float | None = None
    """Anti-Hebbian strength; soft: with anti only [by data set; soft: 1]."""
    w_inh: float | None = None
    """Equilibrium: strength of lateral inhibition [0.9]."""
    h_star: float | None = None
    """Equilibrium: activity from which on a unit learns Hebbian, in units of the drive; for
    images of other than unit norm, multiply it by their norm [0.2]."""
    temperature: float | None = None
    """Soft: temperature of the softmax, in units of the drive [1]."""
    anti: tyro.conf.DisallowNone[bool | None] = None
    """Soft: multiply g by -delta for all units but the winner [not multiplied]."""

    subtract_mean: bool | None = None
    """Subtract the mean training image [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Scale images to unit norm in training; the readout always does so [by data set]."""

    augment_use: Literal["features", "readout", "both"] | None = None
    """Training that sees randomly changed images: of the features, of the readout, or both.
    Scored images are never changed [both]."""
    augment_flip: float | None = None
    """Probability of the mirror image [0]."""
    augment_crop: int | None = None
    """Largest shift in pixels: a random crop of the image padded by so many [0]."""
    augment_affine: float | None = None
    """Probability of a rotation, zoom and shear [1]."""
    augment_rotate: float | None = None
    """Largest rotation, in degrees [0]."""
    augment_zoom: float | None = None
    """Largest enlargement: the factor is 1 / (1 + ZOOM) to 1 + ZOOM [0]."""
    augment_shear: float | None = None
    """Largest shift of a row, as a share of its distance from the centre [0]."""
    augment_jitter: float | None = None
    """Probability of other contrast and brightness [1]."""
    augment_contrast: float | None = None
    """Largest relative change of contrast [0]."""
    augment_brightness: float | None = None
    """Largest change of brightness, as a share of white [0]."""
    augment_erase: float | None = None
    """Probability that a square is erased [0]."""
    augment_erase_size: float | None = None
    """Side of that square, as a share of the image's [0.5]."""

    head_epochs: int | None = None
    """Number of epochs of the readout [by data set]."""
    head_lr: float | None = None
    """Learning rate of Adam for the readout [by data set]."""
    head_loss: Literal["tanh", "cross-entropy"] | None = None
    """Loss of the readout: tanh is eq. 12 [by data set]."""
    head_exponent: float | None = None
    """Tanh loss: exponent m of eq. 12 [by data set]."""
    head_smoothing: float | None = None
    """Cross-entropy: label smoothing, the share of each target spread over all classes [by
    data set]."""
    head_scaling: Literal["image", "set", "unit", "none"] | None = None
    """Scaling of features: image scales those of each image to the same sum, set scales all
    by one factor, unit standardises those of each unit, none keeps them [by data set]."""
    head_schedule: Literal["cosine", "step", "halved"] | None = None
    """Annealing of the readout's learning rate [by data set]."""
    head_dropout: float | None = None
    """Share of the features that each step of the readout's training sets to 0 [0]."""
    head_flips: tyro.conf.DisallowNone[bool | None] = None
    """Train the readout on mirror images too, each with probability 1/2 [not mirrored]."""
    power: float | None = None
    """Exponent n of the features max(W·v, 0)^n [by data set, 1 for random weights]."""


@dataclass(frozen=True, kw_only=True)
class Resume(Saving):
    """Continue an interrupted run, to the result that it would have had."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """The same images, if they were moved: a name, an .npz file or an image folder [as
    before]."""
    data_root: Path | None = None
    """Folder of the data sets [as before]."""
    device: Literal["cpu", "cuda"] | None = None
    """Device that computes [as before; on another device results differ by rounding]."""
    threads: int | None = None
    """Largest number of CPU threads [as before]."""


@dataclass(frozen=True, kw_only=True)
class OfRun(Cores):
    """The folders of a finished run and of its images."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: str | None = None
    """The images, if they were moved: a name, an .npz file or an image folder [as
    before]."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(OfRun, Processor):
    """Score the weights and the readout of a run on the test set."""


@dataclass(frozen=True, kw_only=True)
class Predict(Processor):
    """Classify images by a finished run; write CSV with the columns image and class."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    images: tyro.conf.Positional[Path]
    """An image file, a folder of them, or an .npy file: (image, height, width[, channel])
    of uint8."""
    out: Path | None = None
    """CSV file to write [print to the terminal]."""
    overwrite: bool = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the figures of a finished run: fields, training, readout, confusions.

    Writes receptive_fields.png, training.png, learning_curve.png, confusion.png and
    receptive_fields.gif. Of a stack also preferred_patches.png and activity_maps.png, which
    need the data set; without it they are left out. Existing figures are replaced.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path | None = None
    """Folder of the figures [that of the run]."""
    data: str | None = None
    """The images, if they were moved: a name, an .npz file or an image folder [as
    before]."""
    data_root: Path | None = None
    """Folder of the data sets [$NEURODYN_DATA, else the user's cache]."""


@dataclass(frozen=True, kw_only=True)
class Backprop(Processor):
    """Train the same network end to end by back-propagation, as a control."""

    data: Data
    out: Path | None = None
    """Folder to save the run to, for `evaluate`, `predict` and `plot` [not saved]."""
    overwrite: bool = False
    """Replace a run that the folder already holds."""
    units: int = 2000
    """Number of hidden units."""
    epochs: int | None = None
    """Number of epochs [by data set]."""
    batch_size: int | None = None
    """Images in a mini-batch [by data set; all images if they are fewer]."""
    lr: float | None = None
    """Initial learning rate of Adam, annealed to 0 by a cosine [by data set]."""
    smoothing: float | None = None
    """Label smoothing: share of each target spread over all classes [by data set]."""
    subtract_mean: bool | None = None
    """Subtract the mean training image [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Scale images to unit norm [by data set]."""
    seed: int = 0
    """Seed of all random numbers."""
    validation: int = 0
    """Number of training images held out to score on, instead of the test set."""


@dataclass(frozen=True, kw_only=True)
class Export(OfRun):
    """Write preprocessed test images of a run, for `neurodyn simulate`."""

    out: Path
    """.npz file to write: images (image, pixel) and labels."""
    num_images: int = 50
    """Number of test images, drawn at random."""
    seed: int = 0
    """Seed of the draw."""
    overwrite: bool = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class Search(Compute):
    """Search settings of `fastpath train` for the smallest error on held-out images.

    A search that was interrupted goes on where it was: give the same --out, with the same
    settings or without any. The same command in another terminal, or with --storage on
    another machine, is one more worker. The test set is used by --final only.
    """

    settings: tyro.conf.Positional[tuple[str, ...]] = ()
    """Settings: NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C are searched, NAME=VALUE is
    fixed. Names are those of the flags of `fastpath train`, such as lr or preset, or of its
    --set, such as layer.stages.2.num_units [as before]."""
    data: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Data set, named as in `fastpath train`; with several --data, the error is the mean
    over them [as before]."""
    out: Path
    """Folder of the search: its journal, table and figures."""
    storage: str | None = None
    """Another journal file, or URL of a database, such as
    postgresql://user:password@host/database [journal.log in the folder]."""
    name: str | None = None
    """Name of the search in its storage [that of the folder]."""
    seeds: int | None = None
    """Seeds with which each choice of settings is trained [as before; 1]."""
    validation: int | None = None
    """Training images held out of each data set, to score on [as before; a sixth]."""
    score: Literal["labels", "rotation"] | None = None
    """labels: the error of the readout. rotation: that of a readout which tells by which
    angle the images were rotated, without labels [as before; labels]."""
    prune: tyro.conf.DisallowNone[bool | None] = None
    """Stop a training that is in the worst quarter after 25 % of its epochs, or in the
    worse half after 50 %; and settings that are worse on several data sets and seeds
    (Wilcoxon test, p < 0.1) [as before; yes]."""
    seed: int | None = None
    """Seed of the proposals [as before; 0]."""
    trials: int | None = None
    """Number of trials in all, those of before included [100, or without limit if --hours
    is given]."""
    hours: float | None = None
    """Hours after which no further trial begins."""
    workers: int = 1
    """Processes that compute trials on this machine."""
    scheduler: str | None = None
    """Address of a running dask scheduler whose workers compute the trials (host:port)."""
    final: bool = False
    """Train with the best settings and with the defaults, three seeds each, on all training
    images; score them on the test set, once."""


@dataclass(frozen=True, kw_only=True)
class Presets:
    """List the presets of `fastpath train`, or print the settings of one."""

    name: tyro.conf.Positional[str | None] = None
    """Preset whose settings to print [list all]."""


type Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Presets, tyro.conf.subcommand("presets")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Backprop, tyro.conf.subcommand("backprop")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)
