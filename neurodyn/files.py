"""Files that appear whole or not at all, also on a full disk and if their writer is killed.

A file is written beside its final path, under a unique name, and then renamed.
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
HAS_LOCKS = fcntl is not None


def part_of(path: Path, ending: str = "") -> Path:
    """Return a unique path beside `path`, for its unfinished part."""
    # Not the number of the process, which is often the same in containers.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part{ending}")


@contextmanager
def kept(part: Path) -> Iterator[None]:
    """Create an empty part, and lock it so that `tidy` of other processes keeps it.

    HDF5 uses the same locks, and must not lock the part too (`netcdf.appended`).
    """
    while True:
        with part.open("xb") as file:
            try:
                lock(file)
            except BlockingIOError:
                continue
            except OSError:  # some network file systems have no locks
                pass
            if part.exists():  # else `tidy` removed it before the lock
                yield
                return


def tidy(folder: Path, name: str | None = None) -> None:
    """Remove parts that killed processes left, of files of this name or of any."""
    pattern = "*" if name is None else glob.escape(name)
    for part in folder.glob(f".{pattern}.*.part*"):
        # A locked part is still being written.
        with suppress(OSError), part.open("rb") as file:
            lock(file)
            part.unlink()


def lock(file: BinaryIO | int, *, wait: bool = False) -> None:
    """Lock a file until it is closed, or its process ends; a no-op without such locks.

    Raises
    ------
    BlockingIOError
        If another has locked it, and `wait` is False.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextmanager
def turn(path: Path, waiting: str) -> Iterator[tuple[BinaryIO, bool]]:
    """Lock a file that processes share, created if missing; wait for other processes.

    Yield the file, to be read from its start and written at its end, and whether another
    process had locked it. While waiting, the line `waiting` is printed on stderr.
    """
    with path.open("a+b") as file:
        waited = False
        try:
            lock(file)
        except BlockingIOError:
            waited = True
            print(waiting, file=sys.stderr)
            lock(file, wait=True)
        except OSError:  # some network file systems have no locks
            pass
        file.seek(0)
        yield file, waited


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Lock a folder; yield False if another running process has locked it, else True.

    If the system or the disk has no such locks, yield True.
    """
    if fcntl is None:
        yield True
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        ours = True
        try:
            lock(opened)
        except BlockingIOError:
            ours = False
        except OSError:  # some network file systems
            pass
        yield ours
    finally:
        os.close(opened)


@contextmanager
def whole(path: Path, ending: str = "") -> Iterator[Path]:
    """Yield a part to write; rename it to `path` on success, remove it on failure.

    Its name ends in `ending`, from which some writers infer the format.

    Raises
    ------
    ValueError
        If the folder or the file cannot be written.
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
    """Rename a complete part to its final path."""
    with part.open("rb") as written:  # to the disk, before the rename
        os.fsync(written.fileno())
    part.replace(path)


def refused(path: Path, error: OSError) -> ValueError:
    """Return the error for a file that cannot be written."""
    reason = error.strerror or " ".join(str(error).split())
    return ValueError(f"cannot write {path}: {reason}; choose another path")
