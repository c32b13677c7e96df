"""Write netCDF files on disks that may be full.

After a failed write, HDF5 leaves half a file, and crashes when it closes it. Here it writes
to a Python file object whose writes never fail: data that do not fit on the disk are kept
in memory until HDF5 has closed the file, which is then restored to its previous content.
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
    path: Path, dataset: xr.Dataset, encoding: Mapping[Any, Mapping[str, Any]]
) -> None:
    """Write a data set to a file, which appears whole or not at all.

    `encoding` is that of `xarray.Dataset.to_netcdf` for the engine h5netcdf.

    Raises
    ------
    ValueError
        If the folder or the file cannot be written.
    """
    if dataset.chunks:  # of dask
        dataset = dataset.compute()
    with files.whole(path) as part, appended(part) as file:
        dataset.dump_to_store(H5NetCDFStore(file), encoding=encoding)


@contextmanager
def appended(part: Path) -> Iterator[h5netcdf.File]:
    """Open a file, empty or netCDF, to append to; on failure restore its content.

    Signals are delayed, since half of an addition would leave a damaged file.

    Raises
    ------
    OSError
        If the disk refuses a write.
    """
    with (
        exits.held_back(),
        part.open("r+b", buffering=0) as disk,
        _NeverFailing(disk) as shield,
        h5netcdf.File(shield, "r+" if shield.start else "w") as file,
    ):
        yield file


class _NeverFailing(io.RawIOBase):
    """A file for HDF5 that accepts every write, and raises a disk's error at its end.

    New data go to the disk at once: they are the largest part, and the one that needs
    space. Changes of older data are held in memory until the new data are on the disk.
    """

    def __init__(self, disk: io.FileIO) -> None:
        self.start = os.fstat(disk.fileno()).st_size
        self._disk, self._position, self._end = disk, 0, self.start
        self._held: list[tuple[int, bytes]] = []
        self._refusal: OSError | None = None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Complete the file, or remove the new data."""
        try:
            if self._refusal is not None:
                raise self._refusal
            if exc_type is None:
                self._disk.truncate(self._end)
                os.fsync(self._disk.fileno())  # some disks refuse only here
                for offset, content in self._held:
                    _write(self._disk, offset, content)
                return
        except OSError:
            self._restore()
            raise
        self._restore()

    def _restore(self) -> None:
        with suppress(OSError):
            self._disk.truncate(self.start)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None, /) -> int:
        self._end = self._position if size is None else size
        return self._end

    def write(self, content: Any, /) -> int:
        content = bytes(content)
        old = min(max(self.start - self._position, 0), len(content))
        if old:
            self._held.append((self._position, content[:old]))
        self._add(self._position + old, content[old:])
        self._position += len(content)
        self._end = max(self._end, self._position)
        return len(content)

    def _add(self, offset: int, content: bytes) -> None:
        """Write new data; hold them in memory after the first error."""
        if self._refusal is None:
            try:
                _write(self._disk, offset, content)
                return
            except OSError as error:
                self._refusal = error
        self._held.append((offset, content))

    def readinto(self, buffer: Any, /) -> int:
        """Read the data on the disk, overlaid by the changes held in memory."""
        buffer = memoryview(buffer).cast("B")
        size = min(len(buffer), max(self._end - self._position, 0))
        self._disk.seek(self._position)
        data = bytearray(self._disk.read(size) or b"").ljust(size, b"\0")
        for offset, content in self._held:
            first = max(offset, self._position)
            last = min(offset + len(content), self._position + size)
            if first < last:
                overlap = slice(first - self._position, last - self._position)
                data[overlap] = content[first - offset : last - offset]
        buffer[:size] = data
        self._position += size
        return size


def _write(disk: io.FileIO, offset: int, content: bytes) -> None:
    """Write all of `content`: a nearly full disk may accept only a part at a time."""
    disk.seek(offset)
    rest = memoryview(content)
    while rest:
        rest = rest[disk.write(rest) :]
