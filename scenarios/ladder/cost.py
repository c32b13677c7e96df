"""What each level costs: seconds, memory, and where the time goes.

Seconds are of the processor, so that what else runs on the machine does not count. Each
way of learning runs in a process of its own, whose memory is then known.
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

SHORT, LONG = 10.0, 100.0  # T/τ of the circuit: two, so that steps are told from the rest
EQUILIBRIUM = Equilibrium(w_inh=0.9, h_star=0.3, delta=0.4)
MEGABYTE = 2**20
SECONDS = 0.2  # for which closed forms are repeated

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
    """What one way of learning costs with one size of network."""

    source: Source
    num_units: int
    way: str
    isolated: bool = True
    """In a process of its own; else memory is not known."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Its values of the dims along which results are stacked."""
        return {"num_units": self.num_units, "way": self.way}

    def compute(self) -> xr.Dataset:
        """Return seconds per 1000 images, in all and in parts, and memory."""
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
    """Return what a way of learning costs, measured in this process."""
    kind, how = WAYS[way]
    x = source.validation().x_eval
    layer = source.start(num_units, x[0].numel())
    before = most_memory()
    if isinstance(how, str):
        result = circuit(source.seen(x[: IMAGES[how]]), layer.weights, kind, how)
    else:
        result = closed_form(source.seen(x[:1000]).float(), layer.weights, kind, how)
    # What learning adds to data and libraries. The memory of a compiled program is not
    # known: the compiler is a child of this process too, and larger.
    memory = np.nan if how == "cpp" else (most_memory() - before) / MEGABYTE
    return {**result, "memory_mb": memory}


def most_memory() -> float:
    """Return the most bytes that this program has held (Linux; NaN elsewhere).

    Not by getrusage: there a process begins with the peak of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return np.nan
    return next(1024.0 * int(line.split()[1]) for line in lines if "VmHWM" in line)


def processor_seconds() -> float:
    """Return the processor time that this process and its children have had."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def circuit(
    v: torch.Tensor, weights: torch.Tensor, kind: str, backend: str
) -> dict[str, float]:
    """Return seconds per 1000 images at T = LONG τ; of it, what does not grow with T."""
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
        # Of the time that passed, what this process and its compiler and program had.
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
    """Return seconds per 1000 images of learning in mini-batches, and of its parts."""
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
    for part in parts:  # copies: a call reuses the memory of the one before
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
    given = json.loads(sys.argv[1])
    root = Path(given["root"]) if given["root"] else None
    numbers = measured(
        Source(**given["source"], root=root), given["num_units"], given["way"]
    )
    print(json.dumps({name: float(np.float64(value)) for name, value in numbers.items()}))
