"""Files that appear whole or not at all, also on a full disk and if their writer is killed.

A file is written beside its place, under a name that no other process uses, and renamed.
"""

import glob
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None


def part_of(path: Path, ending: str = "") -> Path:
    """Return a new name beside `path`, by which what is not yet whole goes."""
    # Not by the number of the process: in containers that is always the same.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part{ending}")


@contextmanager
def kept(part: Path) -> Iterator[None]:
    """Make an empty part, and hold it as one's own so that `tidy` of others leaves it.

    HDF5 has the same locks: it must not take its own (`netcdf.appended`).
    """
    while True:
        with part.open("xb") as file:
            try:
                _lock(file)
            except BlockingIOError:
                continue
            except OSError:  # some network file systems have no locks
                pass
            if part.exists():  # else `tidy` came between
                yield
                return


def tidy(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes have left of files of this name, or of any."""
    named = "*" if name is None else glob.escape(name)
    for left in folder.glob(f".{named}.*.part*"):
        # One that is locked is still written to.
        with suppress(OSError), left.open("rb") as file:
            _lock(file)
            left.unlink()


def _lock(file: BinaryIO | int, *, wait: bool = False) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextmanager
def turn(path: Path, waiting: str) -> Iterator[tuple[BinaryIO, bool]]:
    """Wait for one's turn at a file that processes share; make it if it is not there.

    Yields the file, to be read from its start and written at its end, and whether another
    process had its turn until now; the line `waiting` on stderr said so.
    """
    with path.open("a+b") as file:
        waited = False
        try:
            _lock(file)
        except BlockingIOError:
            waited = True
            print(waiting, file=sys.stderr)
            _lock(file, wait=True)
        except OSError:  # some network file systems have no locks
            pass
        file.seek(0)
        yield file, waited


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder, and yield True, unless another process does; a dead one does not.

    Where the system or the disk has no such locks, the answer is True as well.
    """
    if fcntl is None:
        yield True
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        ours = True
        try:
            _lock(opened)
        except BlockingIOError:
            ours = False
        except OSError:  # some network file systems
            pass
        yield ours
    finally:
        os.close(opened)


@contextmanager
def whole(path: Path, ending: str = "") -> Iterator[Path]:
    """Yield a place to write to; on success it becomes `path`, on failure nothing.

    Its name ends in `ending`, by which some writers tell the format.

    Raises
    ------
    ValueError
        If the folder cannot be made, or the disk refuses.
    """
    part = part_of(path, ending)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent, path.name)
        with kept(part):
            yield part
            finish(part, path)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def finish(part: Path, path: Path) -> None:
    """Give a part that is complete its name."""
    with part.open("rb") as written:  # on the disk before the name points to it
        os.fsync(written.fileno())
    part.replace(path)


def refused(path: Path, error: OSError) -> ValueError:
    """Return what to say when a file cannot be written."""
    reason = error.strerror or " ".join(str(error).split())
    return ValueError(f"cannot write {path}: {reason}; choose another place")
