"""netCDF files on disks that may be full.

Where a write is refused, HDF5 leaves half a file, and crashes when that is closed. So it
writes through Python here, and is never refused: what finds no room it reads back from
memory, and in the end the file is as it was before.
"""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import h5netcdf
import xarray as xr
from xarray.backends import H5NetCDFStore

from neurodyn import exits, files


def save(
    path: Path, dataset: xr.Dataset, encoding: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write a data set, whole or not at all.

    `encoding` is that of `xarray.Dataset.to_netcdf`, for its engine h5netcdf.

    Raises
    ------
    ValueError
        If the folder cannot be made, or the disk refuses.
    """
    if dataset.chunks:  # of dask
        dataset = dataset.compute()
    with files.whole(path) as part, appended(part) as file:
        dataset.dump_to_store(H5NetCDFStore(file), encoding=encoding)


@contextmanager
def appended(part: Path) -> Iterator[h5netcdf.File]:
    """Yield a file, empty or netCDF, to add to; on failure it is as it was.

    Signals wait: half of what is added would be none of the states it was in.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    with (
        exits.held_back(),
        part.open("r+b", buffering=0) as disk,
        _Patient(disk) as shield,
        h5netcdf.File(shield, "r+" if shield.start else "w") as file,
    ):
        yield file


class _Patient(io.RawIOBase):
    """A file for HDF5 that takes all that is written, and says in the end if it could.

    What is new goes to the disk at once. What changes older parts is held in memory until
    the new part is safely there: that is much the largest, and the one that needs room.
    """

    def __init__(self, disk: io.FileIO) -> None:
        self.start = os.fstat(disk.fileno()).st_size
        self._disk, self._place, self._end = disk, 0, self.start
        self._held: list[tuple[int, bytes]] = []
        self._refusal: OSError | None = None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Complete the file, or take back what was added to it."""
        try:
            if self._refusal is not None:
                raise self._refusal
            if exc_type is None:
                self._disk.truncate(self._end)
                os.fsync(self._disk.fileno())  # some disks refuse only here
                for place, content in self._held:
                    _write(self._disk, place, content)
                return
        except OSError:
            self._take_back()
            raise
        self._take_back()

    def _take_back(self) -> None:
        with suppress(OSError):
            self._disk.truncate(self.start)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}
        self._place = base[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        self._end = self._place if size is None else size
        return self._end

    def write(self, content: Any, /) -> int:
        content = bytes(content)
        old = min(max(self.start - self._place, 0), len(content))
        if old:
            self._held.append((self._place, content[:old]))
        self._add(self._place + old, content[old:])
        self._place += len(content)
        self._end = max(self._end, self._place)
        return len(content)

    def _add(self, place: int, content: bytes) -> None:
        """Write what is new, or hold it from the first refusal on."""
        if self._refusal is None:
            try:
                _write(self._disk, place, content)
                return
            except OSError as error:
                self._refusal = error
        self._held.append((place, content))

    def readinto(self, buffer: Any, /) -> int:
        """Read what is on the disk, and over it what is held."""
        buffer = memoryview(buffer).cast("B")
        size = min(len(buffer), max(self._end - self._place, 0))
        self._disk.seek(self._place)
        found = bytearray(self._disk.read(size) or b"").ljust(size, b"\0")
        for place, content in self._held:
            first = max(place, self._place)
            last = min(place + len(content), self._place + size)
            if first < last:
                shown = slice(first - self._place, last - self._place)
                found[shown] = content[first - place : last - place]
        buffer[:size] = found
        self._place += size
        return size


def _write(disk: io.FileIO, place: int, content: bytes) -> None:
    """Write all: near the end of the room, files take a part first."""
    disk.seek(place)
    rest = memoryview(content)
    while rest:
        rest = rest[disk.write(rest) :]
