"""Searches by several processes, of which some are killed: nothing is lost or done twice.

The workers are real: processes of this machine, a PostgreSQL server, a dask cluster.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from fastpath.cli import main
from fastpath.search.journal import JOURNAL
from fastpath.search.stores import opened
from fastpath.search.study import quiet
from fastpath.search.work import Worker
from tests.clusters import a_cluster, free_port, wait_for
from tests.fastpath.searches import search, table
from tests.helpers import refused

pytestmark = pytest.mark.slow
SETTINGS = ("units=10", "lr=0.01:1:log", "delta=0:0.6", "epochs=2", "head_epochs=1")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
FASTPATH = (sys.executable, "-m", "fastpath")


def started(*args: object, **more: object) -> subprocess.Popen:
    """Start `fastpath search` on the digits, in a group of processes of its own."""
    return subprocess.Popen(
        [*FASTPATH, "search", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **more,
    )


def new(out: Path, *args: object, epochs: int = 2) -> list[object]:
    settings = [s if s != "epochs=2" else f"epochs={epochs}" for s in SETTINGS]
    return [*settings, "--data", "digits", "--out", out, "--no-prune", *args]


def trials_of(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    with closing(opened(storage)) as store:
        study = optuna.load_study(study_name=name, storage=store.storage)
        return study.get_trials(deepcopy=False)


def running(storage: str, name: str, number: int = 1) -> bool:
    try:
        trials = trials_of(storage, name)
    except (KeyError, ValueError):
        return False
    done = sum(t.state == TrialState.COMPLETE for t in trials)
    return done > 1 and sum(t.state == TrialState.RUNNING for t in trials) >= number


def workers_of(process: subprocess.Popen) -> list[int]:
    """Return the worker processes of a search, not the helper of multiprocessing."""
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid)
        for pid in tasks
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def check_whole(trials: list[optuna.trial.FrozenTrial], number: int) -> None:
    """Check that so many trials are computed, once each, and that none was lost."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(complete) == number
    keys = [t.user_attrs["key"] for t in complete]
    assert len(set(keys)) == number
    lost = [t for t in trials if t.state == TrialState.FAIL]
    done = [t.params for t in complete]
    assert all(t.params in done for t in lost if len(t.params) == 2)
    assert not [t for t in trials if t.state in (TrialState.RUNNING, TrialState.WAITING)]


