"""Trials of a search, computed by the workers of a dask cluster."""

import functools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fastpath import cluster
from fastpath.ambient import isolated
from fastpath.search.objective import Objective, load
from fastpath.search.study import Search
from fastpath.search.work import Worker


def work_on(search: Search, scheduler: str) -> None:
    """Compute the trials of a search on a running cluster.

    All workers must reach the storage of the search.

    Raises
    ------
    ValueError
        If the scheduler does not answer, or no longer, or no worker has the data sets.
    """
    threads = search.compute.threads or 1
    share = replace(search, compute=replace(search.compute, threads=threads))
    is_over = False

    def jobs() -> Iterator[tuple[Search]]:
        while not is_over:
            yield (share,)

    check = functools.partial(_check, search.objective, search.compute.data_root)
    with cluster.connected(scheduler) as client:
        for _, (went_on, lines) in cluster.computed(client, _trial, jobs(), check=check):
            for line in lines:
                print(line, flush=True)
            is_over |= not went_on


def _check(objective: Objective, root: Path | None) -> None:
    """Raise ValueError if this worker lacks a data set."""
    for data in objective.data:
        load(data, root)


@isolated(grad=False, numpy=True)
def _trial(search: Search) -> tuple[bool, list[str]]:
    """Compute a trial; return whether there may be more, and the lines that report it."""
    lines: list[str] = []
    with closing(Worker(search)) as worker:
        return worker.step(lines.append), lines
