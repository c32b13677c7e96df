"""One run and its folder: begun, interrupted, gone on with, finished, opened."""

import functools
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fastpath import __version__, checks, experiment, kernels
from fastpath.ambient import isolated
from fastpath.competition import Equilibrium, Ranking, Soft, built_in
from fastpath.compute import Machine, check_memory
from fastpath.data.datasets import Images
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Trained
from fastpath.readout import Readout
from fastpath.runs import storage
from fastpath.runs.folder import METRICS_SUM, SETTINGS, check_known, named
from fastpath.runs.folder import open_run as open_run
from fastpath.training import tensorboard
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.distributed import Team
from fastpath.training.loop import Training
from fastpath.training.snapshots import Snapshots, check_number, spread
from fastpath.training.tensorboard import Board
from neurodyn import files

COMPETITIONS = {kind.__name__: kind for kind in (Ranking, Equilibrium, Soft)}
MACHINE = ("device", "threads", "precision", "data_root", "kernels")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides what a run leaves, but for the rounding of the machine."""

    data: str
    units: int
    p: float
    seed: int
    validation: int
    competition: Ranking | Equilibrium | Soft
    training: Training
    preprocess: Preprocess
    readout: Readout
    snapshots: int = 25
    """Number of epochs at which receptive fields are kept: see `snapshots.spread`."""
    tensorboard: bool = False
    """Write what happens for TensorBoard too."""

    def __post_init__(self) -> None:
        count = functools.partial(checks.count, least=0)
        numbers = {"seed": count, "validation": count, "snapshots": checks.whole}
        checks.fields(self, units=checks.count, p=checks.number, **numbers)
        checks.fields(self, tensorboard=checks.flag)
        checks.instance("data", self.data, str)
        check_number(self.snapshots)
        checks.instance("training", self.training, Training)
        checks.instance("readout", self.readout, Readout)
        # By their names and fields alone they are written down, and read again.
        if built_in(self.competition) is None or type(self.preprocess) is not Preprocess:
            raise ValueError(
                "a run that is saved has Ranking(), Equilibrium() or Soft(), and a "
                "Preprocess(): use `experiment.learn` for others"
            )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **asdict(self),
            "competition": {"name": type(self.competition).__name__}
            | asdict(self.competition),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], path: Path) -> "Plan":
        """Return the plan that `as_json` described, as it was read from this file.

        Raises
        ------
        ValueError
            If the settings are those of another version, or have other values.
        """
        competition = values.get("competition")
        name = competition.get("name") if isinstance(competition, dict) else competition
        if not isinstance(competition, dict) or str(name) not in COMPETITIONS:
            raise ValueError(
                f"{path}: the competition is {checks.shown(name)}: this version has "
                f"{', '.join(COMPETITIONS)}"
            )
        kinds: dict[str, Any] = {"competition": COMPETITIONS[str(name)], **SETTINGS}
        held: dict[str, Any] = {n: v for n, v in values.items() if n != "fastpath"}
        held["competition"] = {n: v for n, v in competition.items() if n != "name"}
        check_known(held, {"": cls, **kinds}, path, values.get("fastpath"))
        with named(path):
            made = {name: kind(**held[name]) for name, kind in kinds.items()}
            return cls(**held | made)


@isolated(grad=False, numpy=True)
def run(
    plan: Plan,
    images: Images,
    folder: Path,
    *,
    machine: Machine,
    anew: bool,
    epochs: int | None,
    minutes: float | None,
    team: Team | None = None,
) -> Trained | None:
    """Carry out a plan, from where a checkpoint in its folder left it; write the folder.

    Parameters
    ----------
    anew
        Leave aside a checkpoint that is there.
    epochs, minutes
        How often to save a checkpoint: see `keeper.Checkpoints`.
    team
        The processes that share the work. All but the first get None in the end.
    """
    device = machine.ready()
    if device.type == "cuda":
        _check_device_memory(plan, images, device)
    generator = torch.Generator().manual_seed(plan.seed)
    parts = experiment.split(
        images, validation=plan.validation, generator=generator, device=device
    )
    parts.check_classes(len(images.classes))
    snapshots = Snapshots(spread(plan.snapshots, plan.training.epochs))
    with closing(Board(folder, images.shape)) as board:
        layer, mean, history = experiment.learn_features(
            parts,
            num_units=plan.units,
            p=plan.p,
            competition=plan.competition,
            training=plan.training,
            preprocess=plan.preprocess,
            generator=generator,
            checkpoints=Checkpoints(
                folder=folder,
                config=identity(plan, images, machine),
                anew=anew,
                epochs=epochs,
                minutes=minutes,
            ),
            snapshots=snapshots,
            board=board if plan.tensorboard else None,
            team=team,
            kernels=machine.kernels,
        )
        if team is not None:
            team.leave()
            if team.rank > 0:
                return None
        trained = experiment.finish(
            layer,
            mean,
            history,
            parts,
            num_classes=len(images.classes),
            preprocess=plan.preprocess,
            head=plan.readout,
            generator=generator,
        )
        if plan.tensorboard:
            board.finish(trained.history, trained.metrics)
    return replace(trained, snapshots=snapshots.as_dataset() if snapshots.kept else None)


def _check_device_memory(plan: Plan, images: Images, device: torch.device) -> None:
    check_memory(
        {
            "images": images.x_train.nbytes + images.x_test.nbytes,
            **experiment.needed_memory(
                plan.units,
                images.num_pixels,
                p=plan.p,
                batch_size=plan.training.batch_size,
            ),
        },
        "lower --units or --batch-size, take a smaller data set, or give --device cpu",
        device,
    )


def described(images: Images) -> dict[str, Any]:
    """Return what tells a data set from another, as JSON values."""
    return {
        "classes": list(images.classes),
        "image_shape": list(images.shape),
        **images.digests,
    }


def identity(plan: Plan, images: Images, machine: Machine) -> dict[str, Any]:
    """Return what tells a run from another, its plan and images; and its machine."""
    root = None if machine.data_root is None else str(machine.data_root.resolve())
    return {
        "fastpath": __version__,
        **plan.as_json(),
        **described(images),
        "machine": {
            **{name: getattr(machine, name) for name in MACHINE[:3]},
            "data_root": root,
            "kernels": computing(machine),
        },
    }


def computing(machine: Machine) -> str:
    """Return the name of the kernels that compute on a machine."""
    return kernels.choose(torch.device(machine.device), torch.float32, machine.kernels).name


def save(
    folder: Path, trained: Trained, plan: Plan, images: Images, machine: Machine
) -> None:
    """Write a run: metrics last, so that a folder with metrics is a complete run."""
    _clear(folder, keep_events=plan.tensorboard)
    storage.save_tensors(
        folder / storage.WEIGHTS,
        {
            "weights": trained.weights,
            "mean": trained.mean,
            **{f"head.{name}": tensor for name, tensor in vars(trained.head).items()},
        },
        {"p": str(plan.p)},
    )
    classes = list(images.classes)
    storage.save_dataset(
        folder / storage.HISTORY,
        trained.history.assign_coords(label=classes, answer=classes),
    )
    if trained.snapshots is not None:
        storage.save_dataset(folder / storage.SNAPSHOTS, trained.snapshots)
    config = {
        "fastpath": __version__,
        "torch": torch.__version__,
        **described(images),
        **plan.as_json(),
        "device": machine.device,
        "threads": torch.get_num_threads(),
        "precision": machine.precision,
        "kernels": computing(machine),
        METRICS_SUM: storage.json_sum(trained.metrics),
        storage.SHA256: "",
    }
    storage.save_json(folder / storage.CONFIG, config)
    storage.save_json(folder / storage.METRICS, trained.metrics)
    (folder / storage.CHECKPOINT).unlink(missing_ok=True)


def _clear(folder: Path, *, keep_events: bool) -> None:
    """Remove what tells of the run that this one replaces, and may not be replaced."""
    (folder / storage.METRICS).unlink(missing_ok=True)
    for name in (storage.SNAPSHOTS, *storage.PICTURES):
        (folder / name).unlink(missing_ok=True)
    if not keep_events:
        tensorboard.clear(folder)


def unfinished(folder: Path) -> tuple[Plan, dict[str, Any]]:
    """Return the plan of a run that was interrupted, and the machine it ran on.

    That is without "test_images" where an older version saved the checkpoint: what it is
    to be scored on was not noted.

    Raises
    ------
    ValueError
        If the run is finished or under way, or never saved a checkpoint, or that is
        damaged or of another version.
    """
    path = folder / storage.CHECKPOINT
    if not path.exists() and (folder / storage.METRICS).exists():
        raise ValueError(
            f"{folder} holds a finished run: there is nothing to go on with (look at it by "
            f"`fastpath evaluate {folder}`)"
        )
    if not path.exists():
        raise ValueError(
            f"{folder} holds no {storage.CHECKPOINT}: is this the folder of a run that "
            "was interrupted? Begin one by `fastpath train`"
        )
    with storage.alone(folder):
        files.tidy(folder)
    _, config = storage.load_state(path)
    of_images = ("images", *storage.NOTED_LATER)
    noted = {name: config.pop(name) for name in of_images if name in config}
    machine = config.pop("machine", {})
    plan = Plan.from_json(config, path)
    if missing := [name for name in MACHINE if name not in machine]:
        raise ValueError(f"{path} does not say of the machine: {', '.join(missing)}")
    return plan, machine | noted
