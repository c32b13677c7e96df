"""What the commands print of their results."""

import sys
from pathlib import Path
from typing import Any


def report(metrics: dict[str, Any]) -> None:
    """Print metrics, each with the unit that the end of its name stands for."""
    units = {"error": "%", "seconds": "s", "second": "images/s", "megabytes": "MB"}
    for name, value in metrics.items():
        unit = units[name.rsplit("_", 1)[1]]
        print(f"{name.replace('_', ' '):<20} {value:>10.2f} {unit}")


def say_without_sums(folder: Path, *, has_sums: bool) -> None:
    """Say it where a run is of an older version, which noted no checksums."""
    if not has_sums:
        print(
            f"fastpath: {folder} was written by an older version, without checksums: "
            "whether its files are intact cannot be checked",
            file=sys.stderr,
        )
