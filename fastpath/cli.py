"""The command `fastpath`: train, resume, evaluate, backprop, export."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from fastpath import (
    baselines,
    checkpoint,
    datasets,
    distributed,
    experiment,
    kernels,
    readout,
)
from fastpath.baselines import Backprop
from fastpath.competition import Equilibrium, Ranking, Soft, check_rank
from fastpath.defaults import defaults_for
from fastpath.machine import Machine
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.run import Plan, Saved, open_run, run, save, unfinished
from fastpath.train import Training


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How often a run that is under way is saved."""

    checkpoint_minutes: float = 5.0
    """Save a checkpoint at the end of an epoch when so many minutes have passed."""
    checkpoint_epochs: int | None = None
    """Save a checkpoint after so many epochs as well."""


@dataclass(frozen=True, kw_only=True)
class Train(Saving, Machine):
    """Train a layer without labels, then a linear readout of it; write both to a folder.

    The folder gets weights.safetensors, history.nc, config.json and metrics.json.
    """

    data: str
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    out: Path
    """Folder of the run."""
    overwrite: bool = False
    """Replace a run that the folder already holds."""
    seed: int = 0
    """Seed of everything random."""
    validation: int = 0
    """Hold out this many training images and score on them, not on the test set."""

    units: int = 2000
    """Number of hidden units K."""
    epochs: int = 100
    """Passes through the images; 0 is the control with random weights."""
    p: float = 2.0
    """Exponent of the metric (eq. 2), 2 or more."""
    batch_size: int = 100
    """Images per update."""
    lr: float = 0.04
    """Step size ε of the first epoch, annealed linearly towards 0."""
    normalize: Literal["max", "none"] = "max"
    """max: the largest change of an update is ε, as published; none: plain ε."""

    competition: Literal["ranking", "equilibrium", "soft"] = "ranking"
    """Who learns."""
    k: int = 2
    """Ranking: the rank that gets -delta; 2 is the runner-up."""
    delta: float = 0.4
    """Ranking and equilibrium: anti-Hebbian strength."""
    w_inh: float = 0.9
    """Equilibrium: strength of lateral inhibition."""
    h_star: float = 0.2
    """Equilibrium: activity above which a unit learns Hebbian, in units of the drive; for
    images of unit norm, else times their norm."""
    temperature: float = 1.0
    """Soft: temperature of the softmax, in units of the drive."""
    anti: bool = False
    """Soft: flip the sign of the losers."""

    subtract_mean: bool | None = None
    """Subtract the training mean [by data set]."""
    center_images: bool | None = None
    """Subtract each image's own mean [by data set]."""
    unit_norm: bool | None = None
    """Bring images to unit norm while learning; the readout always does [by data set]."""

    head_epochs: int = 20
    """Passes of the readout's training."""
    head_lr: float = 5e-3
    """Step size of Adam."""
    head_loss: Literal["tanh", "cross-entropy"] = "tanh"
    """Loss of the readout: eq. 12, or cross-entropy."""
    head_scaling: Literal["image", "unit"] = "image"
    """Scale each image's features to one sum, or standardise each unit's."""
    head_schedule: Literal["cosine", "step"] = "cosine"
    """Annealing of the readout's step size."""
    power: float | None = None
    """n of the features max(W·v, 0)^n [by data set; 1 for random weights]."""

    def plan(self, name: str) -> Plan:
        """Return what is to be done with the data set of this name."""
        known = defaults_for(name)
        given = {
            step: getattr(self, step)
            for step in ("subtract_mean", "center_images", "unit_norm")
        }
        chosen = {
            step: getattr(known.preprocess, step) if value is None else value
            for step, value in given.items()
        }
        return Plan(
            data=self._data(),
            units=self.units,
            p=self.p,
            seed=self.seed,
            validation=self.validation,
            competition=self._competition(),
            training=Training(
                epochs=self.epochs,
                batch_size=self.batch_size,
                lr=self.lr,
                normalize=None if self.normalize == "none" else "max",
            ),
            preprocess=Preprocess(**chosen),
            readout=Readout(
                epochs=self.head_epochs,
                power=self._power(known.readout.power),
                lr=self.head_lr,
                loss=self.head_loss,
                scaling=self.head_scaling,
                schedule=self.head_schedule,
            ),
        )

    def _data(self) -> str:
        """Return the data set, by a path that means the same in every folder."""
        path = Path(self.data)
        named = self.data in datasets.NAMES or not path.exists()
        return self.data if named else str(path.resolve())

    def _power(self, learned: float) -> float:
        if self.power is not None:
            return self.power
        return learned if self.epochs else baselines.RANDOM_POWER

    def _competition(self) -> Ranking | Equilibrium | Soft:
        match self.competition:
            case "ranking":
                return Ranking(k=self.k, delta=self.delta)
            case "equilibrium":
                return Equilibrium(w_inh=self.w_inh, h_star=self.h_star, delta=self.delta)
            case "soft":
                return Soft(temperature=self.temperature, anti=self.anti)


