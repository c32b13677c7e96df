"""The cost of each level: seconds, their parts, and memory.

Seconds are processor time, so that other programs on the machine do not count. Each way of
learning runs in its own process, to measure its peak memory.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import neurodyn
from fastpath.competition import Equilibrium
from fastpath.kernels import Learners
from fastpath.plasticity import Normalize
from scenarios.ladder.networks import Source
from scenarios.support.circuit import RANKING, TAU_MS

SHORT, LONG = 10.0, 100.0  # T/τ of the circuit; their difference is the cost of time steps
EQUILIBRIUM = Equilibrium(w_inh=0.9, h_star=0.3, delta=0.4)
MEGABYTE = 2**20
SECONDS = 0.2  # minimum duration of a measurement of the closed forms

# way of learning: (timing or rule, backend or images per mini-batch)
WAYS: dict[str, tuple[str, str | int]] = {
    "continuous, numpy": ("continuous", "numpy"),
    "continuous, cython": ("continuous", "cython"),
    "continuous, cpp": ("continuous", "cpp"),
    "settled, numpy": ("settled", "numpy"),
    "settled, cython": ("settled", "cython"),
    "settled, cpp": ("settled", "cpp"),
    "equilibrium, batch 1": ("equilibrium", 1),
    "ranking, batch 1": ("ranking", 1),
    "equilibrium, batch 100": ("equilibrium", 100),
    "ranking, batch 100": ("ranking", 100),
}
QUICK_WAYS = (
    *("continuous, numpy", "settled, numpy"),
    *("equilibrium, batch 100", "ranking, batch 100"),
)
IMAGES = {"numpy": 2, "cython": 10, "cpp": 50}  # shown to the circuit


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one way of learning with one size of network."""

    source: Source
    num_units: int
    way: str
    isolated: bool = True
    """Measure in a separate process; otherwise the memory is not measured reliably."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {"num_units": self.num_units, "way": self.way}

    def compute(self) -> xr.Dataset:
        """Return seconds per 1000 images, in total and by part, and memory."""
        if not self.isolated:
            return xr.Dataset(measured(self.source, self.num_units, self.way))
        source = asdict(self.source)
        request = {
            "root": str(source.pop("root") or ""),
            "source": source,
            "num_units": self.num_units,
            "way": self.way,
        }
        done = subprocess.run(
            [sys.executable, "-m", "scenarios.ladder.cost", json.dumps(request)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(f"measuring '{self.way}' failed: {done.stderr[-500:]}")
        return xr.Dataset(json.loads(done.stdout.splitlines()[-1]))


def measured(source: Source, num_units: int, way: str) -> dict[str, float]:
    """Return the cost of a way of learning, measured in this process."""
    kind, how = WAYS[way]
    x = source.validation().x_eval
    layer = source.start(num_units, x[0].numel())
    before = most_memory()
    if isinstance(how, str):
        result = circuit(source.seen(x[: IMAGES[how]]), layer.weights, kind, how)
    else:
        result = closed_form(source.seen(x[:1000]).float(), layer.weights, kind, how)
    # Memory that learning adds to data and libraries. That of a compiled program cannot be
    # measured: the compiler is a child of this process too, and larger.
    memory = np.nan if how == "cpp" else (most_memory() - before) / MEGABYTE
    return {**result, "memory_mb": memory}


def most_memory() -> float:
    """Return the peak memory of this process in bytes (Linux; NaN elsewhere).

    getrusage would not do: there a process starts with the peak of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return np.nan
    return next(1024.0 * int(line.split()[1]) for line in lines if "VmHWM" in line)


def processor_seconds() -> float:
    """Return the processor time of this process and its children."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def circuit(
    v: torch.Tensor, weights: torch.Tensor, kind: str, backend: str
) -> dict[str, float]:
    """Return seconds per 1000 images at T = LONG τ, and the part that grows with T."""
    timing = neurodyn.Settled() if kind == "settled" else neurodyn.Continuous()
    seconds, build = [], 0.0
    for duration in (SHORT, LONG):
        image_ms = duration * TAU_MS
        before, start = processor_seconds(), time.perf_counter()
        run = neurodyn.simulate(
            neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=EQUILIBRIUM.w_inh),
            v.numpy(),
            weights.numpy(),
            plasticity=neurodyn.KrotovHopfield(
                delta=EQUILIBRIUM.delta,
                h_star=EQUILIBRIUM.h_star,
                tau_l_ms=1e6 * image_ms,
                timing=timing,
            ),
            stimulus=neurodyn.Presentation(image_ms=image_ms),
            recording=neurodyn.Recording(activity_ms=None, images_every=None),
            backend=backend,
        )
        spent = time.perf_counter() - start
        # The share of wall time for which this process, compiler and program had a core.
        share = min(1.0, (processor_seconds() - before) / spent)
        seconds.append(1000 * share * run.attrs["run_seconds"] / len(v))
        build = share * (spent - run.attrs["run_seconds"])
    steps = (seconds[1] - seconds[0]) / (LONG - SHORT) * LONG
    dt_ms = json.loads(run.attrs["config"])["dt_ms"]
    return {
        "seconds_per_1000": seconds[1],
        "dynamics": steps,
        "drive_and_plasticity": seconds[1] - steps,
        "build_seconds": build,
        "cost_dt_ms": dt_ms,
    }


def closed_form(
    v: torch.Tensor, weights: torch.Tensor, kind: str, batch: int
) -> dict[str, float]:
    """Return seconds per 1000 images of mini-batch learning, in total and by part."""
    from fastpath.layers import Dense

    layer = Dense(weights.float())
    rule = RANKING if kind == "ranking" else EQUILIBRIUM
    parts = v.split(batch)[:: max(1, len(v) // (20 * batch))]

    def per_1000(work: Callable[[torch.Tensor], Any]) -> float:
        work(parts[0])
        start, done = time.process_time(), 0
        while time.process_time() - start < SECONDS:
            for part in parts:
                work(part)
            done += len(parts) * batch
        return 1000 * (time.process_time() - start) / done

    kernels = layer.kernels
    drive = {id(part): layer.drive(part) for part in parts}
    found = {}
    for part in parts:  # copies: each call reuses the memory of the previous call
        learners = kernels.learners(rule, drive[id(part)])
        assert learners is not None
        found[id(part)] = Learners(*(one.clone() for one in learners))
    normalize: Normalize = None if batch == 1 else "max"

    def plasticity(part: torch.Tensor) -> None:
        if len(found[id(part)].unit):
            changes = kernels.changes(found[id(part)], part, layer.weights)
            kernels.apply(
                changes, layer.weights, layer.weights, p=2.0, lr=1e-6, normalize=normalize
            )

    learn = partial(layer.learn, competition=rule, lr=1e-6, normalize=normalize)
    return {
        "seconds_per_1000": per_1000(learn),
        "drive": per_1000(layer.drive),
        "competition": per_1000(lambda part: kernels.learners(rule, drive[id(part)])),
        "plasticity": per_1000(plasticity),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    request = json.loads(sys.argv[1])
    root = Path(request["root"]) if request["root"] else None
    numbers = measured(
        Source(**request["source"], root=root), request["num_units"], request["way"]
    )
    print(json.dumps({name: float(np.float64(value)) for name, value in numbers.items()}))
