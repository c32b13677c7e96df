"""What studies of whole trainings have in common: settings, places, their command."""

import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpath import checkpoint
from fastpath.machine import Machine
from neurodyn import traces
from scenarios import grid, records
from scenarios.grid import Cell, Share, Task


@dataclass(frozen=True, kw_only=True)
class Study:
    """Which study is made, where, and by how many processes."""

    preset: Literal["full", "quick"] = "full"
    """full: what the figure shows, for hours; quick: the digits and little of all else."""
    seeds: int | None = None
    """Seeds of each network, from 0 [3; quick: 2; 1 above 2000 units]."""
    workers: int = 0
    """Processes among which networks are shared, one thread each; 0: none but this one."""
    scheduler: str | None = None
    """Address of a running dask scheduler that shares them (host:port)."""
    data_root: Path | None = None
    """Where data sets lie or are downloaded to [$NEURODYN_DATA, else the user's cache]."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What computes."""
    out: Path | None = None
    """Folder of finished parts [runs/<study>]."""
    figure: Path | None = None
    """File of the figure [figures/<study>.png; quick: in the folder of finished parts]."""
    overwrite: bool = False
    """Compute finished parts again."""

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}: at least 1 is needed")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}: 0 or more processes can work")
        if self.workers and self.scheduler:
            raise ValueError(
                f"workers is {self.workers} and scheduler {self.scheduler}: give one of "
                "them, processes of this machine or a running cluster"
            )

    @property
    def quick(self) -> bool:
        """Whether this is the short version."""
        return self.preset == "quick"

    def seeds_of(self, num_units: int) -> range:
        """Return the seeds of networks of a size."""
        if self.seeds is not None:
            return range(self.seeds)
        if num_units > 2000:
            return range(1)
        return range(2 if self.quick else 3)


@dataclass(frozen=True)
class Places:
    """Where a study keeps and shows what it finds."""

    cells: Path
    record: Path
    figure: Path


def places(study: Study, name: str) -> Places:
    """Return them, made and checked.

    Raises
    ------
    ValueError
        If one of them cannot be written to, or the device is not there.
    """
    Machine(device=study.device).ready()
    name = f"{name}_quick" if study.quick else name
    out = study.out or Path("runs") / name
    beside = out if study.quick else Path("figures")
    figure = study.figure or beside / f"{name}.png"
    record = figure.parent / "data" / f"{figure.stem}.nc"
    checkpoint.prepare(out, overwrite=True)
    checkpoint.prepare(record.parent, overwrite=True)
    traces.check_writable(figure)
    return Places(out / "cells", record, figure)


def filled(
    study: Study,
    where: Places,
    cells: Sequence[Cell],
    *,
    title: str,
    protocol: str,
) -> xr.Dataset:
    """Return all results known, with those of these cells; compute what is missing.

    What the missing ones need of other cells is kept in files, not in the record.
    """
    dims = list(cells[0].at)
    before = records.known(where.record, dims)
    with grid.sharing(study.workers, study.scheduler) as share:
        results = _results(study, where.cells, cells, share, before)
    new = dict(records.labelled(*pair) for pair in zip(cells, results, strict=True))
    stacked = records.merged(before, new, dims)
    stacked.attrs = {"title": title, "protocol": protocol, "source": "neurodyn, scenarios"}
    checkpoint.save_dataset(where.record, stacked)
    return stacked


def _results(
    study: Study, folder: Path, cells: Sequence[Cell], share: Share, known: records.Known
) -> list[xr.Dataset]:
    """Return the results of cells, those of what the missing ones need computed first."""
    left = [
        cell for cell in cells if study.overwrite or not grid.is_known(cell, folder, known)
    ]
    needed = list(dict.fromkeys(need for cell in left for need in needs(cell)))
    given: dict[Cell, xr.Dataset] = {}
    if needed:
        found = _results(study, folder, needed, share, {})
        given = dict(zip(needed, found, strict=True))
    # Of a cell that is known already, what it was computed from may not be.
    tasks: list[Task] = [
        (cell, tuple(given[need] for need in needs(cell) if need in given))
        for cell in cells
        if cell not in given
    ]
    found = grid.filled(tasks, folder, share, known=known, overwrite=study.overwrite)
    results = given | {task[0]: result for task, result in zip(tasks, found, strict=True)}
    return [results[cell] for cell in cells]


def needs(cell: Cell) -> tuple[Cell, ...]:
    """Return the cells whose results a cell is computed from."""
    return getattr(cell, "needs", ())


def entry(values: NDArray) -> str:
    """Return mean ± sd of the seeds that there are; of one seed, that and (1)."""
    values = values[np.isfinite(values)]
    match len(values):
        case 0:
            return "-"
        case 1:
            return f"{values[0]:.2f} (1)"
        case _:
            return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def caption(figure: Figure, result: xr.Dataset) -> None:
    """Write the protocol below a figure, of seeds and of one seed alone."""
    text = f"{result.attrs['protocol']} Mean ± sd of the seeds; (1), open: one seed."
    width = int(17 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, width), x=0.01, ha="left", fontsize=7)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with checkpoint.whole(path) as part:
        figure.savefig(part, dpi=110, format="png")


def command[Config](
    name: str,
    main: Callable[[Config], object],
    config: type[Config],
    description: str | None,
) -> None:
    """Run a study as a command: a user's mistake is one line and exit code 2."""
    try:
        main(tyro.cli(config, description=description, prog=f"python -m scenarios.{name}"))
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; finished parts are kept", file=sys.stderr)
        sys.exit(130)
