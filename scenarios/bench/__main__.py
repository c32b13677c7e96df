"""How far is each step from its floor?

A learning step beside the forward matrix product alone, the published NumPy form and a
dense PyTorch form; each competition beside the ranking; one thread beside two; a time step
of the circuit beside the time that its bytes would take; on CUDA a whole epoch beside its
products, its bytes and its launches.
"""

import json
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from fastpath import checkpoint
from neurodyn import exits
from scenarios import hardware
from scenarios.bench import circuit, cuda, learning


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    units: tuple[int, ...] = (100, 500, 2000, 8000)
    """Numbers of hidden units."""
    shapes: tuple[Literal["mnist", "cifar10"], ...] = ("mnist", "cifar10")
    """784 pixels and mini-batches of 100; 3072 pixels and mini-batches of 1000."""
    steps: int = 10_000
    """Time steps of each circuit (up to 2000 units); 0 leaves the circuit out."""
    threads: int = 1
    """CPU threads of PyTorch; the circuit always runs on one."""
    device: Literal["cpu", "cuda"] = "cpu"
    """cuda measures epochs on the GPU, and nothing else."""
    out: Path = Path("runs/bench.json")
    """Where the numbers go."""


def main(config: Config) -> None:
    """Measure, print and save."""
    torch.set_num_threads(config.threads)
    if config.device == "cuda":
        tables = {
            "epoch": cuda.measure(config.units, config.shapes),
            "precision": cuda.precision(),
        }
    else:
        tables = on_cpu(config)
    machine = {
        "processor": hardware.processor(),
        "threads": config.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        **(cuda.machine() if config.device == "cuda" else {}),
    }
    checkpoint.save_json(config.out, {"machine": machine, **tables})
    print(json.dumps(machine))
    for name, rows in tables.items():
        print(f"\n{name}")
        print("  ".join(f"{column:>12}" for column in rows[0]))
        for row in rows:
            print("  ".join(f"{cell(value):>12}" for value in row.values()))
    print(f"\nsaved to {config.out}")


def on_cpu(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of the CPU."""
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
    if config.steps:
        small = tuple(units for units in config.units if units <= 2000)
        tables["circuit"] = circuit.measure(small, steps=config.steps)
    return {name: rows for name, rows in tables.items() if rows}


def cell(value: Any) -> str:
    """Return a table cell."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    with exits.orderly("bench"):
        main(tyro.cli(Config, description=__doc__, prog="python -m scenarios.bench"))
