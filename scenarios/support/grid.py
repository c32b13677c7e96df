"""Trials of a study: each is computed once and saved, in this or another process.

A trial is a frozen dataclass. Its fields are all that its result depends on, apart from the
data set and the versions of the packages. They name the file of its result. A study that
was interrupted or extended computes only the trials without a file.
"""

import functools
import re
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import xarray as xr

from fastpath import cluster
from fastpath.runs import storage
from neurodyn.progress import duration
from scenarios.support import hardware, settings

if TYPE_CHECKING:
    from distributed import Client

# By this, dask lets its workers return large blocks of memory to the system as soon as they
# are freed. Each mini-batch then waits for new pages: 1.6 times the time of a step of
# back-propagation.
MEMORY_AT_ONCE = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"


class Trial(Protocol):
    """One computation of a study; its `needs`, if any, are trials whose results it uses."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which its result is stacked, by dim."""
        ...

    @property
    def compute(self) -> Callable[..., xr.Dataset]:
        """Function that returns its result, called with the results of `needs`."""
        ...


type Task = tuple[Trial, tuple[xr.Dataset, ...]]
type Share = Callable[[Sequence[Task]], Iterator[tuple[int, xr.Dataset]]]


def path_of(trial: Trial, folder: Path) -> Path:
    """Return the file of a trial, named by its class, coordinates and key."""
    coords = "-".join(str(value) for value in trial.coords.values())
    coords = re.sub(r"[^\w.,+-]+", "_", coords)  # as a part of a file name
    return folder / f"{type(trial).__name__}-{coords}-{settings.key(trial)}.nc"


def is_there(trial: Trial, folder: Path, recorded: Mapping[str, xr.Dataset]) -> bool:
    """Return whether a trial has a result already, in a file or on record."""
    return path_of(trial, folder).exists() or settings.canonical(trial) in recorded


def filled(
    tasks: Sequence[Task],
    folder: Path,
    share: Share,
    *,
    recorded: Mapping[str, xr.Dataset] | None = None,
    overwrite: bool = False,
) -> list[xr.Dataset]:
    """Return the results of all trials; compute and save those that are missing.

    `recorded` holds further results, by the canonical settings of their trials.
    """
    paths = [path_of(trial, folder) for trial, _ in tasks]
    results = {}
    for i, path in enumerate(paths):
        if overwrite:
            break
        if path.exists():
            results[i] = read(path)
        elif recorded and (text := settings.canonical(tasks[i][0])) in recorded:
            results[i] = recorded[text]
    missing = [i for i in range(len(tasks)) if i not in results]
    start = time.perf_counter()
    for done, (index, result) in enumerate(share([tasks[i] for i in missing]), start=1):
        path = paths[missing[index]]
        storage.save_dataset(path, result)
        results[missing[index]] = result
        spent = time.perf_counter() - start
        print(
            f"  {done}/{len(missing)} {path.name} "
            f"{result.attrs['seconds']:.1f} s, {duration(spent)} in all"
            f"{_remaining(spent, done, len(missing))}",
            flush=True,
        )
    return [results[i] for i in range(len(tasks))]


def _remaining(spent: float, done: int, number: int) -> str:
    """Return the remaining time as text, estimated from the mean time of a trial."""
    left = spent / done * (number - done)
    return f", about {duration(left)} left" if done < number else ""


def read(path: Path) -> xr.Dataset:
    """Return the result in a file.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        return xr.load_dataset(path, engine="h5netcdf").drop_encoding()
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it") from error


def compute(trial: Trial, needed: tuple[xr.Dataset, ...]) -> xr.Dataset:
    """Return the result of a trial; its attributes are settings, seconds and hardware."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    result = trial.compute(*needed)
    seconds = time.perf_counter() - start
    return result.assign_attrs(
        settings=settings.canonical(trial),
        seconds=seconds,
        hardware=hardware.described(getattr(trial, "device", "cpu")),
    )


def in_turn(tasks: Sequence[Task]) -> Iterator[tuple[int, xr.Dataset]]:
    """Compute the trials one after another in this process."""
    for index, (trial, needed) in enumerate(tasks):
        yield index, compute(trial, needed)


@contextmanager
def sharing(workers: int, scheduler: str | None) -> Iterator[Share]:
    """Yield a function that computes trials in local processes or on a dask cluster.

    Only this process writes files. See `fastpath.cluster` for what a cluster needs, and
    what happens to lost workers.

    Raises
    ------
    ValueError
        If dask.distributed is not installed or the scheduler does not answer.
    """
    if not workers and scheduler is None:
        yield in_turn
    elif scheduler is not None:
        with cluster.connected(scheduler) as client:
            yield functools.partial(_on_cluster, client)
    else:
        cluster.check_installed()
        import dask
        from distributed import Client, LocalCluster

        with (
            dask.config.set({MEMORY_AT_ONCE: None}),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # Brian2's device is one per process
                dashboard_address=":0",  # any free port: studies may run side by side
                scheduler_kwargs={"dashboard": False},
                preload=["brian2"],
            ) as local,
            Client(local, set_as_default=False) as client,
        ):
            yield functools.partial(_on_cluster, client)


def _on_cluster(
    client: "Client", tasks: Sequence[Task]
) -> Iterator[tuple[int, xr.Dataset]]:
    """Compute the trials on the workers of a cluster that have their data sets."""
    sources = [getattr(trial, "source", None) for trial, _ in tasks]
    check = functools.partial(_load, list(dict.fromkeys(filter(None, sources))))
    return cluster.computed(client, compute, tasks, check=check)


def _load(sources: Sequence[Any]) -> None:
    """Raise ValueError if a data set is missing on this worker."""
    for source in sources:
        source.load()


def stacked(trials: Sequence[Trial], results: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the results stacked along the dims of the trials, NaN where one is missing."""
    return stacked_at([(dict(t.coords), r) for t, r in zip(trials, results, strict=True)])


def stacked_at(pairs: list[tuple[dict[str, Hashable], xr.Dataset]]) -> xr.Dataset:
    """Return results stacked along new dims, from pairs of coordinates and a result."""
    dims = list(pairs[0][0])
    if not dims:
        [(_, result)] = pairs
        return result
    dim = dims[0]
    values = list(dict.fromkeys(coords[dim] for coords, _ in pairs))
    slices = [
        stacked_at(
            [
                ({k: v for k, v in coords.items() if k != dim}, result)
                for coords, result in pairs
                if coords[dim] == value
            ]
        )
        for value in values
    ]
    return xr.concat(
        slices,
        dim=xr.DataArray(np.array(values), dims=dim, name=dim),
        join="outer",
        combine_attrs="drop",
        data_vars="all",
        coords="minimal",
        compat="override",
    )
