"""What traces say: functions from DataArray to DataArray."""

import numpy as np
import xarray as xr


def winners(activity: xr.DataArray) -> xr.DataArray:
    """Return the unit of largest activity, at each time or for each image.

    −1 if none is active (above 0). Of units that tie exactly, the first is named.

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    _need_dims(activity, "unit")
    winner = activity.argmax("unit")
    names = winner if "unit" not in activity.coords else activity["unit"][winner]
    result = xr.where(activity.max("unit") > 0, names, -1).drop_vars(
        "unit", errors="ignore"
    )
    return _named(result, "winners", "1", "unit of largest activity, −1 if none is active")


def active_units(activity: xr.DataArray) -> xr.DataArray:
    """Return how many units are active (above 0), at each time or for each image.

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    _need_dims(activity, "unit")
    return _named((activity > 0).sum("unit"), "active_units", "1", "number of active units")


def settling_time(activity: xr.DataArray, *, tolerance: float = 0.01) -> xr.DataArray:
    """Return how long each presentation takes to settle, from its start [ms].

    Until the first sample from which every unit stays within `tolerance` of its last value
    in the presentation, relative to the largest of those values. Presentations are told
    apart by the coordinate `presentation`; one starts at the last sample of the one before.
    A presentation still moving at its end gives a time near its length, so show the images
    for long enough.

    Raises
    ------
    ValueError
        If the dims are not time and unit, there is no coordinate `presentation`, or the
        tolerance is not positive.
    """
    if sorted(map(str, activity.dims)) != ["time", "unit"]:
        raise ValueError(
            f"the array has dims {activity.dims}: time and unit are needed, and no other "
            "(select one trial)"
        )
    if "presentation" not in activity.coords:
        raise ValueError(
            "activity has no coordinate 'presentation': give a trace of simulate"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}: it must be positive")
    images, times = [], []
    onset = float(activity["time"][0])
    for image, trace in activity.transpose("time", "unit").groupby("presentation"):
        last = trace.isel(time=-1)
        away = (abs(trace - last) > tolerance * abs(last).max()).any("unit").values
        settled = len(away) - int(np.argmax(away[::-1])) if away.any() else 0
        images.append(image)
        times.append(float(trace["time"][settled]) - onset)
        onset = float(trace["time"][-1])
    result = xr.DataArray(times, dims="image", coords={"image": images})
    return _named(result, "settling_time", "ms", "time from the start until settled")


def _need_dims(array: xr.DataArray, *dims: str) -> None:
    if missing := [dim for dim in dims if dim not in array.dims]:
        raise ValueError(
            f"the array has dims {array.dims}, {', '.join(missing)} is needed too"
        )


def _named(array: xr.DataArray, name: str, units: str, long_name: str) -> xr.DataArray:
    result = array.rename(name)
    result.attrs = {"units": units, "long_name": long_name}
    return result
