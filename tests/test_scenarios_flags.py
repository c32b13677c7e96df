"""Settings of scenarios: none empty, none in vain; their lines of progress."""

import runpy
import sys
from dataclasses import dataclass

import pytest
import xarray as xr

from scenarios import dale_learns, dale_training, hysteresis, multilayer, settling
from scenarios.__main__ import GROUPS
from scenarios.bench.__main__ import Config as Bench
from scenarios.ladder.config import QUICK, Config
from scenarios.support import grid
from tests.helpers import mistake

SCENARIOS = [name for names in GROUPS.values() for name in names]


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_scenario_takes_an_empty_folder(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    said = mistake(capsys, name, "--out", "")
    assert said.startswith(f"{name}: --out is empty: give a value")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("multilayer", ["--depth", "4"], "depth is 4: there are 1 to 3 layers"),
        ("settling", ["--seed", "-1"], "seed is -1: 0 to 2^63 - 1 is needed"),
        ("settling", ["--data-root", "/tmp"], "--data-root /tmp has no effect on digits"),
        (
            "hidden_size",
            ["--preset", "quick", "--data-root", "/tmp"],
            "--data-root /tmp has no effect on digits",
        ),
    ],
)
def test_mistakes_of_scenarios_get_one_line(
    tmp_path, monkeypatch, capsys, name, flags, message
):
    monkeypatch.chdir(tmp_path)
    assert message in mistake(capsys, name, *flags)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            lambda: Bench(device="cuda", threads=1),
            "--threads 1 has no effect with",
        ),
        (
            lambda: Bench(units=(4000,), steps=5),
            "--steps 5 has no effect on netw",
        ),
        (lambda: Bench(threads=0), "threads is 0: at least 1"),
        (
            lambda: dale_training.Config(signs=("free",), interneurons=200),
            "--interneurons 200 has no effect with --signs free",
        ),
        (
            lambda: dale_learns.Config(target_rate=0, inh_lr=1e-4),
            "--inh-lr 0.0001 has no effect with --target-rate 0",
        ),
        (
            lambda: dale_learns.Config(inh_lr=0.0),
            "inh_lr 0.0: steps are positive",
        ),
        (lambda: multilayer.Config(depth=4), "depth is 4"),
        (lambda: hysteresis.Config(seed=2**63), "seed is 9223372036854775808: 0 to 2"),
        (lambda: settling.Config(seed=-1), "seed is -1"),
    ],
)
def test_settings_without_effect_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        settings()


def test_without_a_rate_inhibition_has_that_of_the_study():
    assert dale_learns.Config(target_rate=0).rules().keys() == {"feedforward"}
    rule = dale_learns.Config().rules()["inh_to_exc"]
    assert rule.tau_l_ms == dale_learns.Config(inh_lr=1e-4).rules()["inh_to_exc"].tau_l_ms
    assert rule.tau_l_ms == pytest.approx(50.0 / 1e-4)


def test_beside_quick_the_defaults_of_a_full_study_count_where_they_are_given(monkeypatch):
    from scenarios import ladder

    given = []
    monkeypatch.setattr(ladder, "run", given.append)
    monkeypatch.setattr(
        sys, "argv", ["ladder", "--preset", "quick", "--epochs", "10", "--seeds", "3"]
    )
    monkeypatch.delitem(sys.modules, "scenarios.ladder.__main__", raising=False)
    runpy.run_module("scenarios.ladder", run_name="__main__")
    assert (given[0].epochs, given[0].seeds) == (Config.epochs, Config.seeds) == (10, 3)
    assert given[0].quick
    assert given[0].units == QUICK.units


def test_a_study_says_how_long_the_rest_will_take(tmp_path, monkeypatch, capsys):
    @dataclass
    class Trial:
        number: int

        @property
        def coords(self):
            return {"number": self.number}

    def share(tasks):
        for which, _ in enumerate(tasks):
            yield which, xr.Dataset({"x": 1.0}, attrs={"seconds": 30.0})

    clock = iter([0.0, 30.0, 90.0, 4000.0])
    monkeypatch.setattr(grid.time, "perf_counter", lambda: next(clock))
    grid.filled([(Trial(n), ()) for n in range(3)], tmp_path, share)
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.endswith("30.0 s, 30 s in all, about 1 min left")  # 2 of 30 s
    assert second.endswith("30.0 s, 2 min in all, about 45 s left")
    assert last.endswith("30.0 s, 1 h 07 min in all")
