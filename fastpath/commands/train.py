"""`fastpath train`: settings, checks, and the steps shared with `fastpath resume`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fastpath import checks, presets
from fastpath.baselines.controls import control_of
from fastpath.commands.flags import GIVEN, Saving, Train
from fastpath.commands.report import report
from fastpath.competition import KINDS, Ranking, Rule, RunnersUp, Soft
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.data.augment import Augment
from fastpath.data.defaults import defaults_for, source_of_defaults
from fastpath.data.preprocess import Preprocess
from fastpath.layers import DenseSettings
from fastpath.readout import LOSSES
from fastpath.runs import storage
from fastpath.runs.changes import with_set
from fastpath.runs.config import RunConfig, of_preset
from fastpath.runs.execute import execute, save
from fastpath.training import distributed, tensorboard
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import checked_size
from neurodyn.flags import as_flag, refuse_without_effect

RANKING = "ranking"  # the default competition
UNITS = 2000


def configured(command: Train, origin: str, num_images: int | None = None) -> RunConfig:
    """Return the configuration of a run for a data set of this `Images.origin`.

    A data set with fewer training images than a mini-batch is one mini-batch.
    """
    config = _of_preset(command) if command.preset else _of_data(command, origin)
    training = changed(config.training, command, "epochs", "batch_size", "lr")
    if command.normalize is not None:
        without = command.normalize == "none"
        training = replace(training, normalize=None if without else "max")
    if command.batch_size is None and num_images is not None:
        size = min(training.batch_size, num_images)
        training = replace(training, batch_size=size)
    steps = "subtract_mean", "center_images", "unit_norm"
    config = replace(
        config,
        training=training,
        preprocess=changed(config.preprocess, command, *steps),
        readout=_renamed(config.readout, command, HEAD_FLAGS),
        augment=_renamed(config.augment, command, AUGMENT_FLAGS),
        snapshots=RunConfig.snapshots if command.snapshots is None else command.snapshots,
    )
    config = with_set(config, command.set)
    if command.control is None:
        return config
    control = control_of(config, command.control)
    if control.backprop is not None:
        names = "epochs", "batch_size", "lr"
        control = replace(control, backprop=changed(control.backprop, command, *names))
    return control


def _of_preset(command: Train) -> RunConfig:
    """Return the configuration of a preset, for the data and the seed of the command."""
    assert command.preset is not None
    return of_preset(presets.load(command.preset), **_of_command(command))


def _of_data(command: Train, origin: str) -> RunConfig:
    """Return the default configuration of a data set."""
    units = UNITS if command.units is None else command.units
    defaults = defaults_for(origin, units)
    epochs = defaults.training.epochs if command.epochs is None else command.epochs
    random = not epochs or command.control is not None
    return RunConfig(
        layer=DenseSettings(
            num_units=units, p=defaults.p if command.p is None else command.p
        ),
        competition=_competition(command, defaults.competition),
        training=defaults.training,
        preprocess=defaults.preprocess,
        readout=defaults.random if random else defaults.readout,
        **_of_command(command),
    )


def _of_command(command: Train) -> dict[str, Any]:
    return {
        "data": datasets.located(data_of(command)),
        "seed": command.seed,
        "validation": command.validation,
        "tensorboard": command.tensorboard,
    }


def data_of(command: Train) -> str:
    """Return the data set of a command, or of its preset.

    Raises
    ------
    ValueError
        If neither names one.
    """
    if command.data is not None:
        return command.data
    if command.preset is not None:
        return presets.load(command.preset).data
    raise ValueError(f"there is no data set: give --data ({GIVEN}) or --preset")


def _competition(command: Train, default: Ranking) -> Rule:
    cls: Any = KINDS[command.competition or RANKING]
    names = [field.name for field in fields(cls)]
    # The k of a data set is a rank, which says nothing about how many units should unlearn;
    # nor does its delta, of one unit, say how strongly all the losers of a softmax should.
    others = {RunnersUp: {"k"}, Soft: {"delta"}}.get(cls, set())
    same = {*names} - others
    of_data = {name: getattr(default, name) for name in same if hasattr(default, name)}
    return changed(cls(**of_data), command, *names)


# The flags of the readout's settings.
HEAD_FLAGS = {
    "epochs": "head_epochs",
    "lr": "head_lr",
    "loss": "head_loss",
    "m": "head_exponent",
    "smoothing": "head_smoothing",
    "scaling": "head_scaling",
    "schedule": "head_schedule",
    "dropout": "head_dropout",
    "flips": "head_flips",
    "power": "power",
}
AUGMENT_FLAGS = {field.name: f"augment_{field.name}" for field in fields(Augment)}
# The flags of what learns, which a preset decides.
OF_LAYER = (
    *("units", "p", "competition"),
    *dict.fromkeys(field.name for kind in KINDS.values() for field in fields(kind)),
)
# The flags of learning, which have no effect on random weights.
OF_LEARNING = (
    *("lr", "batch_size", "normalize", "kernels", "competition"),
    *dict.fromkeys(field.name for kind in KINDS.values() for field in fields(kind)),
    *(field.name for field in fields(Saving)),
)


# The flags of settings by their names in config.json.
FLAG_OF = {
    "layer.num_units": "units",
    "layer.p": "p",
    **{f"competition.{f.name}": f.name for kind in KINDS.values() for f in fields(kind)},
    **{f"training.{name}": name for name in ("epochs", "batch_size", "lr", "normalize")},
    **{f"preprocess.{field.name}": field.name for field in fields(Preprocess)},
    **{f"readout.{name}": flag for name, flag in HEAD_FLAGS.items()},
    **{f"augment.{name}": flag for name, flag in AUGMENT_FLAGS.items()},
}


def changed[Settings: Any](settings: Settings, command: object, *names: str) -> Settings:
    """Return settings with the values of the command's flags, where these are given."""
    values = {name: getattr(command, name) for name in names}
    return replace(
        settings, **{name: value for name, value in values.items() if value is not None}
    )


