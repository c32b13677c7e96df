"""`fastpath plot`: figures of a finished run."""

from fastpath.commands.evaluate import images_of
from fastpath.commands.flags import Plot
from fastpath.commands.report import say_without_sums
from fastpath.data.images import Images
from fastpath.runs.folder import Saved


def plot(command: Plot) -> None:
    """Run `fastpath plot`."""
    from fastpath.runs import figures  # imports matplotlib, which is slow

    def images(run: Saved) -> Images:
        return images_of(
            run,
            command.run,
            data=command.data,
            data_root=command.data_root,
            download=False,
        )

    files = figures.open_files(command.run, images)
    say_without_sums(command.run, has_sums=files.has_sums)
    for line in figures.draw(files, command.out or command.run):
        print(line)
