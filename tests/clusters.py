"""A dask cluster of real processes, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def dask(*command: object, **environment: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, command), "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def a_cluster(*environments: dict[str, str]):
    """Start a scheduler, and a worker for each environment; yield address and processes."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    where = ("--host", "127.0.0.1", "--port", port)
    with dask("scheduler", *where) as scheduler:
        workers = [
            dask("worker", address, "--nthreads", 1, **environment)
            for environment in environments
        ]
        processes = [worker.__enter__() for worker in workers]
        try:
            yield address, scheduler, processes
        finally:
            for worker in workers:
                worker.__exit__(None, None, None)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this takes too long"
        time.sleep(0.05)
