"""Where a search is stored: a journal file, or a database of any URL that Optuna takes.

A killed worker leaves its trial running. In a journal, each worker locks a file of its own
as long as it lives, so the others see at once that it is dead. In a database, a worker
writes the time every few seconds, and is taken for dead when that time is old. Either way
another worker marks the trial as failed and queues its settings again.
"""

import os
import platform
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from fastpath.search.journal import Journal
from fastpath.search.lost import WORKER, queue_again

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
