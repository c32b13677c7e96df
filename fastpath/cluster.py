"""Work shared among the workers of a dask cluster, of which some may be lost.

Start a cluster with `dask scheduler`, and on each machine `dask worker HOST:PORT --nthreads
1 --preload brian2` (Brian2 can be imported in a process's main thread only). Workers need
these packages, and the data sets under the same path.
"""

import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Future

ANSWER_SECONDS = 10  # timeout of the connection to a scheduler
LOOK_SECONDS = 1.0  # between looks at which workers there are
ATTEMPTS = 3  # to compute a job whose worker was lost


@contextmanager
def connected(scheduler: str) -> Iterator["Client"]:
    """Yield the client of a running dask scheduler (host:port).

    Raises
    ------
    ValueError
        If dask.distributed is not installed, or the scheduler does not answer.
    """
    check_installed()
    from distributed import Client

    try:
        client = Client(scheduler, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no dask scheduler answers at {scheduler} ({error}): start one with `dask "
            "scheduler`, and `dask worker HOST:PORT --nthreads 1 --preload brian2`"
        ) from error
    log = logging.getLogger("distributed.client")
    before = log.level
    log.setLevel(logging.CRITICAL)  # a lost scheduler is reported in one line
    try:
        with client:
            yield client
    finally:
        log.setLevel(before)


def check_installed() -> None:
    """Raise ValueError if dask.distributed is not installed."""
    if find_spec("distributed") is None:
        raise ValueError(
            "sharing trials needs dask.distributed: pip install 'neurodyn[cluster]'"
        )


def computed(
    client: "Client",
    function: Callable[..., Any],
    jobs: Iterable[tuple],
    *,
    check: Callable[[], object] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield the index and the result of function(*job) for each job, as they finish.

    A thread of a worker has one job at a time. A job whose worker was lost is computed by
    another one. A worker on which `check` raises a ValueError gets none.

    Raises
    ------
    ValueError
        If the scheduler is lost, no worker passes the check, or a job has lost several
        workers.
    """
    crew = _Crew(client, function, iter(enumerate(jobs)), check)
    try:
        while crew.begin():
            yield from crew.finished()
    finally:
        crew.cancel()


class _Crew:
    """The workers of a cluster, and the jobs that they compute."""

    def __init__(
        self,
        client: "Client",
        function: Callable[..., Any],
        jobs: Iterator[tuple[int, tuple]],
        check: Callable[[], object] | None,
    ) -> None:
        self._client, self._function, self._check = client, function, check
        self._jobs, self._again = jobs, deque[tuple[int, tuple]]()
        self._running: dict[Future, tuple[int, tuple, str]] = {}
        self._refused: dict[str, str | None] = {}  # None: passed the check
        self._lost: Counter[int] = Counter()
        self._said = False

    def begin(self) -> bool:
        """Give a job to each thread that has none; return False if all is computed."""
        threads = self._threads()
        for future, (index, job, worker) in list(self._running.items()):
            if worker not in threads:
                self._give_back(future, index, job, worker)
        able = {worker: n for worker, n in threads.items() if self._is_able(worker)}
        busy = Counter(worker for _, _, worker in self._running.values())
        for worker, number in able.items():
            for _ in range(number - busy[worker]):
                if (job := self._next()) is None:
                    return bool(self._running)
                self._submit(*job, worker)
        if threads and not able:
            raise ValueError(
                f"none of the {len(threads)} workers can compute this: see above"
            )
        if not able and not self._said:
            print("waiting for a worker of the cluster", file=sys.stderr)
            self._said = True
        return True

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Wait for a job to finish, a second at most; yield what has finished."""
        from distributed import wait

        if not self._running:
            time.sleep(LOOK_SECONDS)
            return
        with self._client.as_current(), suppress(TimeoutError, CancelledError):
            wait(list(self._running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        for future in [each for each in self._running if each.done()]:
            index, job, worker = self._running[future]
            if future.cancelled():
                self._threads()  # raises if the scheduler is lost
                self._give_back(future, index, job, worker)
                continue
            del self._running[future]
            yield index, future.result()

    def cancel(self) -> None:
        """Cancel the jobs that are not finished."""
        if self._running and self._client.status == "running":
            self._client.cancel(list(self._running))

    def _threads(self) -> dict[str, int]:
        """Return the number of threads of each worker.

        Raises
        ------
        ValueError
            If the scheduler is lost.
        """
        if self._client.status == "running":
            try:
                return dict(self._client.nthreads())
            except (OSError, RuntimeError, TimeoutError):
                pass
        raise ValueError(
            "the dask scheduler is gone, or cannot be reached: what is finished is saved; "
            "start it again, and go on with the same command"
        )

    def _is_able(self, worker: str) -> bool:
        """Return whether a worker passes the check; if not, say why, once."""
        if worker not in self._refused:
            self._refused[worker] = reason = self._reason_against(worker)
            if reason is not None:
                print(f"{worker} gets no work: {reason}", file=sys.stderr)
        return self._refused[worker] is None

    def _reason_against(self, worker: str) -> str | None:
        if self._check is None:
            return None
        try:
            self._client.submit(self._check, workers=[worker], pure=False).result()
        except (ValueError, ImportError) as error:
            return " ".join(str(error).split())
        return None

    def _next(self) -> tuple[int, tuple] | None:
        return self._again.popleft() if self._again else next(self._jobs, None)

    def _submit(self, index: int, job: tuple, worker: str) -> None:
        future = self._client.submit(self._function, *job, workers=[worker], pure=False)
        self._running[future] = index, job, worker

    def _give_back(self, future: "Future", index: int, job: tuple, worker: str) -> None:
        """Take a job from a worker that was lost, for another one."""
        del self._running[future]
        self._client.cancel([future])
        self._lost[index] += 1
        if self._lost[index] >= ATTEMPTS:
            raise ValueError(
                f"{ATTEMPTS} workers were lost while they computed the same: is there "
                "enough memory? What is finished is saved"
            )
        print(f"{worker} was lost; another worker does its work", file=sys.stderr)
        self._again.append((index, job))
