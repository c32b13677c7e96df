"""What `make bench` compares with: ratios of the same row, whatever the machine."""

import json
import math

import pytest

from scenarios.bench import baseline, circuit
from scenarios.bench.__main__ import Config


def tables(ratio, units=100, **more):
    row = {"form": "explicit", "units": units, "backend": "cpp", "ms_per_step": 1.0}
    return {"circuit": [row | {"ratio": ratio} | more], "threads": [{"shape": "mnist"}]}


def test_a_row_is_compared_with_the_same_row_of_before(tmp_path):
    path = tmp_path / "baseline.json"
    baseline.save(tables(2.0), {"processor": "here"}, path)
    baseline.save(tables(5.0, units=500), {"processor": "there"}, path)
    stored = json.loads(path.read_text())
    assert stored["ratios"] == {
        "circuit, form explicit, units 100, backend cpp": 2.0,
        "circuit, form explicit, units 500, backend cpp": 5.0,
    }
    now = tables(2.5)
    assert baseline.compare(now, path) == []
    assert now["circuit"][0]["baseline"] == 2.0
    assert "baseline" not in now["threads"][0]
    (slower,) = baseline.compare(tables(2.7), path)
    assert slower.endswith("backend cpp: 2.7, was 2")
    other = tables(9.0, units=2000)
    assert baseline.compare(other, path) == []
    assert math.isnan(other["circuit"][0]["baseline"])


def test_without_a_floor_there_is_no_ratio(tmp_path):
    path = tmp_path / "baseline.json"
    baseline.save(tables(math.nan), {}, path)
    assert json.loads(path.read_text())["ratios"] == {}
    assert baseline.compare(tables(3.0), tmp_path / "none.json") == []


def test_the_stored_ratios_are_those_of_the_benchmark():
    stored = json.loads(baseline.PATH.read_text())
    assert {"processor", "threads", "date"} <= set(stored["machine"])
    found = {name.split(", backend")[0] for name in stored["ratios"]}
    for form, what in circuit.FORMS.items():
        for units in Config().circuits:
            if what.num_bytes(units):
                assert f"circuit, form {form}, units {units}" in found


@pytest.mark.parametrize("form", circuit.FORMS)
def test_every_form_is_measured(form):
    """With few units and steps, on NumPy."""
    row = circuit.circuit_step(20, form=form, backend="numpy", steps=400)
    assert row["steps"] == 400
    assert row["ms_per_step"] > 0
    assert math.isnan(row["ratio"]) == (form == "pooled")
