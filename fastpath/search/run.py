"""Run a search: in this process, in several, or on a dask cluster."""

from fastpath.search.cluster import work_on
from fastpath.search.crew import work_together
from fastpath.search.study import Search
from fastpath.search.work import work


def run(search: Search, *, workers: int = 1, scheduler: str | None = None) -> None:
    """Compute the trials of a search.

    Parameters
    ----------
    workers
        Processes of this machine that compute them; 0 or 1: this process does.
    scheduler
        Address of a running dask scheduler (host:port) whose workers compute them.

    Raises
    ------
    ValueError
        If the storage, the images or the scheduler are not there, or no longer.
    """
    if scheduler is not None:
        work_on(search, scheduler)
    elif workers > 1:
        work_together(search, workers)
    else:
        work(search)
