"""Shared by the studies of whole trainings: settings, paths, records, the command."""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure

from fastpath import fonts
from fastpath.compute import Compute
from fastpath.runs import storage
from neurodyn import traces
from neurodyn.flags import refuse_without_effect
from scenarios.support import grid, records
from scenarios.support.checks import check_counts, check_sharing
from scenarios.support.command import command
from scenarios.support.grid import Share, Task, Trial


@dataclass(frozen=True, kw_only=True)
class Study:
    """Settings that all studies have: preset, seeds, processes and files."""

    preset: Literal["full", "quick"] = "full"
    """full: the networks of the figure, hours; quick: small networks on the digits."""
    seeds: int | None = None
    """Seeds of each network, from 0 [3; quick: 2; 1 above 2000 units]."""
    workers: int = 0
    """Worker processes that train networks, one thread each; 0: only this process."""
    scheduler: str | None = None
    """Address of a running dask scheduler that distributes the networks (host:port)."""
    data_root: Path | None = None
    """Folder of data sets, and of downloads [$NEURODYN_DATA, else the user's cache]."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of the computation."""
    out: Path | None = None
    """Folder of finished trials [runs/<study>]."""
    figure: Path | None = None
    """File of the figure [figures/<study>.png; quick: in the folder of finished trials]."""
    overwrite: bool = False
    """Compute finished trials again."""

    def __post_init__(self) -> None:
        check_counts(self, "seeds")
        check_sharing(self)
        for name, value in vars(self).items():
            if value == ():
                raise ValueError(f"{name} is empty: name at least one")

    @property
    def quick(self) -> bool:
        """Whether this is the quick preset."""
        return self.preset == "quick"

    def seeds_of(self, num_units: int) -> range:
        """Return the seeds of networks of a size."""
        if self.seeds is not None:
            return range(self.seeds)
        if num_units > 2000:
            return range(1)
        return range(2 if self.quick else 3)


@dataclass(frozen=True, kw_only=True)
class CircuitStudy(Study):
    """Settings of studies that simulate circuits on one data set."""

    usual_data: ClassVar[str]
    """The data set of the full preset."""

    data: str | None = None
    """Images, by name or path [those of the figure; quick: digits]."""
    backend: Literal["numpy", "cython", "cpp"] | None = None
    """Backend of Brian2 on the CPU [cpp; for very small circuits cython]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device == "cuda":
            refuse_without_effect(
                self, ["backend"], why="with --device cuda, where Brian2 runs on the GPU"
            )

    @property
    def sets(self) -> tuple[str, ...]:
        """The data set."""
        usual = "digits" if self.quick else self.usual_data
        return (usual if self.data is None else self.data,)


@dataclass(frozen=True)
class Paths:
    """Where a study keeps its results and its figure."""

    trials: Path
    record: Path
    figure: Path
    committed: Path
    """The record beside the usual figure, from which a study starts as well."""


def paths(study: Study, name: str) -> Paths:
    """Return the paths of a study, made and checked.

    Raises
    ------
    ValueError
        If one of them cannot be written to, or the device is not there.
    """
    Compute(device=study.device).ready()
    name = f"{name}_quick" if study.quick else name
    out = study.out or Path("runs") / name
    beside = out if study.quick else Path("figures")
    figure = study.figure or beside / f"{name}.png"
    record = figure.parent / "data" / f"{figure.stem}.nc"
    storage.prepare(out, overwrite=True)
    for file in (record, figure):
        traces.check_writable(file)
    return Paths(out / "trials", record, figure, beside / "data" / f"{name}.nc")


def filled(
    study: Study,
    where: Paths,
    trials: Sequence[Trial],
    *,
    title: str,
    protocol: str,
) -> xr.Dataset:
    """Return all results on record and those of these trials; compute missing ones.

    Results of `needs` are saved in files only, not in the record.

    Raises
    ------
    ValueError
        If there are no trials, or two have the same coordinates.
    """
    check_distinct(trials)
    dims = list(trials[0].coords)
    before = on_record(where, dims)
    with grid.sharing(study.workers, study.scheduler) as share:
        results = _results(study, where.trials, trials, share, before)
    new = dict(records.labelled(*pair) for pair in zip(trials, results, strict=True))
    # Read again: another process may have added to it in the meantime.
    stacked = records.merged(on_record(where, dims), new, dims)
    stacked.attrs = {"title": title, "protocol": protocol, "source": "neurodyn, scenarios"}
    storage.save_dataset(where.record, stacked)
    return stacked


def on_record(where: Paths, dims: Sequence[str]) -> records.Results:
    """Return the results on record by their settings."""
    files = dict.fromkeys((where.committed, where.record))  # mostly the same file
    found = (records.read(file, dims) for file in files)
    return {text: result for results in found for text, result in results.items()}


def check_distinct(trials: Sequence[Trial]) -> None:
    """Raise ValueError if there are no trials, or two at the same coordinates."""
    if not trials:
        raise ValueError("there is nothing to train: no network fits these settings")
    by_coords: dict[tuple, Trial] = {}
    for trial in trials:
        coords = tuple(trial.coords.values())
        if by_coords.setdefault(coords, trial) != trial:
            raise ValueError(
                f"two different data sets are called {coords[0]}: rename the file or "
                "folder of one of them"
            )


def _results(
    study: Study,
    folder: Path,
    trials: Sequence[Trial],
    share: Share,
    before: records.Results,
) -> list[xr.Dataset]:
    """Return the results of trials; compute the `needs` of missing trials first."""
    missing = [
        trial
        for trial in trials
        if study.overwrite or not grid.is_there(trial, folder, before)
    ]
    needed = list(dict.fromkeys(need for trial in missing for need in needs(trial)))
    done: dict[Trial, xr.Dataset] = {}
    if needed:
        found = _results(study, folder, needed, share, {})
        done = dict(zip(needed, found, strict=True))
    # A trial on record may have `needs` without a result.
    tasks: list[Task] = [
        (trial, tuple(done[need] for need in needs(trial) if need in done))
        for trial in trials
        if trial not in done
    ]
    found = grid.filled(tasks, folder, share, recorded=before, overwrite=study.overwrite)
    results = done | {task[0]: result for task, result in zip(tasks, found, strict=True)}
    return [results[trial] for trial in trials]


def needs(trial: Trial) -> tuple[Trial, ...]:
    """Return the trials whose results a trial uses."""
    return getattr(trial, "needs", ())


def caption(figure: Figure, result: xr.Dataset) -> None:
    """Write the protocol below a figure, with the notation for seeds."""
    text = f"{result.attrs['protocol']} Mean ± sd of the seeds; (1), open: one seed."
    width = int(17 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, width), x=0.01, ha="left", fontsize=7)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, and close it."""
    fonts.make_drawable(figure)  # a data set is named after its file, in any script
    with storage.whole(path) as part:
        figure.savefig(part, dpi=110, format="png")
    plt.close(figure)


# A study that is interrupted keeps its finished trials.
command = functools.partial(command, left="finished trials are saved")