@dataclass(frozen=True, kw_only=True)
class Resume(Saving):
    """Go on with a run that was interrupted, to the result it would have had."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data_root: Path | None = None
    """Where data sets lie [as before]."""
    device: Literal["cpu", "cuda"] | None = None
    """What computes [as before; on another device results differ by rounding]."""
    threads: int | None = None
    """CPU threads at most [as before]."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Machine):
    """Score the weights and the readout of a run on the test set."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


@dataclass(frozen=True, kw_only=True)
class BackpropControl(Machine):
    """Train the same network end to end by back-propagation, as a control."""

    data: str
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    units: int = 2000
    """Number of hidden units."""
    epochs: int = 20
    """Passes through the images."""
    batch_size: int = 100
    """Images per update."""
    lr: float = 1e-3
    """Step size of Adam at the start, annealed to 0 by a cosine."""
    seed: int = 0
    """Seed of everything random."""
    validation: int = 0
    """Hold out this many training images and score on them, not on the test set."""


@dataclass(frozen=True, kw_only=True)
class Export(Machine):
    """Write held-out images as the layer of a run sees them, for `neurodyn simulate`."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path
    """The .npz file to write: images (image, pixel) and labels."""
    num_images: int = 50
    """How many images of the test set, drawn at random."""
    seed: int = 0
    """Seed of the draw."""
    overwrite: bool = False
    """Replace the file if it exists."""


def train(command: Train) -> None:
    """Run `fastpath train`."""
    device = command.ready()
    if command.units < 1:
        raise ValueError(f"units is {command.units}: at least 1 is needed")
    if not 0 <= command.seed < 2**63:
        raise ValueError(f"seed is {command.seed}: 0 to 2^63 - 1 is needed")
    images = datasets.load(command.data, command.data_root)
    plan = command.plan(images.name)
    if isinstance(plan.competition, Ranking):
        check_rank(plan.competition.k, plan.units)
    team = distributed.join(device)
    if team is None or team.rank == 0:
        checkpoint.prepare(command.out, overwrite=command.overwrite)
    _carry_out(plan, images, command.out, command, command, team, anew=True)


def resume(command: Resume) -> None:
    """Run `fastpath resume`."""
    plan, before = unfinished(command.run)
    root = command.data_root or before["data_root"]
    device = command.device or before["device"]
    machine = Machine(
        data_root=None if root is None else Path(root),
        device=device,
        threads=before["threads"] if command.threads is None else command.threads,
        precision=before["precision"] if device == "cuda" else "float32",
    )
    team = distributed.join(machine.ready())
    now = kernels.choose(torch.device(device), torch.float32).name
    if now != before["kernels"] and (team is None or team.rank == 0):
        print(
            f"fastpath: begun with the kernels '{before['kernels']}', now '{now}': the "
            "result will differ by rounding",
            file=sys.stderr,
        )
    images = datasets.load(plan.data, machine.data_root)
    _carry_out(plan, images, command.run, machine, command, team)


def _carry_out(
    plan: Plan,
    images: datasets.Images,
    folder: Path,
    machine: Machine,
    saving: Saving,
    team: distributed.Team | None,
    *,
    anew: bool = False,
) -> None:
    trained = run(
        plan,
        images,
        folder,
        machine=machine,
        anew=anew,
        epochs=saving.checkpoint_epochs,
        minutes=saving.checkpoint_minutes,
        team=team,
    )
    if trained is None:
        return
    save(folder, trained, plan, images, machine)
    _report(trained.metrics)
    print(f"saved to {folder}")


