"""`fastpath train`: settings, checks, and the run that `fastpath resume` shares."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fastpath import board, checkpoint, datasets, distributed
from fastpath.commands.report import report
from fastpath.competition import Equilibrium, Ranking, Soft, check_rank
from fastpath.defaults import Defaults, defaults_for, taken
from fastpath.machine import Machine
from fastpath.readout import Readout
from fastpath.run import Plan, run, save


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
    epochs: int | None = None
    """Passes through the images; 0 is the control with random weights [by data set]."""
    p: float | None = None
    """Exponent of the metric (eq. 2), 2 or more [by data set]."""
    batch_size: int | None = None
    """Images per update [by data set]."""
    lr: float | None = None
    """Step size ε of the first epoch, annealed linearly towards 0 [by data set]."""
    normalize: Literal["max", "none"] = "max"
    """max: the largest change of an update is ε, as published; none: plain ε."""

    competition: Literal["ranking", "equilibrium", "soft"] = "ranking"
    """Who learns."""
    k: int | None = None
    """Ranking: the rank that gets -delta; 2 is the runner-up [by data set]."""
    delta: float | None = None
    """Ranking and equilibrium: anti-Hebbian strength [by data set]."""
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

    def plan(self, origin: str) -> Plan:
        """Return what is to be done with a data set of this `Images.origin`."""
        known = defaults_for(origin, self.units)
        training = replace(
            changed(known.training, self, "epochs", "batch_size", "lr"),
            normalize=None if self.normalize == "none" else "max",
        )
        return Plan(
            data=self._data(),
            units=self.units,
            p=known.p if self.p is None else self.p,
            seed=self.seed,
            validation=self.validation,
            competition=self._competition(changed(known.competition, self, "k", "delta")),
            training=training,
            preprocess=changed(
                known.preprocess, self, "subtract_mean", "center_images", "unit_norm"
            ),
            readout=self._readout(known, random=not training.epochs),
            snapshots=self.snapshots,
            tensorboard=self.tensorboard,
        )

    def _data(self) -> str:
        """Return the data set, by a path that means the same in every folder."""
        path = Path(self.data)
        named = self.data in datasets.NAMES or not path.exists()
        return self.data if named else str(path.resolve())

    def _readout(self, known: Defaults, *, random: bool) -> Readout:
        given = {name: getattr(self, flag) for name, flag in HEAD_FLAGS.items()}
        return replace(
            known.random if random else known.readout,
            **{name: value for name, value in given.items() if value is not None},
        )

    def _competition(self, known: Ranking) -> Ranking | Equilibrium | Soft:
        match self.competition:
            case "ranking":
                return known
            case "equilibrium":
                return Equilibrium(w_inh=self.w_inh, h_star=self.h_star, delta=known.delta)
            case "soft":
                return Soft(temperature=self.temperature, anti=self.anti)


# The flags of the readout's settings.
HEAD_FLAGS = {
    "epochs": "head_epochs",
    "lr": "head_lr",
    "loss": "head_loss",
    "m": "head_exponent",
    "smoothing": "head_smoothing",
    "scaling": "head_scaling",
    "schedule": "head_schedule",
    "power": "power",
}


def changed[Settings: Any](known: Settings, command: Train, *names: str) -> Settings:
    """Return settings with those in the place of the known that the command was given."""
    given = {name: getattr(command, name) for name in names}
    return replace(known, **{n: value for n, value in given.items() if value is not None})


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
    plan = command.plan(images.origin)
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
    leads = team is None or team.rank == 0
    with checkpoint.alone(folder) if leads else nullcontext():
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
    print(taken(images))
    print(f"saved to {folder}")
