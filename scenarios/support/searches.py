"""Searches of a study: each is run once, and what it found is kept beside the record."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import xarray as xr

from fastpath.compute import Compute
from fastpath.data.preprocess import Preprocess
from fastpath.runs import storage
from fastpath.runs.config import RunConfig
from fastpath.runs.execute import begin, learn
from fastpath.search import pictures, report, stores, study
from fastpath.search.journal import JOURNAL
from fastpath.search.lost import DEFAULTS
from fastpath.search.objective import Objective, effective, load
from fastpath.search.run import run
from fastpath.search.space import Space
from fastpath.search.study import Search
from scenarios.support import settings
from scenarios.support.checks import check_counts
from scenarios.support.study import Paths, Study
from scenarios.support.trials import Network, Source, scored

NOT_USED = Preprocess()
type Found = dict[str, Any]  # what a search found: see `_found`


@dataclass(frozen=True, kw_only=True)
class SearchStudy(Study):
    """How much to search. Searches and networks on record are not computed again."""

    usual_sets: ClassVar[tuple[str, ...]]
    """The data sets of the full preset."""
    usual_trials: ClassVar[tuple[int, int]]
    """Trials of each search, of the full and the quick preset."""

    data: tuple[str, ...] | None = None
    """Data sets, by name or path [those of the figure; quick: digits]."""
    units: int | None = None
    """Number of hidden units [500; quick: 20]."""
    trials: int | None = None
    """Trials of each search [those of the figure; quick: a few]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units", "trials")

    @property
    def sets(self) -> tuple[str, ...]:
        """The data sets."""
        return self.data or (("digits",) if self.quick else self.usual_sets)

    @property
    def num_units(self) -> int:
        """Number of hidden units."""
        return self.units or (20 if self.quick else 500)

    @property
    def num_trials(self) -> int:
        """Trials of each search."""
        return self.trials or self.usual_trials[self.quick]


@dataclass(frozen=True, kw_only=True)
class Tuned(Network):
    """A network of `fastpath train`, by all of its settings."""

    config: RunConfig
    """Its seed and its number of images held out are those of the network."""
    preprocess: Preprocess = field(default=NOT_USED, metadata={"neutral": NOT_USED})
    """Not used: preprocessing is among the settings."""

    @classmethod
    def of(cls, given: Sequence[str], *, source: Source, **more: Any) -> Self:
        """Return the network that has the settings given, and else the defaults.

        Parameters
        ----------
        given
            As text, such as "lr=0.1": see `Space`.
        more
            The other fields.
        """
        place = {"data": source.name, "seed": 0, "validation": 0, "snapshots": 0}
        command = Space.parsed(given, fixed_only=True).command({}, **place)
        _, config = effective(command, source.load())
        return cls(config=config, source=source, **more)

    def compute(self) -> xr.Dataset:
        """Return the errors of the network."""
        images = self.source.load()
        config = replace(self.config, seed=self.seed, validation=self.validation)
        split, generator = begin(config, images, torch.device(self.device))
        trained = learn(
            config,
            split,
            num_classes=len(images.classes),
            generator=generator,
            progress=False,
        )
        assert trained is not None
        seconds = trained.metrics["train_seconds"]
        return scored(trained.metrics, split, learn_seconds=seconds)


def record_of(where: Paths) -> Path:
    """Return the file of what the searches of a study found."""
    return where.record.with_name(f"{where.record.stem}_searches.json")


def found(config: SearchStudy, where: Paths, name: str, objective: Objective) -> Found:
    """Return what a search found: on record, or computed now and recorded.

    An interrupted search goes on where it was.
    """
    before = [where.committed.with_name(f"{where.committed.stem}_searches.json")]
    files = [record_of(where), *before]
    described = _described(objective, config)
    for file in files:
        known = json.loads(file.read_text()) if file.exists() else {}
        if known.get(name, {}).get("search") == described:
            return known[name]
    folder = where.trials.parent / "searches" / name
    search = Search(
        objective=objective,
        storage=str(folder / JOURNAL),
        name=name,
        trials=config.num_trials,
        compute=Compute(device=config.device, threads=1, data_root=config.data_root),
    )
    print(f"search {name}: {config.num_trials} trials")
    run(search, workers=config.workers, scheduler=config.scheduler)
    with closing(stores.opened(search.storage)) as store:
        begun = study.begin(search, store)
        with study.quiet(store):
            result = {"search": described, **_found(search, begun)}
        print(report.write(search, begun, store, folder))
    file = record_of(where)
    known = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    storage.save_json(file, known | {name: result})
    return result


def _described(objective: Objective, config: SearchStudy) -> dict[str, Any]:
    """Return what a search depends on: also the defaults, by the key of their run."""
    names = ("settings", "seeds", "score", "validation")
    described: dict[str, Any] = {name: getattr(objective, name) for name in names}
    defaults = []
    for data in objective.data:
        images = load(data, config.data_root)
        _, run = objective.run({}, images, Path(data).stem, seed=0)
        defaults.append(settings.key(run))
    sets = [Path(data).stem for data in objective.data]
    described |= {"data": sets, "defaults": defaults, "trials": config.num_trials}
    return json.loads(json.dumps(described))


def _found(search: Search, begun: Any) -> Found:
    """Return settings and held-out errors of the best trial and the defaults.

    Also how important each setting was, the number of complete trials, and hours of one
    core.
    """
    trials = study.whole_trials(begun)
    defaults = next(trial for trial in trials if trial.user_attrs.get(DEFAULTS))
    searched = list(search.objective.space.searched)
    complete = [trial for trial in trials if trial.params]
    important = {}
    if len(complete) >= pictures.LEAST:
        important = pictures.importances(begun, searched)
    seconds = [t.duration.total_seconds() for t in begun.trials if t.duration is not None]
    return {
        "best": {**search.objective.space.fixed, **trials[0].params},
        "error": trials[0].value,
        "errors": trials[0].user_attrs[study.ERRORS],
        "defaults": defaults.value,
        "importances": important,
        "complete": len(trials),
        "core_hours": sum(seconds) / 3600,
    }


def as_texts(params: dict[str, Any]) -> tuple[str, ...]:
    """Return found settings as text, sorted by name; numbers have six digits."""
    return tuple(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={_text(value)}"
        for name, value in sorted(params.items())
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
