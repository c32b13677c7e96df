"""Messages that commands print about their results."""

import sys
from pathlib import Path
from typing import Any


def report(metrics: dict[str, Any]) -> None:
    """Print metrics with their units, which follow from the ends of their names."""
    units = {"error": "%", "seconds": "s", "second": "images/s", "megabytes": "MB"}
    for name, value in metrics.items():
        unit = units[name.rsplit("_", 1)[1]]
        print(f"{name.replace('_', ' '):<20} {value:>10.2f} {unit}")


def say_without_sums(folder: Path, *, has_sums: bool) -> None:
    """Print a line if a run has no checksums because an older version wrote it."""
    if not has_sums:
        print(
            f"fastpath: {folder} was written by an older version, without checksums: "
            "whether its files are intact cannot be checked",
            file=sys.stderr,
        )
