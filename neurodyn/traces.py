"""The form of a simulation's result: one labelled xarray Dataset, and its netCDF file.

Every variable has `units` and `long_name`, times are in ms, and attributes say where the
numbers came from. Variables and dims are those listed here and those that a circuit
declares (`circuits.Circuit.traces`).
"""

import json
import math
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks, exits, files, netcdf
from neurodyn.circuits import CIRCUITS, SPIKING_CIRCUITS, Trace

__all__ = [
    "ATTRS",
    "COORDS",
    "VARIABLES",
    "Writer",
    "as_json",
    "assemble",
    "check_writable",
    "open",
    "open_lazily",
    "save",
    "validate",
]

SHORT = 1000  # largest array whose values the configuration lists
ATTRS = ("title", "source", "history", "references", "config")

# Traces of every circuit; `Circuit.traces` declares further ones.
VARIABLES = {
    "activity": Trace(("time", "unit"), "activity h of the hidden units"),
    "final_activity": Trace(
        ("image", "unit"), "activity h at the end of each presentation"
    ),
    "drive": Trace(("image", "unit"), "drive I of the hidden units"),
    "weight_norm": Trace(("image", "unit"), "p-norm of the feed-forward weights"),
    "weights": Trace(("unit", "pixel"), "feed-forward weights W"),
}
COORDS = {
    "time": Trace(("time",), "time since the start of the run", "ms"),
    "unit": Trace(("unit",), "hidden unit"),
    "pixel": Trace(("pixel",), "input pixel, C-order of (height, width, channel)"),
    "image": Trace(("image",), "presentation"),
    "shown": Trace(("image",), "image of the bank that was shown"),
    "presentation": Trace(("time",), "presentation to which the sample belongs"),
    "snapshot": Trace(("snapshot",), "presentations before the snapshot"),
    "spike_unit": Trace(("spike",), "cell in its population"),
    "spike_population": Trace(("spike",), "population: input, exc or inh"),
    "spike_image": Trace(("spike",), "presentation in which the spike was fired"),
    "spike_attempt": Trace(("spike",), "how often the rate had been raised then"),
}
OTHER_DIMS = ("epoch", "trial")
COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def assemble(
    variables: dict[str, ArrayLike],
    coords: dict[str, ArrayLike],
    *,
    title: str,
    history: str,
    references: str,
    config: dict[str, Any] | list[dict[str, Any]],
    own: Mapping[str, Trace] | None = None,
) -> xr.Dataset:
    """Label arrays with the dims, units and names they have by contract.

    `own`: the traces that the circuit declares.

    Raises
    ------
    ValueError
        As `validate`.
    """
    names = declared(own or {})
    labels = COORDS | names
    if unknown := [name for name in variables if name not in names]:
        raise ValueError(f"unknown trace '{unknown[0]}': give one of {', '.join(names)}")
    attrs = {
        "title": title,
        "source": "neurodyn",
        "history": history,
        "references": references,
        "config": as_json(config),
    }
    usual = _dims(declared({}))
    if others := [dim for dim in _dims(own or {}) if dim not in usual]:
        attrs["dims"] = " ".join(others)
    dataset = xr.Dataset(
        {name: _labelled(values, names[name]) for name, values in variables.items()},
        {name: _labelled(values, labels[name]) for name, values in coords.items()},
        attrs,
    )
    return validate(dataset)


def _labelled(values: ArrayLike, trace: Trace) -> tuple[Any, ...]:
    """Return (dims, values, attributes); an extra dim of the values is the image."""
    extra = ("image",) * (np.ndim(values) - len(trace.dims))
    attrs = {"units": trace.units, "long_name": trace.long_name}
    return (*extra, *trace.dims), values, attrs


def declared(own: Mapping[str, Trace]) -> dict[str, Trace]:
    """Return all traces: those of the package's circuits, and `own` of another circuit."""
    traces = dict(VARIABLES)
    for circuit in (*SPIKING_CIRCUITS, *CIRCUITS):
        traces |= circuit.traces
    traces |= own
    weights = [name for name in traces if name.startswith("weights")]
    return traces | {
        f"{name}_snapshots": Trace(
            ("snapshot", *traces[name].dims), f"{traces[name].long_name} at each snapshot"
        )
        for name in weights
    }


