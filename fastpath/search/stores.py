"""Where a search is stored: a journal file, or a database of any URL that Optuna takes.

A killed worker leaves its trial running. In a journal, each worker locks a file of its own
as long as it lives, so the others see at once that it is dead. In a database, a worker
writes the time every few seconds, and is taken for dead when that time is old. Either way
another worker marks the trial as failed and queues its settings again.
"""

import atexit
import os
import platform
import re
import secrets
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from neurodyn import files

JOURNAL = "journal.log"
WORKER = "worker"  # the attribute of a trial that names its worker
DEFAULTS = "defaults"  # the attribute of the trial with the default settings
LOSSES = "killed"  # the attribute that counts the workers killed during a trial
MOST_KILLED = 3
AGAIN = "again"  # the attribute of a repeated trial: the number of the one that was lost
INDEX = "index"  # the attribute that counts trials, but for those repeated
HEARTBEAT = 5  # seconds between the signs of life of a worker, in a database
GRACE = 30  # seconds without one after which a worker is dead
ANSWER = 10  # seconds until a database must answer

optuna.logging.set_verbosity(optuna.logging.ERROR)


@runtime_checkable
class Store(Protocol):
    """A storage, opened by this process, and what a journal and a database do not share."""

    @property
    def name(self) -> str:
        """The file or the URL, without its password."""
        ...

    @property
    def storage(self) -> BaseStorage:
        """The storage as Optuna uses it."""
        ...

    def turn(self) -> Any:
        """Return a context in which no other worker asks for settings, if it can be had."""
        ...

    def alive(self, trial: FrozenTrial) -> bool:
        """Return whether the worker of a running trial is still at work, if it is known."""
        ...

    def queue_lost(self, study: optuna.Study) -> None:
        """Mark the trials of dead workers as failed, and queue their settings again."""
        ...

    def working(self, trial: optuna.Trial) -> Any:
        """Return a context in which this worker gives signs of life, if they are needed."""
        ...

    def close(self) -> None:
        """Close the connection to a database."""
        ...


def opened(where: str, *, create: bool = True) -> Store:
    """Open a storage: the path of a journal file, created if it may be, or a URL.

    Raises
    ------
    ValueError
        If a database does not answer or its driver is not installed, or the journal is
        damaged or cannot be written.
    """
    if "://" in where:
        return Database(where)
    if scheme := re.match(r"([a-z]\w+(\+\w+)?):/", where):
        raise ValueError(
            f"the storage {where} is no URL: {scheme[1]}:// is needed, such as "
            "sqlite:///search.db"
        )
    return Journal(Path(where), create=create)


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


class Database:
    """A database that Optuna reaches by its URL, such as PostgreSQL's."""

    def __init__(self, url: str) -> None:
        self._name = url
        try:
            self._name = _without_password(url)
            if make_url(url).database in (None, "", ":memory:") and "sqlite" in url:
                raise ValueError(
                    f"the storage {url} is lost when the command ends: name a file, as in "
                    "sqlite:///search.db"
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # the heartbeats
                self._storage = RDBStorage(
                    url,
                    engine_kwargs=_engine(url),
                    heartbeat_interval=HEARTBEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=queue_again,
                )
        except ValueError:
            raise
        except (NoSuchModuleError, ArgumentError) as error:
            raise ValueError(
                f"the storage {self._name} is of no known database: give the path of a "
                "journal, or postgresql+psycopg://..., mysql+pymysql://..., sqlite:///..."
            ) from error
        except ImportError as error:
            raise ValueError(
                f"the storage {self._name} needs a driver that is not installed ({error}): "
                "install it, for PostgreSQL by pip install 'psycopg[binary]'"
            ) from error
        except Exception as error:  # each database raises classes of its own
            raise no_answer(self._name, error) from error

    @property
    def name(self) -> str:
        """The URL, without its password."""
        return self._name

    @property
    def storage(self) -> RDBStorage:
        """The storage as Optuna uses it."""
        return self._storage

    def turn(self) -> Any:
        """Return a context that does nothing: here workers may ask at the same time."""
        return nullcontext()

    def alive(self, trial: FrozenTrial) -> bool:
        """Return True: `queue_lost` marks the trials of dead workers."""
        return True

    def queue_lost(self, study: optuna.Study) -> None:
        """Mark the trials of dead workers as failed, and queue their settings again."""
        optuna.storages.fail_stale_trials(study)
        # That leaves out those without any sign of life: who died just after asking.
        before = datetime.now() - timedelta(seconds=GRACE)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            begun = trial.datetime_start
            if WORKER not in trial.user_attrs and begun is not None and begun < before:
                queue_again(study, trial)

    def working(self, trial: optuna.Trial) -> Any:
        """Write the time, and return a context in which it is written again and again."""
        self._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(WORKER, f"{platform.node()} {os.getpid()}")
        return self._beating(trial)

    @contextmanager
    def _beating(self, trial: optuna.Trial) -> Iterator[None]:
        """Write the time every few seconds, in a thread."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT):
                with suppress(Exception):  # the next one may get through
                    self._storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def close(self) -> None:
        """Close the connections."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def queue_again(study: optuna.Study, trial: FrozenTrial, *, killed: bool = True) -> None:
    """Queue the settings of a trial again, then mark it as failed, if it is not yet.

    Settings that have cost `MOST_KILLED` workers, maybe all of their memory, are not tried
    again.
    """
    losses = trial.user_attrs.get(LOSSES, 0) + killed
    if losses < MOST_KILLED:
        kept = {LOSSES: losses, AGAIN: trial.number}
        kept |= {n: trial.user_attrs[n] for n in (DEFAULTS, INDEX) if n in trial.user_attrs}
        study.enqueue_trial(trial.params, user_attrs=kept)
    with suppress(UpdateFinishedTrialError, ValueError):
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def is_given_up(trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Return whether the settings of a trial have killed too many workers."""
    return (
        trial.state == TrialState.FAIL
        and trial.user_attrs.get(LOSSES, 0) >= MOST_KILLED - 1
        and not any(each.user_attrs.get(AGAIN) == trial.number for each in trials)
    )


def index_of(number: int, trials: list[FrozenTrial]) -> int:
    """Return the index that a new trial of a number gets: repeated ones do not count."""
    return number - sum(AGAIN in each.user_attrs for each in trials[:number])


def no_answer(name: str, error: BaseException) -> ValueError:
    """Return the error for a database that does not answer, or no longer."""
    reason = " ".join(str(error).split())[:200]
    return ValueError(
        f"the storage {name} does not answer ({reason}): start the database, or check the "
        "URL (DIALECT://USER:PASSWORD@HOST:PORT/DATABASE); finished trials are kept"
    )


def _without_password(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _engine(url: str) -> dict[str, Any]:
    """Return settings of the connection: a time limit, where the database has one."""
    if url.startswith(("postgresql", "mysql")):
        return {"connect_args": {"connect_timeout": ANSWER}, "pool_pre_ping": True}
    return {}
