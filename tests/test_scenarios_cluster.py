"""Studies on a dask cluster, of which a part is lost."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr

from scenarios.support import grid
from scenarios.support.trials import Source
from tests.clusters import a_cluster

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Slow:
    """A trial that takes a second, and notes its process in a file."""

    number: int
    folder: str
    source: Source | None = None

    @property
    def coords(self):
        return {"number": self.number}

    def compute(self):
        Path(self.folder, f"{self.number}-{os.getpid()}").touch()
        time.sleep(1)
        return xr.Dataset({"square": self.number**2})


def trials(folder, number, **more):
    folder.mkdir(exist_ok=True)
    return [(Slow(number=i, folder=str(folder), **more), ()) for i in range(number)]


def test_trials_of_a_killed_worker_are_computed_by_another(tmp_path, capsys):
    with (
        a_cluster({}, {}) as (address, _, workers),
        grid.sharing(0, address) as share,
    ):
        tasks, results = trials(tmp_path / "seen", 8), {}
        for index, result in share(tasks):
            if not results:
                os.killpg(workers[0].pid, signal.SIGKILL)
            results[index] = int(result["square"])
    assert results == {i: i**2 for i in range(8)}
    assert capsys.readouterr().err.count("was lost; another worker does its work") == 1
    runs = [path.name.partition("-")[0] for path in (tmp_path / "seen").iterdir()]
    assert len(runs) <= 9  # one was computed twice, if it had begun


def test_a_scheduler_that_goes_away_ends_a_study(tmp_path):
    with a_cluster({}) as (address, scheduler, _), grid.sharing(0, address) as share:
        found = share(trials(tmp_path / "seen", 20))
        next(found)
        os.killpg(scheduler.pid, signal.SIGKILL)
        with pytest.raises(ValueError, match="the dask scheduler is gone"):
            list(found)


def test_a_study_without_a_worker_that_has_the_data(tmp_path, capsys):
    empty = {"NEURODYN_DATA": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    source = Source(name="mnist", path="mnist")
    with (
        a_cluster(empty) as (address, _, _),
        grid.sharing(0, address) as share,
        pytest.raises(ValueError, match="none of the 1 workers can compute this"),
    ):
        list(share(trials(tmp_path / "seen", 4, source=source)))
    assert "gets no work: cannot read 'mnist'" in capsys.readouterr().err
    assert not list((tmp_path / "seen").iterdir())