def _dims(traces: Mapping[str, Trace]) -> list[str]:
    return list(dict.fromkeys(dim for trace in traces.values() for dim in trace.dims))


def as_json(config: dict[str, Any] | list[dict[str, Any]]) -> str:
    """Return settings as a JSON string, with long arrays replaced by shape and hash."""

    def plain(value: Any) -> Any:
        array = np.asarray(value)
        if array.size <= SHORT:
            return array.tolist()
        return {"shape": array.shape, "sha256": sha256(array.tobytes()).hexdigest()}

    return json.dumps(config, sort_keys=True, default=plain)


def validate(traces: xr.Dataset) -> xr.Dataset:
    """Return `traces` if they satisfy the contract.

    Raises
    ------
    ValueError
        If a dim, a variable's dims, units or long_name, or an attribute is wrong.
    """
    names = declared({})
    dims = [*_dims(names), *OTHER_DIMS, *traces.attrs.get("dims", "").split()]
    for dim in traces.dims:
        if dim not in dims:
            raise ValueError(f"unknown dim '{dim}': dims are {', '.join(dims)}")
    for name, variable in traces.data_vars.items():
        dims_of_trial = tuple(dim for dim in variable.dims if dim != "trial")
        needed = names[str(name)].dims if name in names else dims_of_trial
        if dims_of_trial not in (needed, ("image", *needed)):
            raise ValueError(
                f"'{name}' has dims {variable.dims}: {needed} or {('image', *needed)} is "
                "needed, besides trial"
            )
    for name, variable in traces.variables.items():
        for attr in ("units", "long_name"):
            if attr not in variable.attrs:
                raise ValueError(f"'{name}' has no attribute '{attr}'")
    if "time" in traces.coords and traces["time"].attrs["units"] != "ms":
        raise ValueError(f"time is in {traces['time'].attrs['units']}: it must be in ms")
    if missing := [name for name in ATTRS if name not in traces.attrs]:
        raise ValueError(f"traces lack the attributes {', '.join(missing)}")
    return traces


def check_writable(path: Path) -> None:
    """Create the folder of an output file, and check that the file can be written.

    Raises
    ------
    ValueError
        If the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        probe = files.part_of(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise files.refused(path, error) from error


def save(traces: xr.Dataset, path: Path | str) -> None:
    """Write traces to a netCDF file, which appears whole or not at all.

    Raises
    ------
    ValueError
        As `validate`, or if the folder cannot be written to.
    """
    path = checks.path("path", path)
    validate(traces)
    check_writable(path)
    netcdf.save(path, traces, _compressed(traces))


def _compressed(traces: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return encodings that compress large variables: settled activity hardly changes."""
    return {
        str(name): {"zlib": True, "complevel": 1, "shuffle": True}
        for name, variable in traces.data_vars.items()
        if variable.nbytes > 2**20
    }


