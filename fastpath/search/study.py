"""The study of a search: what is searched, kept in a storage, and its trials."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna
from optuna.exceptions import (
    DuplicatedStudyError,
    ExperimentalWarning,
    StorageInternalError,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from fastpath.compute import Compute
from fastpath.search.journal import Lost
from fastpath.search.lost import DEFAULTS
from fastpath.search.objective import Objective, digests
from fastpath.search.stores import Store, no_answer

# Attributes of a study, and of a trial.
SEARCH, TESTED = "search", "tested"
KEY, ERRORS, PROBES, STOPPED = "key", "errors", "probes", "stopped"
REASON, REPEATED = "reason", "equal_to"
ATTEMPTS, PAUSE = 10, 0.5  # looks at a study that another worker creates, and seconds


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search: all that a worker needs to take part in it."""

    objective: Objective
    storage: str
    """Path of a journal, or URL of a database."""
    name: str
    """Name of the study in the storage."""
    seed: int = 0
    """Seed of the sampler."""
    trials: int | None = None
    """Trials in all, those of an earlier start included; None: no limit."""
    until: float | None = None
    """Time (of `time.time`) after which no trial begins; None: no limit."""
    compute: Compute = field(default_factory=Compute)

    def described(self) -> dict[str, Any]:
        """Return what a study keeps of its search, as JSON values."""
        images = digests(self.objective.data, self.compute.data_root)
        return {**asdict(self.objective), "seed": self.seed, "images": images}


def begin(search: Search, store: Store, *, create: bool = True) -> optuna.Study:
    """Create the study of a search if it may be, or load it to go on with it.

    Raises
    ------
    ValueError
        If the study under this name is of another search, or there is none.
    """
    if not create:
        found(store, search.name)
    described = json.loads(json.dumps(search.described()))
    with quiet(store), store.turn():
        study = _created(search, store, described)
        kept = study.user_attrs.get(SEARCH)
        for _ in range(ATTEMPTS):  # another worker may be creating it
            if kept is None:
                time.sleep(PAUSE)
                kept = study.user_attrs.get(SEARCH)
    if kept is None:
        raise ValueError(
            f"the study '{search.name}' in {store.name} is none of fastpath: choose "
            "another name, by --name"
        )
    _check_same(kept, described, search.name, store.name)
    return study


def _created(search: Search, store: Store, described: dict[str, Any]) -> optuna.Study:
    """Return the study, created if there is none; its first trial will be the defaults."""
    with suppress(KeyError):
        return optuna.load_study(study_name=search.name, storage=store.storage)
    try:
        study = optuna.create_study(study_name=search.name, storage=store.storage)
    except DuplicatedStudyError:  # another worker was faster
        return optuna.load_study(study_name=search.name, storage=store.storage)
    study.set_user_attr(SEARCH, described)
    study.enqueue_trial({}, user_attrs={DEFAULTS: True})
    return study


def found(storage: Store, name: str) -> dict[str, Any]:
    """Return what the study under a name keeps of its search.

    Raises
    ------
    ValueError
        If there is no such study, or it is none of fastpath.
    """
    with quiet(storage):
        try:
            study = optuna.load_study(study_name=name, storage=storage.storage)
        except KeyError:
            names = [each.study_name for each in storage.storage.get_all_studies()]
            there = f"there are {', '.join(names)}" if names else "it holds none yet"
            raise ValueError(
                f"{storage.name} holds no search '{name}' ({there}): begin one by giving "
                "--data and the settings to search, or check --out, --storage and --name"
            ) from None
        kept = study.user_attrs.get(SEARCH)
    if kept is None:
        raise ValueError(f"the study '{name}' in {storage.name} is none of fastpath")
    return kept


def _check_same(
    kept: Mapping[str, Any], given: Mapping[str, Any], name: str, where: str
) -> None:
    """Raise ValueError, naming what differs, unless a study is of the search given."""
    differ = [
        f"{key} ({_short(kept, key)} there, {_short(given, key)} here)"
        for key in sorted(kept.keys() | given.keys())
        if kept.get(key) != given.get(key)
    ]
    if differ:
        raise ValueError(
            f"{where} holds a search of other settings under the name '{name}'; what "
            f"differs: {'; '.join(differ)}. Leave the settings out to go on with it, or "
            "begin another one under another --out or --name"
        )


def _short(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None:
        return "by default"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def whole_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials with the errors of all instances, the best first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    whole = [trial for trial in trials if STOPPED not in trial.user_attrs]
    return sorted(whole, key=lambda trial: (trial.value, trial.number))


@contextmanager
def quiet(store: Store) -> Iterator[None]:
    """Silence Optuna's warnings, and turn what a lost database raises into a ValueError."""
    try:
        with warnings.catch_warnings():
            # Classes that are as they were for years are still called experimental.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # `Store.working` writes the signs of life.
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            # Of importances of few trials; the figures say how many there were.
            warnings.filterwarnings("ignore", message="Some regimes for parameter")
            # A setting of which all trials that are drawn have the same value.
            warnings.filterwarnings("ignore", message="Attempting to set identical")
            yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise no_answer(store.name, error.__cause__ or error) from error
    except (Lost, json.JSONDecodeError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and error.filename != store.name:
            raise
        raise ValueError(
            f"the journal {store.name} is damaged ({error}): begin another search under "
            "another --out, or remove what is no line of JSON"
        ) from error
