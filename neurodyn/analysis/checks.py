"""Checks of the arrays of analyses, and names of their results."""

import numpy as np
import xarray as xr


def floating(array: xr.DataArray) -> xr.DataArray:
    """Return an array of floats, in memory; integers and booleans are converted.

    Dask chunks are computed: analyses of a whole array need all of them.
    """
    array = array.compute() if array.chunks else array
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"the array has type {array.dtype}: real numbers are needed, so convert it"
        )
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def where_present(result: xr.DataArray, values: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return a result, with NaN where one of its `values` along `dims` is missing."""
    missing = values.isnull().any(dims)
    return result.where(~missing) if missing.any() else result


def need_finite(array: xr.DataArray, name: str = "activity") -> None:
    """Refuse values that are missing or infinite."""
    if bad := int((~np.isfinite(array.values)).sum()):
        raise ValueError(
            f"{name} holds values that are not finite: leave them out ({bad} of "
            f"{array.size} are NaN or infinite)"
        )


def need_aligned(first: xr.DataArray, second: xr.DataArray, *dims: str) -> None:
    """Refuse arrays with different coordinates along the dims."""
    for dim in dims:
        labelled = dim in first.coords and dim in second.coords
        if first.sizes[dim] != second.sizes[dim] or (
            labelled and not np.array_equal(first[dim], second[dim])
        ):
            raise ValueError(
                f"the arrays differ along {dim} ({first.sizes[dim]} and "
                f"{second.sizes[dim]} values): both must have the same, in the same order"
            )


def need_dims(array: xr.DataArray, *dims: str) -> None:
    """Refuse an array that lacks one of the dims, or has no values along it."""
    need_labels(array, *dims)
    if missing := [dim for dim in dims if dim not in array.dims]:
        raise ValueError(
            f"the array has dims {array.dims}, {', '.join(missing)} is needed too"
        )
    if empty := [dim for dim in dims if not array.sizes[dim]]:
        raise ValueError(
            f"the array has no values along {', '.join(empty)}: give at least 1"
        )


def need_labels(array: xr.DataArray, *dims: str) -> None:
    """Refuse what is not an xarray array with named dims."""
    if not isinstance(array, xr.DataArray):
        listed = ", ".join(repr(dim) for dim in dims)
        raise ValueError(
            f"the array is a {type(array).__name__}, without names of its dims: give a "
            f"trace, or xr.DataArray(array, dims=[{listed}])"
        )


def counted(array: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return numbers of spikes in float64, which is exact; NaN stays NaN.

    Raises
    ------
    ValueError
        If a dim is missing, or a value is negative, infinite or not whole.
    """
    need_dims(array, *dims)
    counts = floating(array).astype(np.float64)
    values = counts.values
    whole = (values >= 0) & np.isfinite(values) & (values == np.floor(values))
    if (bad := values[~whole & ~np.isnan(values)]).size:
        raise ValueError(
            f"counts hold {bad[0]:g}: whole numbers from 0 are needed, so give numbers of "
            f"spikes, not rates ({bad.size} of {values.size} are not)"
        )
    return counts


def need_spikes(spikes: xr.DataArray) -> None:
    """Refuse arrays that are not spike times [ms] with the three coordinates."""
    need_labels(spikes, "spike")
    if spikes.dims != ("spike",):
        raise ValueError(
            f"the array has dims {spikes.dims}: spike times with the dim spike are needed, "
            "and no other (select one trial)"
        )
    names = ["spike_unit", "spike_population", "spike_image"]
    if missing := [name for name in names if name not in spikes.coords]:
        raise ValueError(
            f"spikes have no coordinate {', '.join(missing)}: give the cell, population "
            "and presentation of each spike"
        )
    if (units := spikes.attrs.get("units", "ms")) != "ms":
        raise ValueError(f"spikes are in {units}: times in ms are needed, so convert them")
    need_finite(spikes, "spikes")


def named(array: xr.DataArray, name: str, units: str, long_name: str) -> xr.DataArray:
    """Return an array with a name, units and a long name."""
    result = array.rename(name)
    result.attrs = {"units": units, "long_name": long_name}
    return result


def less_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Remove the mean along an axis; what varies by rounding alone becomes exactly 0."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    rounding = 16 * np.finfo(values.dtype).eps * abs(values).max(axis, keepdims=True)
    moves = np.ptp(values, axis, keepdims=True) > rounding
    return np.where(moves, values - values.mean(axis, keepdims=True), 0)