class Writer:
    """Writer of a netCDF file of traces that grows by chunks.

    The file appears when the context ends. After an exception or a signal it holds the
    finished presentations, if there are any, and the exception's message says so.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to write.

        Raises
        ------
        ValueError
            If the file cannot be written there.
        """
        check_writable(path)
        self.path = path
        self.num_presentations = 0
        self._part: Path | None = None
        self._seconds = 0.0
        self._until_left = ExitStack()

    def __enter__(self) -> Self:
        return self

    def append(self, chunk: xr.Dataset, *, num_presentations: int) -> None:
        """Append the traces of further presentations; on failure the file is unchanged.

        Raises
        ------
        ValueError
            If the file cannot be written.
        """
        seconds = self._seconds + chunk.attrs["run_seconds"]
        finished = self.num_presentations + num_presentations
        totals = {"run_seconds": seconds, "presentations": finished}
        auxiliary = " ".join(str(name) for name in chunk.coords if name not in chunk.dims)
        try:
            with exits.held_back():
                with netcdf.appended(self._begun()) as file:
                    starts = _grow(file, chunk)
                    for name, variable in chunk.variables.items():
                        _append(file, str(name), variable, starts)
                    file.attrs.update(chunk.attrs | totals | {"coordinates": auxiliary})
                self._seconds, self.num_presentations = seconds, finished
        except OSError as error:
            raise files.refused(self.path, error) from error

    def _begun(self) -> Path:
        """Return the unfinished file of this run, created at the first call."""
        if self._part is None:
            files.tidy(self.path.parent, self.path.name)
            part = files.part_of(self.path)
            self._until_left.enter_context(files.kept(part))
            self._until_left.callback(part.unlink, missing_ok=True)
            self._part = part
        return self._part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, *_: object
    ) -> None:
        with exits.held_back(), self._until_left:
            if self._part is None or not self.num_presentations:
                return
            try:
                files.finish(self._part, self.path)
            except OSError as refusal:
                raise files.refused(self.path, refusal) from refusal
        saved = f"{self.num_presentations} presentations are finished, and in {self.path}"
        if isinstance(error, KeyboardInterrupt):
            raise exits.Stopped(getattr(error, "number", signal.SIGINT), saved) from None
        if error is not None:
            error.add_note(saved)


def _grow(file: "h5netcdf.File", chunk: xr.Dataset) -> dict[str, int]:
    """Extend the growing dims for a chunk; return the chunk's start in each of them.

    Time grows only if it is the time of the run. The sizes of other dims are fixed.
    """
    growing = (
        "image",
        "snapshot",
        "spike",
        *(["time"] if "presentation" in chunk.coords else []),
    )
    starts = {}
    for name, size in chunk.sizes.items():
        dim = str(name)
        if dim not in file.dimensions:
            file.dimensions[dim] = None if dim in growing else size
        if dim in growing:
            starts[dim] = file.dimensions[dim].size
            file.resize_dimension(dim, starts[dim] + size)
    return starts


def _append(
    file: "h5netcdf.File", name: str, variable: xr.Variable, starts: dict[str, int]
) -> None:
    """Append to a variable that grows; create or replace any other."""
    dims, values = tuple(map(str, variable.dims)), variable.values
    grows = bool(dims) and dims[0] in starts
    if name not in file.variables:
        settings: dict[str, Any] = {}
        if grows:
            settings = {"chunks": _chunk_shape(values), **COMPRESSION}
        dtype = h5py.string_dtype() if values.dtype.kind in "OU" else values.dtype
        created = file.create_variable(name, dims, dtype, **settings)
        created.attrs.update({key: str(value) for key, value in variable.attrs.items()})
    rows = slice(starts[dims[0]], starts[dims[0]] + len(values)) if grows else ...
    file.variables[name][rows] = values


def _chunk_shape(values: NDArray) -> tuple[int, ...]:
    """Return the shape of netCDF chunks: at most 256 rows, and at most 1 MiB."""
    shape = [min(256, max(1, len(values))), *values.shape[1:]]
    for axis, size in enumerate(shape):
        excess = math.prod(shape) * values.itemsize / 2**20
        shape[axis] = max(1, min(size, int(size / excess))) if excess > 1 else size
    return tuple(shape)


def open_lazily(path: Path | str) -> xr.Dataset:
    """Open traces that `Writer` wrote; data are read from the file when they are used.

    Raises
    ------
    ValueError
        As `open`.
    """
    return validate(loaded(path, load=xr.open_dataset))


def open(path: Path | str) -> xr.Dataset:
    """Read traces that `save` wrote, into memory.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or fails `validate`.
    """
    return validate(loaded(path, load=xr.load_dataset))


def loaded(path: Path | str, load: Callable[..., xr.Dataset]) -> xr.Dataset:
    """Return the content of a netCDF file, whatever it is.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    try:
        h5py.File(path).close()  # fails cleanly, unlike h5netcdf
        return load(path, engine="h5netcdf")
    except Exception as error:  # damaged files raise errors of many types
        raise ValueError(f"{path} is damaged or not netCDF: {error}") from error