def _renamed[Settings: Any](
    settings: Settings, command: Train, flags: Mapping[str, str]
) -> Settings:
    """Return settings with the values of flags of other names, where these are given."""
    values = {name: getattr(command, flag) for name, flag in flags.items()}
    return replace(settings, **{n: v for n, v in values.items() if v is not None})


def train(command: Train) -> None:
    """Run `fastpath train`."""
    device = command.ready()
    if command.tensorboard:
        tensorboard.check_installed()
    check_alone(command)
    checks.seed("seed", command.seed)
    data = data_of(command)
    datasets.check_root(command, data)
    images = datasets.load(data, command.data_root)
    config = checked(command, images.origin, len(images.x_train) - command.validation)
    refuse_flags_without_effect(command, config)
    team = distributed.join(device)
    if team is None or team.is_main:
        storage.prepare(command.out, overwrite=command.overwrite)
    checkpoints = checkpoints_of(command, command.out, restart=True)
    chosen = source_of_defaults(images)
    if command.preset is not None:
        chosen = f"settings not given: those of the preset {command.preset}"
    if carry_out(config, images, checkpoints, command, team):
        print(chosen)


def check_alone(command: Train) -> None:
    """Raise ValueError for settings that are wrong for any data set."""
    if command.units is not None:
        checks.count("units", command.units)
    if command.preset is not None:
        why, instead = "with --preset, which says what learns", "leave out --preset"
        refuse_without_effect(command, OF_LAYER, why=why, instead=instead)
    for change in command.set:
        name = change.partition("=")[0]
        flag = FLAG_OF.get(name)
        if flag is not None and not (command.preset and flag in OF_LAYER):
            raise ValueError(
                f"{name} is the setting {as_flag(flag, None).split()[0]}: give it by this "
                "name"
            )


def checked(command: Train, origin: str, num_images: int) -> RunConfig:
    """Return the configuration of a run on so many training images of a data set.

    Raises
    ------
    ValueError
        If a setting has a value that is not allowed, alone or together with the others.
    """
    config = configured(command, origin, num_images if num_images > 0 else None)
    if isinstance(config.competition, Rule) and config.training.epochs:
        config.competition.check(config.layer.num_units)
    if command.batch_size is not None:
        checked_size(command.batch_size, num_images)
    return config


@dataclass(frozen=True)
class Ineffective:
    """Settings that have no effect together with the others."""

    names: Sequence[str]
    why: str
    """The end of a sentence, such as "with --epochs 0"."""
    instead: str = ""
    """What would make them effective."""


