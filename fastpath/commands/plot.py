"""`fastpath plot`: pictures of a finished run."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from fastpath.commands.report import say_without_sums


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw a finished run from its files: fields, training, readout, confusions.

    Writes receptive_fields.png, training.png, learning_curve.png, confusion.png and
    receptive_fields.gif; pictures that are there are replaced.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path | None = None
    """Folder of the pictures [that of the run]."""


def plot(command: Plot) -> None:
    """Run `fastpath plot`."""
    from fastpath.runs import (
        figures,  # matplotlib takes its time, which no other command needs
    )

    files = figures.open_files(command.run)
    say_without_sums(command.run, has_sums=files.has_sums)
    for path, left_out in figures.draw(files, command.out or command.run):
        print(f"left out {path}: {left_out}" if left_out else f"wrote {path}")