def test_one_of_two_workers_is_killed(tmp_path):
    out = tmp_path / "search"
    process = started(*new(out, "--workers", 2, "--trials", 7, epochs=400))
    wait_for(lambda: running(str(out / JOURNAL), "search", 2))
    os.kill(workers_of(process)[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.count("a worker was killed (signal 9); its trial is queued again") == 1
    trials = trials_of(str(out / JOURNAL), "search")
    check_whole(trials, 7)
    assert sum(t.state == TrialState.FAIL for t in trials) == 1
    assert len(table(out)) == 8


def test_all_are_killed_and_the_search_goes_on(tmp_path):
    out = tmp_path / "search"
    process = started(*new(out, "--workers", 2, "--trials", 30, epochs=400))
    wait_for(lambda: running(str(out / JOURNAL), "search", 2))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = trials_of(str(out / JOURNAL), "search")
    lost = [t for t in before if t.state == TrialState.RUNNING]
    done = sum(t.state == TrialState.COMPLETE for t in before)
    assert 1 <= len(lost) <= 2
    again = started("--out", out, "--trials", done + 2)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    trials = trials_of(str(out / JOURNAL), "search")
    check_whole(trials, done + 2)
    numbers = {t.user_attrs.get("again") for t in trials}
    assert {t.number for t in lost} <= numbers


def test_a_search_that_is_stopped_ends_its_workers(tmp_path):
    out = tmp_path / "search"
    process = started(*new(out, "--workers", 2, "--trials", 30, epochs=400))
    wait_for(lambda: running(str(out / JOURNAL), "search", 2))
    workers = workers_of(process)
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "finished trials are kept: go on by the same command" in said
    assert "Traceback" not in said
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    trials = trials_of(str(out / JOURNAL), "search")
    assert not [t for t in trials if t.state == TrialState.RUNNING]
    assert sum(t.state == TrialState.WAITING for t in trials) == 2


@pytest.fixture(scope="module")
def postgres():
    """Start a PostgreSQL server on loopback; yield the URL of its database."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    [tools] = POSTGRES
    # Not in pytest's folder, which is of root alone, as whom the server refuses to run.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--clear-groups"]
    if user:
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv")
        shutil.chown(folder, "postgres")
    port, data = free_port(), folder / "data"

    def call(*command: object) -> None:
        subprocess.run(
            [*user, *map(str, command)], check=True, capture_output=True, cwd=folder
        )

    call(tools / "initdb", "-D", data, "-U", "me", "-A", "trust", "--no-sync")
    settings = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    )
    call(tools / "pg_ctl", "-D", data, "-w", "-o", settings, "-l", folder / "log", "start")
    try:
        yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    finally:
        call(tools / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_workers_share_a_postgresql_server(tmp_path, postgres):
    flags = ["--storage", postgres, "--name", "shared", "--trials", 7]
    first, second = (started(*new(tmp_path / str(i), *flags, epochs=400)) for i in range(2))
    wait_for(lambda: running(postgres, "shared", 2))
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    said, _ = second.communicate(timeout=150)
    assert second.returncode == 0, said
    trials = trials_of(postgres, "shared")
    check_whole(trials, 7)
    assert sum("again" in t.user_attrs for t in trials) == 1
    other = refused_in(tmp_path / "3", *flags, "--seed", 5)
    assert "holds a search of other settings under the name 'shared'" in other
    assert postgres in other


def test_a_worker_that_died_just_after_asking(tmp_path, monkeypatch):
    """It has given no sign of life, by which Optuna would see that it is dead."""
    url = f"sqlite:///{tmp_path}/search.db"
    monkeypatch.setattr("fastpath.search.stores.GRACE", 1)
    given = search(tmp_path, storage=url, trials=3)
    with closing(Worker(given)) as worker:
        worker.step(print)
        with quiet(worker._store):
            lost = worker._study.ask(given.objective.space.searched)
        time.sleep(2)
        while worker.step(print):
            pass
    trials = trials_of(url, "test")
    check_whole(trials, 3)
    assert trials[lost.number].state == TrialState.FAIL
    assert [t.params for t in trials if t.user_attrs.get("again") == lost.number] == [
        lost.params
    ]


def refused_in(out: Path, *args: object) -> str:
    process = started(*new(out, *args))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2, said
    return said


def test_a_password_is_not_printed(tmp_path, capsys):
    url = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/postgres"
    said = refused(capsys, "search", *new(tmp_path / "x", "--storage", url))
    assert "does not answer" in said
    assert "secret" not in said


def test_a_worker_of_a_cluster_is_killed(tmp_path):
    out = tmp_path / "search"
    with a_cluster({}, {}) as (address, _, workers):
        flags = ["--scheduler", address, "--trials", 7]
        process = started(*new(out, *flags, epochs=400))
        wait_for(lambda: running(str(out / JOURNAL), "search", 2))
        os.killpg(workers[0].pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.count("was lost; another worker does its work") == 1
    check_whole(trials_of(str(out / JOURNAL), "search"), 7)


def test_a_scheduler_that_goes_away(tmp_path):
    out = tmp_path / "search"
    with a_cluster({}) as (address, scheduler, _):
        process = started(*new(out, "--scheduler", address, "--trials", 50, epochs=400))
        wait_for(lambda: running(str(out / JOURNAL), "search"))
        os.killpg(scheduler.pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "the dask scheduler is gone" in said
    assert "Traceback" not in said
    done = len(trials_of(str(out / JOURNAL), "search"))
    again = started("--out", out, "--trials", done + 2)
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    check_whole(trials_of(str(out / JOURNAL), "search"), done + 2)


def test_a_worker_without_the_data_gets_no_work(tmp_path, data_root):
    empty = {"NEURODYN_DATA": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    flags = ["units=10", "lr=0.1:1", "epochs=1", "head_epochs=1", "--data", "mnist"]
    with a_cluster(empty, {"NEURODYN_DATA": str(data_root)}) as (address, _, _):
        where = ["--out", tmp_path / "search", "--scheduler", address]
        process = started(*flags, *where, "--trials", 3)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.count("gets no work: cannot read 'mnist'") == 1


def test_the_dashboard_shows_the_same_study(tmp_path):
    out, port = tmp_path / "search", free_port()
    main(list(map(str, ["search", *new(out, "--trials", 4)])))
    command = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen(
        [command, out / JOURNAL, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/api/studies"
        wait_for(lambda: answered(url))
        [study] = answered(url)["study_summaries"]
        assert study["study_name"] == "search"
        shown = answered(f"{url}/{study['study_id']}?after=0")["trials"]
        rows = table(out)
        assert [each["values"][0] for each in shown] == [float(r["error"]) for r in rows]
    finally:
        process.kill()
        process.wait()


def answered(url: str) -> dict:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return {}
