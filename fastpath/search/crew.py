"""Several workers of a search on this machine, each a process of its own."""

import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.context import SpawnProcess

from fastpath.compute import num_cores
from fastpath.search.stores import opened
from fastpath.search.study import Search, begin
from fastpath.search.work import work
from neurodyn import exits

LOOK = 0.2  # seconds between looks at the processes
STOPPED = 128  # the exit code of a worker that a signal ended in order, or above
RESTARTS = 20  # of killed workers, after which something else is wrong


def work_together(search: Search, workers: int) -> None:
    """Compute the trials of a search in so many processes; start again those killed.

    Raises
    ------
    ValueError
        If a worker reported a mistake, or too many were killed.
    """
    threads = search.compute.threads or max(1, num_cores() // workers)
    share = replace(search, compute=replace(search.compute, threads=threads))
    with closing(opened(search.storage)) as store:
        begin(search, store)
    restarts, refused = 0, 0
    with _crew() as crew:
        for _ in range(workers):
            crew.append(_started(share))
        while crew:
            time.sleep(LOOK)
            for process in [each for each in crew if not each.is_alive()]:
                crew.remove(process)
                process.join()
                code = process.exitcode or 0
                if code >= 0:
                    refused += 0 < code < STOPPED  # the others go on without one stopped
                    continue
                print(
                    f"fastpath: a worker was killed (signal {-code}); its trial is queued "
                    "again",
                    file=sys.stderr,
                )
                restarts += 1
                if restarts > RESTARTS:
                    raise ValueError(
                        f"{restarts} workers were killed: is there enough memory for "
                        f"{workers} at once? Finished trials are kept"
                    )
                crew.append(_started(share))
    if refused:
        raise ValueError(f"{refused} of {workers} workers stopped: see above")


def _started(search: Search) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=_worker, args=(search,))
    process.start()
    return process


def _worker(search: Search) -> None:
    """Work as one of several; report a mistake in one line."""
    with exits.orderly("fastpath") as end:
        end.left = lambda: "finished trials are kept"
        from fastpath.ambient import isolated

        isolated(grad=False, numpy=True)(work)(search, _say, create=False)


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _crew() -> Iterator[list[SpawnProcess]]:
    """Yield a list of processes; end those that are left, and wait for them."""
    crew: list[SpawnProcess] = []
    try:
        yield crew
    finally:
        for process in crew:
            process.terminate()
        for process in crew:
            process.join()
