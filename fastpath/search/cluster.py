"""Trials of a search, computed by the workers of a dask cluster."""

import functools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from fastpath import cluster
from fastpath.ambient import isolated
from fastpath.search.objective import load
from fastpath.search.stores import opened
from fastpath.search.study import Search, begin, found
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
    with closing(opened(search.storage)) as store:
        begin(search, store)
    is_over = False

    def jobs() -> Iterator[tuple[Search]]:
        while not is_over:
            yield (share,)

    check = functools.partial(_check, share)
    with cluster.connected(scheduler) as client:
        for _, (went_on, lines) in cluster.computed(client, _trial, jobs(), check=check):
            for line in lines:
                print(line, flush=True)
            is_over |= not went_on


def _check(search: Search) -> None:
    """Raise ValueError if this worker lacks a data set, or the storage of the search."""
    for data in search.objective.data:
        load(data, search.compute.data_root)
    with closing(opened(search.storage, create=False)) as store:
        found(store, search.name)


@isolated(grad=False, numpy=True)
def _trial(search: Search) -> tuple[bool, list[str]]:
    """Compute a trial; return whether there may be more, and the lines that report it."""
    lines: list[str] = []
    with closing(Worker(search, create=False)) as worker:
        return worker.step(lines.append), lines
