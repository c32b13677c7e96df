"""The stored results of an earlier measurement, to compare with.

Ratios to floors of the same run are compared, not seconds: these depend on the machine.
"""

import json
import math
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("baseline.json")
NOISE = 1.3  # ratios of one machine differ by up to this factor from run to run
# What tells one row of a table from another.
NAMES = ("shape", "layer", "form", "units", "batch", "p", "k", "competition", "backend")

type Tables = dict[str, list[dict[str, Any]]]


def ratios(tables: Tables) -> dict[str, float]:
    """Return the ratio of each row that has one, by what the row is of."""
    return {
        key(table, row): row["ratio"]
        for table, rows in tables.items()
        for row in rows
        if not math.isnan(row.get("ratio", math.nan))
    }


def key(table: str, row: dict[str, Any]) -> str:
    """Return what a row is of."""
    named = (f"{name} {row[name]}" for name in NAMES if name in row)
    return ", ".join((table, *named))


def compare(tables: Tables, path: Path = PATH) -> list[str]:
    """Add the baseline's ratio to each row that has one; return what became slower."""
    before = json.loads(path.read_text())["ratios"] if path.exists() else {}
    slower = []
    for table, rows in tables.items():
        for row in rows:
            if "ratio" not in row:
                continue
            stored = before.get(key(table, row), math.nan)
            row["baseline"] = stored
            if row["ratio"] > NOISE * stored:
                slower.append(f"{key(table, row)}: {row['ratio']:.3g}, was {stored:.3g}")
    return slower


def save(tables: Tables, machine: dict[str, Any], path: Path = PATH) -> None:
    """Store the ratios, beside those of rows that were not measured now."""
    before = json.loads(path.read_text()) if path.exists() else {"ratios": {}}
    merged = before["ratios"] | {
        name: float(f"{value:.3g}") for name, value in ratios(tables).items()
    }
    path.write_text(json.dumps({"machine": machine, "ratios": merged}, indent=1) + "\n")
