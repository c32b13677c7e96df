"""`fastpath train`: settings, checks, and the run that `fastpath resume` shares."""

from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from fastpath import checks
from fastpath.commands.report import report
from fastpath.competition import KINDS, Equilibrium, Ranking, Soft, check_rank
from fastpath.compute import Machine
from fastpath.data import datasets
from fastpath.data.defaults import Defaults, defaults_for, taken
from fastpath.readout import NOT_OF_LOSS, Readout
from fastpath.runs import storage
from fastpath.runs.execute import Plan, run, save
from fastpath.training import distributed, tensorboard
from fastpath.training.loop import checked_size
from neurodyn.flags import refuse_in_vain

RANKING = "ranking"  # the competition where none is given


MINUTES = 5.0  # between checkpoints


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How often a run that is under way is saved."""

    checkpoint_minutes: float | None = None
    """Save a checkpoint at the end of an epoch when so many minutes have passed [5]."""
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

    def plan(self, origin: str, num_images: int | None = None) -> Plan:
        """Return what is to be done with a data set of this `Images.origin`.

        Where it has so few images to learn from, they are one mini-batch.
        """
        known = defaults_for(origin, self.units)
        training = replace(
            changed(known.training, self, "epochs", "batch_size", "lr"),
            normalize=None if self.normalize == "none" else "max",
        )
        if self.batch_size is None and num_images is not None:
            size = min(training.batch_size, num_images)
            training = replace(training, batch_size=size)
        return Plan(
            data=datasets.located(self.data),
            units=self.units,
            p=known.p if self.p is None else self.p,
            seed=self.seed,
            validation=self.validation,
            competition=self._competition(known.competition),
            training=training,
            preprocess=changed(
                known.preprocess, self, "subtract_mean", "center_images", "unit_norm"
            ),
            readout=self._readout(known, random=not training.epochs),
            snapshots=Plan.snapshots if self.snapshots is None else self.snapshots,
            tensorboard=self.tensorboard,
        )

    def _readout(self, known: Defaults, *, random: bool) -> Readout:
        given = {name: getattr(self, flag) for name, flag in HEAD_FLAGS.items()}
        return replace(
            known.random if random else known.readout,
            **{name: value for name, value in given.items() if value is not None},
        )

    def _competition(self, known: Ranking) -> Ranking | Equilibrium | Soft:
        kind = KINDS[self.competition or RANKING]
        names = [field.name for field in fields(kind)]
        of_data = {name: getattr(known, name) for name in names if hasattr(known, name)}
        return changed(kind(**of_data), self, *names)


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
# Those of learning itself, which weights that stay random have no use for.
OF_LEARNING = (
    *("lr", "batch_size", "normalize", "kernels", "competition"),
    *dict.fromkeys(field.name for kind in KINDS.values() for field in fields(kind)),
    *(field.name for field in fields(Saving)),
)


def changed[Settings: Any](known: Settings, command: object, *names: str) -> Settings:
    """Return settings with those in the place of the known that the command was given."""
    given = {name: getattr(command, name) for name in names}
    return replace(known, **{n: value for n, value in given.items() if value is not None})


def train(command: Train) -> None:
    """Run `fastpath train`."""
    device = command.ready()
    if command.tensorboard:
        tensorboard.check_installed()
    checks.count("units", command.units)
    checks.seed("seed", command.seed)
    datasets.check_root(command, command.data)
    images = datasets.load(command.data, command.data_root)
    num_images = len(images.x_train) - command.validation
    plan = command.plan(images.origin, num_images if num_images > 0 else None)
    refuse_what_is_in_vain(command, plan)
    if isinstance(plan.competition, Ranking) and plan.training.epochs:
        check_rank(plan.competition.k, plan.units)
    if command.batch_size is not None:
        checked_size(command.batch_size, num_images)
    team = distributed.join(device)
    if team is None or team.rank == 0:
        storage.prepare(command.out, overwrite=command.overwrite)
    carry_out(plan, images, command.out, command, command, team, anew=True)


def refuse_what_is_in_vain(command: Train, plan: Plan) -> None:
    """Raise ValueError if a setting was given that has no effect beside the others."""
    if not plan.training.epochs:
        without = (*OF_LEARNING, *("snapshots",) * bool(command.snapshots))
        refuse_in_vain(command, without, why="with --epochs 0, where weights stay random")
    chosen, rule = command.competition or RANKING, plan.competition
    settings = {name: {f.name for f in fields(other)} for name, other in KINDS.items()}
    for other, names in settings.items():
        refuse_in_vain(
            command,
            sorted(names - settings[chosen]),
            why=f"with --competition {chosen}",
            instead=f"give --competition {other}",
        )
    if isinstance(rule, Ranking) and not rule.delta:
        refuse_in_vain(command, ["k"], why="with --delta 0, where nothing unlearns")
    loss = plan.readout.loss
    (instead,) = NOT_OF_LOSS.keys() - {loss}
    refuse_in_vain(
        command,
        [HEAD_FLAGS[name] for name in NOT_OF_LOSS[loss] if name in HEAD_FLAGS],
        why=f"with --head-loss {loss}" + ", the default here" * (command.head_loss is None),
        instead=f"give --head-loss {instead}",
    )


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
    minutes = saving.checkpoint_minutes
    leads = team is None or team.rank == 0
    with storage.alone(folder) if leads else nullcontext():
        trained = run(
            plan,
            images,
            folder,
            machine=machine,
            anew=anew,
            epochs=saving.checkpoint_epochs,
            minutes=MINUTES if minutes is None else minutes,
            team=team,
        )
        if trained is None:
            return
        save(folder, trained, plan, images, machine)
    report(trained.metrics)
    print(taken(images))
    print(f"saved to {folder}")
