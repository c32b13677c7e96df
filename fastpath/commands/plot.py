"""`fastpath plot`: figures of a finished run."""

from fastpath.commands.flags import Plot
from fastpath.commands.report import say_without_sums


def plot(command: Plot) -> None:
    """Run `fastpath plot`."""
    from fastpath.runs import figures  # imports matplotlib, which is slow

    files = figures.open_files(command.run)
    say_without_sums(command.run, has_sums=files.has_sums)
    for path, left_out in figures.draw(files, command.out or command.run):
        print(f"left out {path}: {left_out}" if left_out else f"wrote {path}")
