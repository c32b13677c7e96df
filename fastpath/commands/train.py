"""`fastpath train`: settings, checks, and the run that `fastpath resume` shares."""

from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fastpath import checks
from fastpath.commands.flags import Saving, Train
from fastpath.commands.report import report
from fastpath.competition import KINDS, Ranking, Rule
from fastpath.compute import Machine
from fastpath.data import datasets
from fastpath.data.defaults import Defaults, defaults_for, taken
from fastpath.readout import LOSSES, Readout
from fastpath.runs import storage
from fastpath.runs.execute import Plan, run, save
from fastpath.training import distributed, tensorboard
from fastpath.training.loop import checked_size
from neurodyn.flags import refuse_in_vain

RANKING = "ranking"  # the competition where none is given


MINUTES = 5.0  # between checkpoints


def planned(command: Train, origin: str, num_images: int | None = None) -> Plan:
    """Return what is to be done with a data set of this `Images.origin`.

    Where it has so few images to learn from, they are one mini-batch.
    """
    known = defaults_for(origin, command.units)
    training = replace(
        changed(known.training, command, "epochs", "batch_size", "lr"),
        normalize=None if command.normalize == "none" else "max",
    )
    if command.batch_size is None and num_images is not None:
        size = min(training.batch_size, num_images)
        training = replace(training, batch_size=size)
    return Plan(
        data=datasets.located(command.data),
        units=command.units,
        p=known.p if command.p is None else command.p,
        seed=command.seed,
        validation=command.validation,
        competition=_competition(command, known.competition),
        training=training,
        preprocess=changed(
            known.preprocess, command, "subtract_mean", "center_images", "unit_norm"
        ),
        readout=_readout(command, known, random=not training.epochs),
        snapshots=Plan.snapshots if command.snapshots is None else command.snapshots,
        tensorboard=command.tensorboard,
    )


def _readout(command: Train, known: Defaults, *, random: bool) -> Readout:
    given = {name: getattr(command, flag) for name, flag in HEAD_FLAGS.items()}
    return replace(
        known.random if random else known.readout,
        **{name: value for name, value in given.items() if value is not None},
    )


def _competition(command: Train, known: Ranking) -> Rule:
    kind: Any = KINDS[command.competition or RANKING]
    names = [field.name for field in fields(kind)]
    of_data = {name: getattr(known, name) for name in names if hasattr(known, name)}
    return changed(kind(**of_data), command, *names)


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
    plan = planned(command, images.origin, num_images if num_images > 0 else None)
    refuse_what_is_in_vain(command, plan)
    if isinstance(plan.competition, Rule) and plan.training.epochs:
        plan.competition.check(plan.units)
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
    for other in LOSSES.keys() - {loss}:
        in_vain = {*LOSSES[other].settings} - {*LOSSES[loss].settings}
        is_default = ", the default here" * (command.head_loss is None)
        refuse_in_vain(
            command,
            sorted(HEAD_FLAGS[name] for name in in_vain if name in HEAD_FLAGS),
            why=f"with --head-loss {loss}" + is_default,
            instead=f"give --head-loss {other}",
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
