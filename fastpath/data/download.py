"""Download torchvision's data sets, completely or not at all, by one process at a time.

A download goes to a temporary folder and is moved to the data root when it is complete. If
several processes need a data set (`torchrun`), the first downloads it and the others wait.
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

SILENCE = 60.0  # seconds without an answer of the server


def fetched[Result](
    name: str, kind: Callable[..., Any], root: Path, read: Callable[[Path], Result]
) -> Result:
    """Return `read(root)`; download the data set first if that raises an exception.

    Parameters
    ----------
    name, kind
        Name of the data set, and its class in torchvision.
    root
        Folder of the data set.
    read
        Function that reads the data set from a folder. It must raise an exception if files
        are missing or damaged.
    """
    with suppress(Exception):
        return read(root)
    root.mkdir(parents=True, exist_ok=True)
    waiting = f"fastpath: waiting for another process, which downloads '{name}'"
    with turn(root / f".{name}.lock", waiting) as (note, waited):
        with suppress(Exception):
            return read(root)
        if waited and (failed := note.read()):  # another attempt would fail too
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
    for left in root.glob(f".{name}.*.part"):  # of a process that was killed
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
                target = root / file.relative_to(part)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _bars_of(name: str) -> Iterator[None]:
    """Replace torchvision's progress bar by `progress_bar`."""

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
    """Give up on a server that does not answer for SILENCE seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
