"""How far is each step from its floor?

A learning step (100 images of 784 pixels, ranking) beside the forward matrix product alone,
measured in turn in one run; a time step of the circuit on each backend.
"""

import json
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
    circuit = [
        circuit_step(units, backend=backend, steps=config.steps)
        for units in config.units
        for backend in backends.NAMES
        if backends.why_not(backend) is None and (backend != "numpy" or units < 500)
    ]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": config.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
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


def circuit_step(units: int, *, backend: str, steps: int) -> dict[str, Any]:
    """Time one step of the pooled circuit with static weights, drive included."""
    rng = np.random.default_rng(0)
    dt_ms = 10.0 / (1 + 2000)  # stable for any of these sizes
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(w_inh=1.0),
        rng.random((2, NUM_PIXELS)),
        rng.normal(size=(units, NUM_PIXELS)),
        stimulus=neurodyn.Presentation(image_ms=steps // 2 * dt_ms),
        backend=backend,
        dt_ms=dt_ms,
        recording=neurodyn.Recording(activity_ms=None),
    )
    milliseconds = 1000 * run.attrs["run_seconds"] / steps
    return {"units": units, "backend": backend, "ms_per_step": milliseconds}


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
