"""What the commands print of their results."""

from typing import Any


def report(metrics: dict[str, Any]) -> None:
    """Print metrics, each with the unit that the end of its name stands for."""
    units = {"error": "%", "seconds": "s", "second": "images/s", "megabytes": "MB"}
    for name, value in metrics.items():
        unit = units[name.rsplit("_", 1)[1]]
        print(f"{name.replace('_', ' '):<20} {value:>10.2f} {unit}")
