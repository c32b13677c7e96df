"""How far is each step from its floor?

A learning step (100 images of 784 pixels, ranking) beside the forward matrix product alone,
measured in turn in one run; a time step of the circuit, static and learning, on each
compiled backend, beside the time that its bytes would take at the memory's bandwidth.
"""

import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

import neurodyn
from fastpath import checkpoint
from fastpath.competition import Ranking
from fastpath.layers import Dense
from neurodyn import backends

NUM_PIXELS, BATCH = 784, 100
STEPS_PER_IMAGE = 200
# Of a synapse: its weight, and the numbers of its two cells (Brian2 reads them each time).
W_BYTES, INDEX_BYTES = 8, 8
SUM_BYTES = W_BYTES + INDEX_BYTES
UPDATE_BYTES = 2 * W_BYTES + INDEX_BYTES


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    units: tuple[int, ...] = (100, 500, 2000)
    """Numbers of hidden units."""
    repeats: int = 60
    """Learning steps timed for each size."""
    steps: int = 10_000
    """Time steps of each circuit."""
    threads: int = 1
    """CPU threads of PyTorch; the circuit always runs on one."""
    out: Path = Path("runs/bench.json")
    """Where the numbers go."""


def main(config: Config) -> None:
    """Measure, print and save."""
    torch.set_num_threads(config.threads)
    learning = [
        learning_step(units, p=p, k=k, repeats=config.repeats)
        for units in config.units
        for p, k in ((2.0, 2), (3.0, 7))
    ]
    bandwidth = memory_bandwidth()
    circuit = [
        circuit_step(
            units, form=form, backend=backend, steps=config.steps, bandwidth=bandwidth
        )
        for form in FORMS
        for units in config.units
        for backend in backends.NAMES
        if backend != "numpy" and backends.why_not(backend) is None
    ]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": config.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "bandwidth_gb_per_s": bandwidth / 1e9,
        "date": date.today().isoformat(),
    }
    checkpoint.save_json(
        config.out, {"machine": machine, "learning": learning, "circuit": circuit}
    )
    print(json.dumps(machine))
    for rows in (learning, circuit):
        print()
        print("  ".join(f"{name:>12}" for name in rows[0]))
        for row in rows:
            print("  ".join(f"{cell(value):>12}" for value in row.values()))
    print(f"\nsaved to {config.out}")


def cell(value: Any) -> str:
    """Return a table cell."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def learning_step(units: int, *, p: float, k: int, repeats: int) -> dict[str, Any]:
    """Time one learning step and the product it cannot do without, in turn."""
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(units, NUM_PIXELS, p=p, generator=generator)
    images = torch.rand(BATCH, NUM_PIXELS, generator=generator)
    weights, rule = layer.weights.clone(), Ranking(k=k)
    step, floor = in_turn(
        lambda: layer.learn(images, rule, lr=1e-6), lambda: images @ weights.T, repeats
    )
    ratios = [a / b for a, b in zip(step, floor, strict=True)]
    return {
        "units": units,
        "p": p,
        "k": k,
        "step_ms": 1000 * statistics.median(step),
        "product_ms": 1000 * statistics.median(floor),
        "ratio": statistics.median(ratios),
        "images_per_s": BATCH / statistics.median(step),
    }


def in_turn(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of two pieces of work done in turn, after a warm-up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(-10, repeats):
        for work, taken in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            work()
            if repeat >= 0:
                taken.append(time.perf_counter() - start)
    return seconds


FORMS = {
    # form: bytes that a step must move with n pixels and k units
    "pooled": lambda n, k: 0,
    "explicit": lambda n, k: k * k * (W_BYTES + INDEX_BYTES),
    "settled": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES) / STEPS_PER_IMAGE,
    "continuous": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES) / STEPS_PER_IMAGE,
    "each synapse": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES),
}


def circuit_step(
    units: int, *, form: str, backend: str, steps: int, bandwidth: float
) -> dict[str, Any]:
    """Time one step of the circuit, beside what memory alone would take.

    "pooled" and "explicit" inhibition with static weights; the others learn by the rule of
    the paper: settled, continuous by two numbers a unit, and continuous with every synapse
    integrated, which sign constraints ask for.
    """
    rng = np.random.default_rng(0)
    if form in ("explicit", "each synapse"):
        steps = max(2 * STEPS_PER_IMAGE, int(steps * 1e5 / (NUM_PIXELS * units)))
    weights = abs(rng.normal(size=(units, NUM_PIXELS)))
    w_inh = 0.5 / units
    timing = neurodyn.Settled() if form == "settled" else neurodyn.Continuous()
    rule = neurodyn.KrotovHopfield(h_star=5.0, tau_l_ms=1e7, timing=timing)
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(
            w_inh=w_inh * (1 - np.eye(units)) if form == "explicit" else w_inh,
            input_sign=1 if form == "each synapse" else 0,
        ),
        rng.random((max(2, steps // STEPS_PER_IMAGE), NUM_PIXELS)) / 15,
        weights,
        plasticity=None if form in ("pooled", "explicit") else rule,
        stimulus=neurodyn.Presentation(image_ms=STEPS_PER_IMAGE * 0.5),
        backend=backend,
        dt_ms=0.5,
        recording=neurodyn.Recording(activity_ms=None),
    )
    steps = run.sizes["image"] * STEPS_PER_IMAGE
    milliseconds = 1000 * run.attrs["run_seconds"] / steps
    floor_ms = 1000 * FORMS[form](NUM_PIXELS, units) / bandwidth
    return {
        "form": form,
        "units": units,
        "backend": backend,
        "steps": steps,
        "ms_per_step": milliseconds,
        "floor_ms": floor_ms,
        "ratio": milliseconds / floor_ms if floor_ms else math.nan,
    }


def memory_bandwidth(num_bytes: int = 2**24) -> float:
    """Return bytes per second of updating an array in place, as large as the weights."""
    array = np.ones(num_bytes // 8)
    np.multiply(array, 1.0000001, out=array)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        np.multiply(array, 1.0000001, out=array)
        seconds.append(time.perf_counter() - start)
    return 2 * num_bytes / statistics.median(seconds)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
