"""`fastpath search`: search settings, and score the best ones."""

import math
import time
from contextlib import closing
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastpath import checks
from fastpath.commands.flags import Search as Command
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.runs import storage
from neurodyn.flags import refuse_without_effect

OF_SEARCH = ("seeds", "validation", "score", "prune", "seed")
TRIALS = 100


def search(command: Command) -> None:
    """Run `fastpath search`."""
    if find_spec("optuna") is None:
        raise ValueError(
            "a search needs Optuna, which is not installed: pip install 'neurodyn[search]'"
        )
    from fastpath.search import final, report, stores, study
    from fastpath.search.journal import JOURNAL
    from fastpath.search.run import run

    _check(command)
    command.ready()
    storage.check_writable(command.out)
    where = command.storage or str(command.out.resolve() / JOURNAL)
    if "://" not in where and not command.settings and not Path(where).exists():
        raise ValueError(
            f"there is no search in {command.out}: begin one by giving --data and the "
            "settings to search, such as lr=0.01:1:log, or check --out"
        )
    with closing(stores.opened(where)) as store:
        asked = _asked(command, where, store)
        asked.objective.check(command.data_root)
        begun = study.begin(asked, store)
        if command.final:
            print(final.score(asked, begun, store, command.out))
            return
        final.check_open(begun)
        run(asked, workers=command.workers, scheduler=command.scheduler)
        print(report.write(asked, begun, store, command.out))


def _check(command: Command) -> None:
    """Raise ValueError for flags that are wrong alone, or together."""
    checks.count("workers", command.workers)
    if command.trials is not None:
        checks.count("trials", command.trials)
    if command.hours is not None and not (
        checks.positive("hours", command.hours) < math.inf
    ):
        raise ValueError(f"hours is {command.hours}: a finite number is needed")
    if command.final:
        limits = ["trials", "hours", "scheduler", *["workers"] * (command.workers != 1)]
        refuse_without_effect(command, limits, why="with --final, which only scores")
    if command.scheduler is not None and command.workers != 1:
        raise ValueError(
            f"workers is {command.workers} and scheduler {command.scheduler}: give one of "
            "them, a number of local processes or a running cluster"
        )
    for name in command.data:
        datasets.check_root(command, name)


def _asked(command: Command, where: str, store: Any) -> Any:
    """Return the search of a command; without settings, the one that the storage holds."""
    from fastpath.search import study
    from fastpath.search.objective import Objective

    name = command.name or command.out.resolve().name
    given: dict[str, Any] = {
        name: value for name in OF_SEARCH if (value := getattr(command, name)) is not None
    }
    if bool(command.data) != bool(command.settings):
        missing = "a setting to search" if command.data else "--data"
        raise ValueError(
            f"{missing} is not given: give data sets and settings both to begin a search, "
            "or neither to go on with one"
        )
    if command.data:
        given |= {"data": command.data, "settings": command.settings}
    else:
        kept = study.found(store, name)
        names = ("data", "settings", *OF_SEARCH)
        before = {each: kept[each] for each in names if each in kept}
        given = before | given
    seed = checks.seed("seed", given.pop("seed", 0))
    data, settings = (tuple(given.pop(each)) for each in ("data", "settings"))
    compute = Compute(**{f.name: getattr(command, f.name) for f in fields(Compute)})
    hours = command.hours
    return study.Search(
        objective=Objective(data=data, settings=settings, **given),
        storage=where,
        name=name,
        seed=seed,
        trials=TRIALS if command.trials is None and hours is None else command.trials,
        until=None if hours is None else time.time() + 3600 * hours,
        compute=compute,
    )
