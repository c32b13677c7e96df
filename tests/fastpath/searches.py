"""What the tests of `fastpath search` share: small searches on the digits."""

import csv
import math
from pathlib import Path
from typing import Any

import optuna

from fastpath.compute import Compute
from fastpath.search import objective as objectives
from fastpath.search import work
from fastpath.search.journal import JOURNAL
from fastpath.search.objective import Objective
from fastpath.search.stores import opened
from fastpath.search.study import Search

SETTINGS = ("units=10", "lr=0.01:1:log", "delta=0:0.6", "epochs=2", "head_epochs=1")
SMALL = ("--data", "digits", *SETTINGS)


def search(folder: Path, *settings: str, **changes: Any) -> Search:
    """Return a search on the digits whose journal is in a folder."""
    of_objective = {"data": ("digits",), "settings": settings or SETTINGS}
    for name in ("data", "seeds", "prune", "score", "validation"):
        if name in changes:
            of_objective[name] = changes.pop(name)
    given: dict[str, Any] = {"storage": str(folder / JOURNAL), "name": "test", "trials": 8}
    compute = Compute(threads=1)
    return Search(
        objective=Objective(**of_objective), **{"compute": compute} | given | changes
    )


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the table of a search."""
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def bowl(params: dict[str, Any]) -> float:
    """Return a made-up error, smallest at lr = 0.1 and delta = 0.2."""
    lr, delta = params.get("lr", 0.03), params.get("delta", 0.4)
    return 2 + math.log10(lr / 0.1) ** 2 + 10 * (delta - 0.2) ** 2


def quickly(monkeypatch, error=lambda params, data, seed: bowl(params)):
    """Replace training by a function of the settings; return the calls."""
    calls = []

    def found(self, params, instance, compute, probe):
        calls.append((dict(params), instance))
        return error(params, *instance)

    monkeypatch.setattr(objectives.Objective, "error", found)
    return calls


def trials_of(given):
    store = opened(given.storage)
    return optuna.load_study(study_name=given.name, storage=store.storage).trials


def run(given):
    lines = []
    work.work(given, lines.append)
    return trials_of(given), lines
