"""`fastpath train`: settings, checks, and the run that `fastpath resume` shares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastpath import baselines, board, checkpoint, datasets, distributed
from fastpath.commands.report import report
from fastpath.competition import Equilibrium, Ranking, Soft, check_rank
from fastpath.defaults import defaults_for
from fastpath.machine import Machine
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.run import Plan, run, save
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

    The folder gets weights.safetensors, history.nc, snapshots.nc, config.json and
    metrics.json; `fastpath plot` draws pictures of them.
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
    snapshots: int = 25
    """Number of epochs at which the weights of 100 units are kept, log-spaced from the
    start to the last; 0 keeps none."""
    tensorboard: bool = False
    """Write events for TensorBoard to the folder `tensorboard` of the run."""

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
                power=self._power(known.power),
                lr=self.head_lr,
                loss=self.head_loss,
                scaling=self.head_scaling,
                schedule=self.head_schedule,
            ),
            snapshots=self.snapshots,
            tensorboard=self.tensorboard,
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


def train(command: Train) -> None:
    """Run `fastpath train`."""
    device = command.ready()
    if command.tensorboard:
        board.check_installed()
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
    carry_out(plan, images, command.out, command, command, team, anew=True)


def carry_out(
    plan: Plan,
    images: datasets.Images,
    folder: Path,
    machine: Machine,
    saving: Saving,
    team: distributed.Team | None,
    *,
    anew: bool = False,
) -> None:
    """Run a plan to its end, in its folder; only the leader of a team reports."""
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
    report(trained.metrics)
    print(f"saved to {folder}")
