"""The form of a simulation's result: one labelled xarray Dataset, and its netCDF file.

Fixed dims and variables, times in ms, `units` and `long_name` on every variable, and
attributes that say where the numbers came from.
"""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

DIMS = ("time", "unit", "exc", "inh", "pixel", "image", "epoch", "trial")
ATTRS = ("title", "source", "history", "references", "config")

# name: (the dims it may have, units, long_name)
VARIABLES: dict[str, tuple[tuple[tuple[str, ...], ...], str, str]] = {
    "activity": ((("time", "unit"),), "1", "activity h of the hidden units"),
    "final_activity": (
        (("image", "unit"),),
        "1",
        "activity h at the end of each presentation",
    ),
    "drive": ((("image", "unit"),), "1", "drive I of the hidden units"),
    "weights": (
        (("unit", "pixel"), ("image", "unit", "pixel")),
        "1",
        "feed-forward weights W",
    ),
}
COORDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "time": (("time",), "ms", "time since the start of the run"),
    "unit": (("unit",), "1", "hidden unit"),
    "pixel": (("pixel",), "1", "input pixel, C-order of (height, width, channel)"),
    "image": (("image",), "1", "presentation"),
    "presentation": (("time",), "1", "image whose presentation the sample belongs to"),
}


def assemble(
    variables: dict[str, ArrayLike],
    coords: dict[str, ArrayLike],
    *,
    title: str,
    history: str,
    references: str,
    config: dict[str, Any],
) -> xr.Dataset:
    """Label arrays with the dims, units and names they have by contract.

    Raises
    ------
    ValueError
        As `validate`.
    """
    labelled: dict[str, tuple] = {}
    for name, values in variables.items():
        if name not in VARIABLES:
            raise ValueError(f"unknown trace '{name}': known are {', '.join(VARIABLES)}")
        allowed, units, long_name = VARIABLES[name]
        ndim = np.ndim(values)
        dims = next((dims for dims in allowed if len(dims) == ndim), allowed[0])
        labelled[name] = (dims, values, {"units": units, "long_name": long_name})
    labels = {
        name: (dims, coords[name], {"units": units, "long_name": long_name})
        for name, (dims, units, long_name) in COORDS.items()
        if name in coords
    }
    attrs = {
        "title": title,
        "source": "neurodyn",
        "history": history,
        "references": references,
        "config": json.dumps(config, sort_keys=True),
    }
    return validate(xr.Dataset(labelled, coords=labels, attrs=attrs))


def validate(traces: xr.Dataset) -> xr.Dataset:
    """Return `traces` if it keeps the contract.

    Raises
    ------
    ValueError
        If a dim, a variable's dims, units or long_name, or an attribute is not as agreed.
    """
    for dim in traces.dims:
        if dim not in DIMS:
            raise ValueError(f"unknown dim '{dim}': dims are {', '.join(DIMS)}")
    for name, variable in traces.data_vars.items():
        dims = tuple(dim for dim in variable.dims if dim != "trial")  # any may be repeated
        if name in VARIABLES and dims not in (known := VARIABLES[name][0]):
            raise ValueError(
                f"'{name}' has dims {variable.dims}: "
                f"{' or '.join(map(str, known))} is needed, besides trial"
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
    """Make the folder of a file to come, before the file costs anything.

    Raises
    ------
    ValueError
        If the file could not be written there.
    """
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror or error}; choose another place"
        ) from error


def save(traces: xr.Dataset, path: Path | str) -> None:
    """Write traces as netCDF, whole or not at all.

    Raises
    ------
    ValueError
        As `validate`, or if the folder cannot be written to.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    validate(traces)
    check_writable(path)
    try:
        traces.to_netcdf(part, engine="h5netcdf", encoding=_compressed(traces))
        part.replace(path)
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror or error}; choose another place"
        ) from error
    finally:
        if part.exists():
            part.unlink()


def _compressed(traces: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Compress what is worth it: settled activity hardly changes from sample to sample."""
    return {
        str(name): {"zlib": True, "complevel": 1, "shuffle": True}
        for name, variable in traces.data_vars.items()
        if variable.nbytes > 2**20
    }


def open(path: Path | str) -> xr.Dataset:
    """Read traces that `save` wrote, into memory.

    Raises
    ------
    ValueError
        If the file is missing, damaged, or not as `validate` wants it.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    try:
        h5py.File(path).close()  # a plain refusal, where h5netcdf leaves half an object
        traces = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # damage shows as whatever the parser stumbles over
        raise ValueError(f"{path} is damaged or not netCDF: {error}") from error
    return validate(traces)