def ineffective(command: Train, config: RunConfig) -> Iterator[Ineffective]:
    """Yield the settings that would have no effect, whether they were given or not."""
    if not config.training.epochs:
        without = (*OF_LEARNING, *("snapshots",) * bool(command.snapshots))
        given, state = "--epochs 0", "random"
        if command.control is not None:
            without, given, state = (*without, "epochs"), "--control", "as they start"
        if config.backprop is not None:
            kept = "epochs", "batch_size", "lr"
            without = tuple(name for name in without if name not in kept)
        yield Ineffective(without, f"with {given}, where weights stay {state}")
    chosen, rule = command.competition or RANKING, config.competition
    settings = {name: {f.name for f in fields(other)} for name, other in KINDS.items()}
    for other, names in settings.items():
        yield Ineffective(
            sorted(names - settings[chosen]),
            f"with --competition {chosen}",
            f"give --competition {other}",
        )
    if isinstance(rule, Ranking | RunnersUp) and not rule.delta:
        yield Ineffective(["k"], "with --delta 0, where nothing unlearns")
    if isinstance(rule, Soft) and not rule.anti:
        why = "with --competition soft, where nothing unlearns"
        yield Ineffective(["delta"], why, "give --anti too")
    yield from _ineffective_augmentation(config)
    loss = config.readout.loss
    for other in LOSSES.keys() - {loss}:
        without_effect = {*LOSSES[other].settings} - {*LOSSES[loss].settings}
        is_default = ", the default here" * (command.head_loss is None)
        yield Ineffective(
            sorted(HEAD_FLAGS[name] for name in without_effect if name in HEAD_FLAGS),
            f"with --head-loss {loss}" + is_default,
            f"give --head-loss {other}",
        )


def _ineffective_augmentation(config: RunConfig) -> Iterator[Ineffective]:
    """Yield the settings of augmentation that would have no effect."""
    policy = config.augment
    if not (policy.rotate or policy.zoom or policy.shear):
        why, instead = "without a rotation, zoom or shear", "give --augment-rotate 10"
        yield Ineffective(["augment_affine"], why, instead)
    elif not policy.affine:
        why = "with --augment-affine 0"
        yield Ineffective([f"augment_{n}" for n in ("rotate", "zoom", "shear")], why)
    if not (policy.contrast or policy.brightness):
        why, instead = "without other contrast or brightness", "give --augment-contrast 0.2"
        yield Ineffective(["augment_jitter"], why, instead)
    elif not policy.jitter:
        why = "with --augment-jitter 0"
        yield Ineffective(["augment_contrast", "augment_brightness"], why)
    if not policy.erase:
        why, instead = "where nothing is erased", "give --augment-erase 0.5"
        yield Ineffective(["augment_erase_size"], why, instead)
    elif not policy.erase_size:
        yield Ineffective(["augment_erase"], "with --augment-erase-size 0")
    if not policy.changes:
        why, instead = "where no image is changed", "give --augment-crop 2"
        yield Ineffective(["augment_use"], why, instead)
    elif not config.training.epochs and policy.use == "features":
        why, instead = "where weights stay as they start", "give --augment-use readout"
        yield Ineffective([*AUGMENT_FLAGS.values()], why, instead)


def refuse_flags_without_effect(command: Train, config: RunConfig) -> None:
    """Raise ValueError if a given flag has no effect together with the others."""
    for each in ineffective(command, config):
        refuse_without_effect(command, each.names, why=each.why, instead=each.instead)


def checkpoints_of(saving: Saving, folder: Path, *, restart: bool = False) -> Checkpoints:
    """Return the folder and the frequency of checkpoints."""
    minutes = saving.checkpoint_minutes
    return Checkpoints(
        folder=folder,
        restart=restart,
        epochs=saving.checkpoint_epochs,
        minutes=Checkpoints.minutes if minutes is None else minutes,
    )


def carry_out(
    config: RunConfig,
    images: datasets.Images,
    checkpoints: Checkpoints,
    compute: Compute,
    team: distributed.Team | None,
) -> bool:
    """Execute a run and save it to its folder; return whether this process reported it.

    Only the main process of a team does.
    """
    folder = checkpoints.folder
    is_main = team is None or team.is_main
    with storage.alone(folder) if is_main else nullcontext():
        trained = execute(config, images, checkpoints, compute=compute, team=team)
        if trained is None:
            return False
        save(folder, trained, config, images, compute)
    report(trained.metrics)
    print(f"saved to {folder}")
    return True
