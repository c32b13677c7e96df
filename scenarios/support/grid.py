"""Parts of a study that are computed once, kept, and shared among processes.

A trial is a frozen dataclass whose fields are all that its result depends on, the data set
and the versions of the packages apart; its file is named by them. A study that was
interrupted, or asks for more, computes what has no file yet.
"""

import re
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr

from fastpath.runs import storage
from neurodyn.progress import duration
from scenarios.support import hardware, settings

ANSWER_SECONDS = 10  # within which a scheduler has to answer


class Trial(Protocol):
    """A part of the study; the trials that it needs results of may be its `needs`."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Its values of the dims along which trials are stacked."""
        ...

    @property
    def compute(self) -> Callable[..., xr.Dataset]:
        """What returns its result, given those of other trials that it needs."""
        ...


type Task = tuple[Trial, tuple[xr.Dataset, ...]]
type Share = Callable[[Sequence[Task]], Iterator[tuple[int, xr.Dataset]]]


def path_of(trial: Trial, folder: Path) -> Path:
    """Return the file of a trial, named by its class, coordinates and key."""
    place = "-".join(str(value) for value in trial.coords.values())
    place = re.sub(r"[^\w.,+-]+", "_", place)  # as a part of a file name
    return folder / f"{type(trial).__name__}-{place}-{settings.key(trial)}.nc"


def is_there(trial: Trial, folder: Path, recorded: Mapping[str, xr.Dataset]) -> bool:
    """Return whether `filled` would have nothing to compute for a trial."""
    return path_of(trial, folder).exists() or settings.canonical(trial) in recorded


def filled(
    tasks: Sequence[Task],
    folder: Path,
    share: Share,
    *,
    recorded: Mapping[str, xr.Dataset] | None = None,
    overwrite: bool = False,
) -> list[xr.Dataset]:
    """Return the results of all trials; compute, and save at once, those without a file.

    `recorded` holds results from elsewhere, by their settings.
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
    left = [i for i in range(len(tasks)) if i not in results]
    start = time.perf_counter()
    for done, (which, result) in enumerate(share([tasks[i] for i in left]), start=1):
        storage.save_dataset(paths[left[which]], result)
        results[left[which]] = result
        spent = time.perf_counter() - start
        print(
            f"  {done}/{len(left)} {paths[left[which]].name} "
            f"{result.attrs['seconds']:.1f} s, {duration(spent)} in all"
            f"{_remaining(spent, done, len(left))}",
            flush=True,
        )
    return [results[i] for i in range(len(tasks))]


def _remaining(spent: float, done: int, number: int) -> str:
    """Return how long the rest will take if it is like what was done."""
    left = spent / done * (number - done)
    return f", about {duration(left)} left" if done < number else ""


def read(path: Path) -> xr.Dataset:
    """Return the result in a file.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        return xr.load_dataset(path, engine="h5netcdf").drop_encoding()
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it") from error


def compute(trial: Trial, given: tuple[xr.Dataset, ...]) -> xr.Dataset:
    """Return the result of a trial, with its settings and the seconds it took."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    result = trial.compute(*given)
    seconds = time.perf_counter() - start
    return result.assign_attrs(
        settings=settings.canonical(trial),
        seconds=seconds,
        hardware=hardware.described(getattr(trial, "device", "cpu")),
    )


def in_turn(tasks: Sequence[Task]) -> Iterator[tuple[int, xr.Dataset]]:
    """Compute the trials one after another in this process."""
    for which, (trial, given) in enumerate(tasks):
        yield which, compute(trial, given)


@contextmanager
def sharing(workers: int, scheduler: str | None) -> Iterator[Share]:
    """Yield what shares trials among processes of this machine, or of a dask cluster.

    A cluster's workers need these packages and, under the same path, the data sets; files
    are written by this process alone. Start them with `dask worker HOST:PORT --nthreads 1
    --preload brian2`: Brian2 can be imported in a process's main thread only.

    Raises
    ------
    ValueError
        If dask.distributed is not installed or the scheduler does not answer.
    """
    if not workers and scheduler is None:
        yield in_turn
        return
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise ValueError(
            "sharing the grid needs dask.distributed: pip install 'neurodyn[cluster]'"
        ) from error

    def share(tasks: Sequence[Task]) -> Iterator[tuple[int, xr.Dataset]]:
        futures: dict[Any, int] = {
            client.submit(compute, trial, given, pure=False): which
            for which, (trial, given) in enumerate(tasks)
        }
        try:
            for future in as_completed(futures, loop=client.loop):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=ANSWER_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no dask scheduler answers at {scheduler} ({error}): start one with "
                "`dask scheduler`, and `dask worker HOST:PORT --nthreads 1 --preload "
                "brian2`"
            ) from error
        with client:
            yield share
    else:
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # Brian2's device is one per process
                dashboard_address=None,
                preload=["brian2"],
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield share


def stacked(trials: Sequence[Trial], results: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the results stacked along the dims of the trials; NaN where there is none."""
    return stacked_at([(dict(t.coords), r) for t, r in zip(trials, results, strict=True)])


def stacked_at(placed: list[tuple[dict[str, Hashable], xr.Dataset]]) -> xr.Dataset:
    """Return results with the dims of the coordinates given with them."""
    dims = list(placed[0][0])
    if not dims:
        [(_, result)] = placed
        return result
    dim = dims[0]
    values = list(dict.fromkeys(place[dim] for place, _ in placed))
    parts = [
        stacked_at(
            [
                ({k: v for k, v in place.items() if k != dim}, result)
                for place, result in placed
                if place[dim] == value
            ]
        )
        for value in values
    ]
    return xr.concat(
        parts,
        dim=xr.DataArray(np.array(values), dims=dim, name=dim),
        join="outer",
        combine_attrs="drop",
        data_vars="all",
        coords="minimal",
        compat="override",
    )