def evaluate(command: Evaluate) -> None:
    """Run `fastpath evaluate`."""
    run, images, device = _open(command)
    x = torch.from_numpy(images.x_test).to(device)
    v = readout.Streamed(
        run.weights.to(device), x, run.preprocess, run.mean.to(device), run.readout
    )
    y = torch.from_numpy(images.y_test).to(device)
    _report({"test_error": readout.error(run.head.to(device), v, y)})


def backprop_control(command: BackpropControl) -> None:
    """Run `fastpath backprop`."""
    device = command.ready()
    images = datasets.load(command.data, command.data_root)
    generator = torch.Generator().manual_seed(command.seed)
    parts = experiment.split(
        images, validation=command.validation, generator=generator, device=device
    )
    errors, seconds = experiment.timed(
        lambda: baselines.backprop(
            parts,
            num_units=command.units,
            num_classes=len(images.classes),
            backprop=Backprop(
                epochs=command.epochs, batch_size=command.batch_size, lr=command.lr
            ),
            preprocess=defaults_for(images.name).preprocess,
            generator=generator,
        )
    )
    _report({**errors, "train_seconds": seconds})


def export(command: Export) -> None:
    """Run `fastpath export`."""
    run, images, _ = _open(command)
    if not 1 <= command.num_images <= len(images.x_test):
        raise ValueError(
            f"num_images is {command.num_images}: there are 1 to {len(images.x_test)} "
            "test images to export"
        )
    if command.out.suffix != ".npz":
        raise ValueError(f"out is {command.out}: a file name that ends in .npz is needed")
    if command.out.exists() and not command.overwrite:
        raise ValueError(
            f"{command.out} exists: choose another --out, or give --overwrite to replace it"
        )
    generator = torch.Generator().manual_seed(command.seed)
    chosen = torch.randperm(len(images.x_test), generator=generator)[: command.num_images]
    v = run.preprocess(torch.from_numpy(images.x_test)[chosen], run.mean)
    checkpoint.save_arrays(
        command.out, {"images": v.numpy(), "labels": images.y_test[chosen.numpy()]}
    )
    print(f"saved {command.num_images} images to {command.out}")


def _open(
    command: Evaluate | Export,
) -> tuple[Saved, datasets.Images, torch.device]:
    device = command.ready()
    run = open_run(command.run)
    images = datasets.load(run.data, command.data_root)
    if images.num_pixels != run.weights.shape[1]:
        raise ValueError(
            f"the weights of {command.run} have {run.weights.shape[1]} pixels per unit, "
            f"the images of '{images.name}' {images.num_pixels}: has the data set changed?"
        )
    return run, images, device


def _what_is_left(command: Any) -> str:
    """Return what an interrupted command leaves behind."""
    folder = {Train: "out", Resume: "run"}.get(type(command))
    path = getattr(command, folder) if folder else None
    if path is None or not (path / checkpoint.CHECKPOINT).exists():
        return "nothing was saved"
    return f"go on from its last checkpoint by `fastpath resume {path}`"


def _report(metrics: dict[str, Any]) -> None:
    units = {"error": "%", "seconds": "s", "second": "images/s", "megabytes": "MB"}
    for name, value in metrics.items():
        unit = units[name.rsplit("_", 1)[1]]
        print(f"{name.replace('_', ' '):<20} {value:>10.2f} {unit}")


type Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[BackpropControl, tyro.conf.subcommand("backprop")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    command = tyro.cli(Command, args=args, prog="fastpath", description=__doc__)
    try:
        match command:
            case Train():
                train(command)
            case Resume():
                resume(command)
            case Evaluate():
                evaluate(command)
            case BackpropControl():
                backprop_control(command)
            case Export():
                export(command)
    except ConnectionError as error:  # another process of the team
        print(f"fastpath: {error}; {_what_is_left(command)}", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"fastpath: {reason}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"fastpath: interrupted; {_what_is_left(command)}", file=sys.stderr)
        sys.exit(130)
