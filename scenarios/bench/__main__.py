"""The command: python -m scenarios.bench, or make bench."""

import json
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch

from fastpath import checks
from fastpath.runs import storage
from neurodyn.flags import refuse_without_effect
from scenarios import bench
from scenarios.bench import (
    augmentation,
    baseline,
    circuit,
    convolution,
    cuda,
    learning,
    spiking,
)
from scenarios.support import hardware
from scenarios.support.command import command

STEPS = 10_000  # time steps of each circuit
ON_CUDA = ("pooled", "explicit", "each synapse")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the measurements."""

    units: tuple[int, ...] = (100, 500, 2000, 8000)
    """Numbers of hidden units."""
    shapes: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """mnist: 784 pixels, mini-batches of 100; cifar10: 3072 pixels, batches of 1000."""
    steps: int | None = None
    """Time steps of each circuit (on the CPU up to 2000 units); 0 leaves circuits out
    [10,000; with --device cuda 0: each program takes a minute or more to compile]."""
    convolutions: bool = True
    """Measure convolution layers too."""
    threads: int | None = None
    """CPU threads of PyTorch; the circuit always runs on one [1]."""
    device: Literal["cpu", "cuda"] = "cpu"
    """cuda measures epochs on the GPU, and with --steps circuits, beside the CPU."""
    out: Path = Path("runs/bench.json")
    """File of the results."""
    save_baseline: bool = False
    """Keep the ratios as those that later measurements are compared with."""

    def __post_init__(self) -> None:
        if self.device == "cuda":
            refuse_without_effect(
                self,
                ["threads"],
                why="with --device cuda, where the CPU's share is not measured",
                instead="give --device cpu",
            )
        elif not self.circuits:
            refuse_without_effect(
                self, ["steps"], why="on networks of more than 2000 units alone"
            )
        for name, least in (("steps", 0), ("threads", 1)):
            if (value := getattr(self, name)) is not None:
                checks.count(name, value, least=least)

    @property
    def circuits(self) -> tuple[int, ...]:
        """Sizes of the simulated circuits."""
        return tuple(units for units in self.units if units <= 2000)


def main(config: Config) -> None:
    """Measure, print the tables, and save them."""
    threads = config.threads or 1
    torch.set_num_threads(threads)
    if config.device == "cuda":
        tables = {
            "epoch": cuda.measure(config.units, config.shapes),
            "precision": cuda.precision(),
        }
        if config.steps:
            tables["circuit"] = circuit.measure(
                config.units, steps=config.steps, names=("cpp", "cuda"), forms=ON_CUDA
            )
            tables["spiking"] = spiking.measure(config.units, names=("cpp", "cuda"))
    else:
        tables = on_cpu(config)
    machine = {
        "processor": hardware.processor(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        **(cuda.machine() if config.device == "cuda" else {}),
    }
    slower = baseline.compare(tables)
    if config.save_baseline:
        baseline.save(tables, machine)
    storage.save_json(config.out, {"machine": machine, **tables})
    print(json.dumps(machine))
    for name, rows in tables.items():
        print(f"\n{name}")
        print("  ".join(f"{column:>12}" for column in rows[0]))
        for row in rows:
            print("  ".join(f"{entry(value):>12}" for value in row.values()))
    print(f"\nsaved to {config.out}")
    if slower:
        print(f"farther from the floor than the baseline, by more than {baseline.NOISE}:")
        print("\n".join(slower))


def on_cpu(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of the measurements on the CPU."""
    sizes = [(shape, units) for shape in config.shapes for units in config.units]
    tables = {
        "learning": [
            learning.against_the_floor(shape, units, p=p, k=k)
            for shape, units in sizes
            for p in (2.0, 3.0)
            for k in (2, 7)
        ],
        "competitions": [
            row
            for shape, units in sizes
            if units <= 2000 and shape == "mnist"
            for row in learning.competitions(shape, units)
        ],
        "threads": [
            learning.threads(shape, units) for shape, units in sizes if shape == "mnist"
        ],
    }
    tables["augmentation"] = [
        row for shape, units in sizes for row in augmentation.measure(shape, units)
    ]
    if config.convolutions:
        tables["convolution"] = convolution.measure()
    if steps := STEPS if config.steps is None else config.steps:
        tables["circuit"] = circuit.measure(config.circuits, steps=steps)
        tables["spiking"] = spiking.measure(config.circuits)
    return {name: rows for name, rows in tables.items() if rows}


def entry(value: Any) -> str:
    """Return an entry of a table as text."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    command("bench", main, Config, bench.__doc__)
