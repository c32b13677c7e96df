"""Feed-forward rules whose weights decay by an expression of their own."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from neurodyn import Continuous, Gated, LateralInhibition, Presentation, Settled, simulate
from neurodyn.plasticity import Timing

TAU_L_MS, DT_MS, IMAGE_MS, REST_MS, TAU_MS, W_INH = 500.0, 0.5, 20.0, 4.0, 10.0, 0.6
BETA = 0.3


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Winners learn; the weights of all units decay, also of those that are silent."""

    p: float = 2.0
    timing: Timing = field(default_factory=Continuous)
    tau_l_ms: ClassVar = TAU_L_MS
    radius: ClassVar = 1.2
    activation: ClassVar = "g = int(h > 0.5) : 1"
    decay: ClassVar = "beta*(1 + h**2)"
    states: ClassVar = {}
    parameters: ClassVar = {"beta": BETA}

    def strongest(self, lowest, highest):
        return 1.0


CPP = pytest.mark.slow
RUNS = [
    (p, timing, sign, "numpy")
    for p in (2.0, 3.0)
    for timing in (Continuous(), Gated(last_ms=8.0), Settled())
    for sign in (0, 1)
] + [pytest.param(3.0, Gated(last_ms=8.0), 1, "cpp", marks=CPP)]


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
@pytest.mark.parametrize(("p", "timing", "sign", "backend"), RUNS)
def test_weights_decay_though_a_unit_does_not_learn(p, timing, sign, backend):
    """Of two numbers for each unit, of every synapse, and once a presentation."""
    rng = np.random.default_rng(0)
    images, start = rng.random((3, 6)), rng.normal(0.2, 0.6, (5, 6))
    start = abs(start) if sign else start
    traces = simulate(
        LateralInhibition(w_inh=W_INH, p=p, input_sign=sign),
        images,
        start,
        plasticity=Forgetting(p=p, timing=timing),
        stimulus=Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS),
        backend=backend,
        dt_ms=DT_MS,
        progress=False,
    )
    rest, steps = round(REST_MS / DT_MS), round((REST_MS + IMAGE_MS) / DT_MS)
    window_ms = timing.window_ms(IMAGE_MS)
    window = steps - round(min(window_ms, IMAGE_MS) / DT_MS)
    weights, silent = start.copy(), np.ones(len(start), bool)

    def moved(rate):
        growth = 1.2**p * np.outer(h > 0.5, v)
        loss = BETA * (1 + h**2)
        change = rate * (growth - loss[:, None] * weights)
        return np.maximum(weights + change, 0 if sign else -np.inf)

    for v in images:
        h = np.zeros(len(start))
        for step in range(steps):
            drive, r = (np.sign(weights) * abs(weights) ** (p - 1)) @ v, np.maximum(h, 0)
            slope = drive * (step >= rest) - W_INH * (r.sum() - r) - h
            if window_ms and step >= max(window, rest):
                silent &= h <= 0.5
                weights = moved(DT_MS / TAU_L_MS)
            h = h + DT_MS / TAU_MS * slope
        if not window_ms:
            silent &= h <= 0.5
            weights = moved(IMAGE_MS / TAU_L_MS)
    np.testing.assert_allclose(traces["weights"], weights, rtol=0, atol=1e-12)
    assert silent.any()
    assert abs(weights - start)[silent].max(axis=1).min() > 1e-3
