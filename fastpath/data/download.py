"""Data sets that torchvision downloads: whole or not at all, and by one process at a time.

They are written to a folder beside their place, in which nobody looks for them. Of several
processes that need one (`torchrun`), the first downloads it, and the others wait.
"""

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torchvision.datasets import utils

from neurodyn.files import turn
from neurodyn.progress import progress_bar

SILENCE = 60.0  # seconds that a server may take to say something


def fetched[Result](
    name: str, kind: Callable[..., Any], root: Path, read: Callable[[Path], Result]
) -> Result:
    """Return what `read` finds under a root; before, download what it does not find there.

    Parameters
    ----------
    name, kind
        A data set, and its class in torchvision.
    root
        Where it lies. There, and in all folders it may be downloaded to, `read` raises an
        exception if something is missing or damaged.
    """
    with suppress(Exception):
        return read(root)
    root.mkdir(parents=True, exist_ok=True)
    waiting = f"fastpath: waiting for another process, which downloads '{name}'"
    with turn(root / f".{name}.lock", waiting) as (note, waited):
        with suppress(Exception):
            return read(root)
        if waited and (failed := note.read()):  # in which all would only fail again
            raise OSError(failed.decode())
        note.truncate(0)
        try:
            _download(name, kind, root, read)
        except Exception as error:
            note.write((str(error) or type(error).__name__).encode())
            raise
        return read(root)


def _download(
    name: str, kind: Callable[..., Any], root: Path, read: Callable[[Path], object]
) -> None:
    for left in root.glob(f".{name}.*.part"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    print(f"fastpath: downloading '{name}' to {root}", file=sys.stderr)
    part = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=root))
    try:
        with _bars_of(name), _impatient():
            for split in (True, False):
                kind(part, train=split, download=True)
        read(part)
        for file in sorted(part.rglob("*")):
            if file.is_file():
                place = root / file.relative_to(part)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _bars_of(name: str) -> Iterator[None]:
    """Show progress as all of it is shown here, where torchvision has a bar of its own."""

    @contextmanager
    def bar(*_: Any, total: int | None = None, **__: Any) -> Iterator[SimpleNamespace]:
        with progress_bar(total or 0, what=f"downloading {name}", unit="B") as advance:
            yield SimpleNamespace(update=advance)

    before = utils.tqdm
    setattr(utils, "tqdm", bar)  # noqa: B010
    try:
        yield
    finally:
        setattr(utils, "tqdm", before)  # noqa: B010


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a server that says nothing any more."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
