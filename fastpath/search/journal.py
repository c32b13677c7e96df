"""A search stored in a journal: a file to which all workers append."""

import atexit
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from fastpath.search.lost import WORKER, queue_again
from neurodyn import files

JOURNAL = "journal.log"


class Journal:
    """A journal: a file to which all workers append, on one machine or a shared disk."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path = path
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file: a journal is one; choose another")
        if not create and not path.exists():
            raise ValueError(
                f"{path} is not there: the journal of a search must lie on a disk that all "
                "workers share; else give --storage a database"
            )
        if not files.HAS_LOCKS:
            raise ValueError(
                f"{path} cannot be shared safely, for this system has no locks on files: "
                "give --storage sqlite:///search.db"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock: Any = _Lock(path)
            backend = JournalFileBackend(str(path), lock_obj=lock)
            self._storage = JournalStorage(backend)
        except OSError as error:
            raise files.refused(path, error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged or no journal of Optuna ({error}): choose another"
            ) from error

    @property
    def name(self) -> str:
        """The path of the journal."""
        return str(self._path)

    @property
    def storage(self) -> JournalStorage:
        """The storage as Optuna uses it."""
        return self._storage

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let no other worker ask for settings in this context."""
        with _locked(self._path.with_name(f"{self._path.name}.turn"), wait=True):
            yield

    def alive(self, trial: FrozenTrial) -> bool:
        """Return whether the worker of a running trial holds its lock."""
        worker = trial.user_attrs.get(WORKER)
        return worker is not None and _holds(self._worker_file(worker))

    def queue_lost(self, study: optuna.Study) -> None:
        """Mark the trials of dead workers as failed, and queue their settings again."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self.alive(trial):
                queue_again(study, trial)
                worker = trial.user_attrs.get(WORKER)
                if worker is not None:
                    self._worker_file(worker).unlink(missing_ok=True)

    def working(self, trial: optuna.Trial) -> Any:
        """Return a context that needs to do nothing: the lock is the sign of life."""
        trial.set_user_attr(WORKER, _identity(self._path.resolve()))
        return nullcontext()

    def close(self) -> None:
        """Do nothing: a journal is open only while it is read or written."""

    def _worker_file(self, worker: str) -> Path:
        return _workers(self._path.resolve()) / worker


# The name of this process's file beside each journal; keyed by the process too, for a
# forked one is another worker.
_names: dict[tuple[Path, int], str] = {}


def _identity(path: Path) -> str:
    """Return the name of this process's file, which it locks until its end."""
    key = path, os.getpid()
    if key not in _names or not (_workers(path) / _names[key]).exists():
        _workers(path).mkdir(exist_ok=True)
        _names[key] = secrets.token_hex(8)
        file = _workers(path) / _names[key]
        # Never closed: the lock ends with the process, however it ends.
        files.lock(os.open(file, os.O_CREAT | os.O_RDWR))
        atexit.register(file.unlink, missing_ok=True)
    return _names[key]


def _workers(path: Path) -> Path:
    return path.with_name(f"{path.name}.workers")


def _holds(path: Path) -> bool:
    """Return whether a living process holds the lock of a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        files.lock(descriptor)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        files.lock(descriptor, wait=wait)
        yield
    finally:
        os.close(descriptor)


class Lost(Exception):
    """The journal of a running search is no longer what it was."""


class _Lock:
    """The lock of a journal, which the system releases when its holder is killed.

    Whoever gets it removes a last line that is not whole: what a killed worker, or a full
    disk, left of it would make the line after it unreadable, and the journal with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._threads = threading.Lock()
        self._descriptor = -1
        self._size = 0  # of the journal, which only grows

    def acquire(self) -> bool:
        """Wait for the lock; Optuna calls this before it appends."""
        self._threads.acquire()
        try:
            self._descriptor = os.open(self._lock_path, os.O_CREAT | os.O_RDWR)
            files.lock(self._descriptor, wait=True)
            size = self._path.stat().st_size if self._path.exists() else -1
            if size < self._size:
                raise Lost(f"{self._path} was removed or cut during the search")
            _remove_torn_line(self._path)
            self._size = self._path.stat().st_size
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._threads.release()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])


def _remove_torn_line(path: Path) -> None:
    """Cut off what follows the last line that is whole."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
