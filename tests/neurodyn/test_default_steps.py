"""The time step that is chosen: stable, and a divisor of all times."""

import json
import re

import numpy as np
import pytest

from neurodyn import LateralInhibition, equilibrium
from tests.neurodyn.helpers import IMAGES, TAU_MS, drive_of, run


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_default_time_step_divides_everything_and_is_stable(rng):
    """40 units of about equal drive are all active: stability asks for less than τ/20."""
    weights = np.full((40, 6), 0.5) + 1e-3 * rng.normal(size=(40, 6))
    traces = run(weights=weights, image_ms=9.0, rest_ms=3.0, activity_ms=1.5)
    dt_ms = json.loads(traces.attrs["config"])["dt_ms"]
    # All 40 active: Euler is unstable above 2 τ / (1 + 39 w).
    assert dt_ms < 2 * TAU_MS / (1 + 39 * 0.5)
    for length in (9.0, 3.0, 1.5):
        assert length / dt_ms == pytest.approx(round(length / dt_ms), abs=1e-9)
    assert traces["final_activity"].max() < 2 * traces["drive"].max()


@pytest.mark.parametrize("num_units", [300, 1500])
def test_the_default_step_settles_though_few_units_stay_active(num_units):
    """One unit wins, but all rise with it at first: τ/20 ends in a cycle at 1500 units."""
    drive = np.linspace(0.999, 1.0, num_units)[None].copy()
    drive[0, -1] = 1.2
    circuit = LateralInhibition(tau_ms=TAU_MS, w_inh=0.9)
    assert circuit.settles(drive, TAU_MS / 20) == (num_units == 300)
    dt_ms = circuit.default_step_ms(drive, reset=True)
    assert (dt_ms == TAU_MS / 20) == (num_units == 300)
    h = np.zeros_like(drive)
    for _ in range(round(100 * TAU_MS / dt_ms)):
        r = np.maximum(h, 0)
        h = h + dt_ms / TAU_MS * (drive - 0.9 * (r.sum(axis=1, keepdims=True) - r) - h)
    # At 100 τ the slowest mode has fallen to exp(-10); a cycle stays 0.75 away.
    np.testing.assert_allclose(h, equilibrium.settle(drive, w_inh=0.9), atol=1e-3)


def test_default_time_step_resolves_tau():
    assert json.loads(run(activity_ms=None).attrs["config"])["dt_ms"] == TAU_MS / 20


@pytest.mark.parametrize(
    ("drive", "w_inh", "reset", "safe_ms"),
    [
        ([[3.0, 2.0, -1.0]], 0.5, True, 10 / 1.5),  # 2 can be active
        ([[3.0, 1.0, 0.0], [3.0, 3.0, 3.0]], 0.5, True, 10 / 2),  # 2 and 3: the most count
        ([[-1.0, -1.0, -2.0]], 0.5, True, 10),  # nobody can
        ([[3.0, 2.0, -1.0]], 2.0, True, 10 / 3),
        ([[3.0, 2.0, -1.0]], 0.5, False, 10 / 2),  # carried over: all units count
    ],
)
def test_safe_step_rule(drive, w_inh, reset, safe_ms):
    circuit = LateralInhibition(tau_ms=10.0, w_inh=w_inh)
    safe = circuit.safe_step_ms(np.array(drive), reset=reset)
    assert safe == pytest.approx(safe_ms, rel=1e-12)


@pytest.mark.parametrize("w_inh", [0.5, 0.9, 1.5])
def test_settles_at_the_safe_step_and_refuses_one_that_does_not_settle(w_inh):
    weights = np.linspace(0.5, 1.0, 12)[:, None] * np.ones((12, 6))
    drive = drive_of(IMAGES, weights, 2)
    safe = LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh).safe_step_ms(drive, reset=True)
    settings = {"w_inh": w_inh, "image_ms": 2400 * safe, "activity_ms": None}
    traces = run(weights=weights, dt_ms=safe, **settings)
    np.testing.assert_allclose(
        traces["final_activity"],
        equilibrium.settle(drive, w_inh=w_inh),
        rtol=0,
        atol=1e-9 * drive.max(),  # measured: 4e-11 at w = 0.9, else 6e-13
    )
    with pytest.raises(ValueError, match=r"not stable with that step .*; one of .* ms is"):
        run(weights=weights, dt_ms=2.5 * TAU_MS, **settings)


def test_a_step_that_cycles_is_refused_and_the_one_that_is_named_is_taken():
    """Brian2 itself is shown to go wrong with the step that is refused."""
    weights = np.linspace(0.97, 1.0, 30)[:, None] * np.ones((30, 6))
    drive = drive_of(IMAGES, weights, 2)
    circuit = LateralInhibition(tau_ms=TAU_MS, w_inh=0.9)
    assert not circuit.settles(drive, TAU_MS / 2)
    with pytest.raises(ValueError, match=r"one of .* ms is") as refusal:
        run(weights=weights, dt_ms=TAU_MS / 2, w_inh=0.9, activity_ms=None)
    named = float(re.search(r"one of (\S+) ms", str(refusal.value))[1])
    assert circuit.is_stable(drive, named, reset=True)
