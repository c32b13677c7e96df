"""Analyses of activity: winners, settling, dimensionality, selectivity, E/I balance."""

import numpy as np
import xarray as xr

from neurodyn.analysis.checks import (
    floating,
    less_mean,
    named,
    need_aligned,
    need_dims,
    need_finite,
    where_present,
)
from neurodyn.times import multiples


def winners(activity: xr.DataArray) -> xr.DataArray:
    """Return the unit of largest activity, at each time or for each image.

    −1 if none is active (above 0), NaN if the activity of a unit is missing. Of units that
    tie exactly, the first wins.

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    need_dims(activity, "unit")
    rates = floating(activity).clip(min=0).fillna(0)
    winner = rates.argmax("unit")
    names = winner if "unit" not in activity.coords else activity["unit"][winner]
    result = xr.where(rates.max("unit") > 0, names, -1).drop_vars("unit", errors="ignore")
    result = where_present(result, activity, "unit")
    return named(result, "winners", "1", "unit of largest activity, −1 if none is active")


def active_units(activity: xr.DataArray) -> xr.DataArray:
    """Return how many units are active (above 0), at each time or for each image.

    NaN if the activity of a unit is missing.

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    need_dims(activity, "unit")
    count = where_present((floating(activity) > 0).sum("unit"), activity, "unit")
    return named(count, "active_units", "1", "number of active units")


def over_run(array: xr.DataArray) -> xr.DataArray:
    """Return a trace (image, time, ...) along one time axis (time, ...).

    Presentations follow each other; each is as long as the last time in it. A coordinate
    `presentation` names the image that each sample belongs to.

    Raises
    ------
    ValueError
        If a dim is missing.
    """
    need_dims(array, "image", "time")
    within, image = array["time"].values, array["image"].values
    others = [dim for dim in array.dims if dim not in ("image", "time")]
    stacked = array.transpose("image", "time", *others)
    if np.allclose(np.diff(within, prepend=0), within[0]):  # each the float nearest to it
        run_ms = multiples(float(within[0]), np.arange(1, image.size * within.size + 1))
    else:
        run_ms = np.add.outer(within[-1] * np.arange(image.size), within).ravel()
    attrs = {"units": "ms", "long_name": "time since the start of the run"}
    return xr.DataArray(
        stacked.values.reshape(-1, *stacked.shape[2:]),
        dims=("time", *others),
        coords={
            "time": ("time", run_ms, attrs),
            "presentation": ("time", np.repeat(image, within.size), array["image"].attrs),
            **{name: array[name] for name in others if name in array.coords},
        },
        name=array.name,
        attrs=array.attrs,
    )


def settling_time(activity: xr.DataArray, *, tolerance: float = 0.01) -> xr.DataArray:
    """Return how long each presentation takes to settle, from its start [ms].

    Activity has settled at the first sample from which every unit stays within `tolerance`
    of its last value in the presentation, relative to the largest last value. `activity` is
    (image, time, unit), or (time, unit) with a coordinate `presentation`; a presentation
    then starts at the last sample of the previous one. If activity still moves at the end,
    the time is near the length of the presentation: show images for longer. NaN where
    activity is missing or infinite.

    Raises
    ------
    ValueError
        If the dims are different, there is no coordinate `presentation`, or the
        tolerance is not positive.
    """
    by_image = "image" in activity.dims
    if set(activity.dims) - {"image"} != {"time", "unit"}:
        raise ValueError(
            f"the array has dims {activity.dims}: time and unit are needed, and no other "
            "but image (select one trial)"
        )
    if not by_image and "presentation" not in activity.coords:
        raise ValueError(
            "activity has no coordinate 'presentation': give a trace of simulate"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}: it must be positive")
    need_dims(activity, "time", "unit")
    images, times = [], []
    activity = floating(activity)
    onset = 0.0 if by_image else float(activity["time"][0])
    for image, trace in activity.groupby("image" if by_image else "presentation"):
        trace = trace.squeeze("image") if by_image else trace
        last = trace.isel(time=-1)
        complete = bool(np.isfinite(trace).all())
        away = (abs(trace - last) > tolerance * abs(last).max()).any("unit").values
        settled = len(away) - int(np.argmax(away[::-1])) if away.any() else 0
        images.append(image)
        times.append(float(trace["time"][settled]) - onset if complete else np.nan)
        onset = 0.0 if by_image else float(trace["time"][-1])
    result = xr.DataArray(times, dims="image", coords={"image": images})
    return named(result, "settling_time", "ms", "time from the start until settled")


def population_rate(activity: xr.DataArray) -> xr.DataArray:
    """Return the mean over units of the rate r = max(h, 0), NaN if one is missing.

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    need_dims(activity, "unit")
    rate = floating(activity).clip(min=0).mean("unit", skipna=False)
    return named(rate, "population_rate", "1", "rate r, mean over units")


def participation_ratio(activity: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Return the dimensionality of activity, from 1 to the number of units.

    (tr C)² / tr(C²), C the covariance of the units over `dim`: the number of directions if
    they share the variance equally (Litwin-Kumar et al. 2017, Neuron 93:1153; Gao et al.
    2017, bioRxiv 214262). It is computed from h; for rates, give `activity.clip(min=0)`.

    Raises
    ------
    ValueError
        If a dim is missing, a value is not finite or nothing varies.
    """
    squares = _gram(activity, dim) ** 2  # of trace 1
    ratio = 1 / squares.sum(("component", "component_"))
    return named(ratio, "participation_ratio", "1", "participation ratio of the units")


def explained_variance(activity: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Return the fraction of variance along each principal component, largest first.

    Returns
    -------
    DataArray
        (..., component), numbered from 1, as many as can vary; the sum is 1.

    Raises
    ------
    ValueError
        As `participation_ratio`.
    """
    values = xr.apply_ufunc(
        np.linalg.eigvalsh,
        _gram(activity, dim),
        input_core_dims=[["component", "component_"]],
        output_core_dims=[["component"]],
    )
    fractions = values.isel(component=slice(None, None, -1)).clip(min=0)
    fractions = fractions.assign_coords(component=1 + np.arange(values.sizes["component"]))
    return named(fractions, "explained_variance", "1", "fraction of the variance explained")


def selectivity(activity: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
    """Return how much each unit prefers one class of images, from 0 to 1.

    (r_max − r_others) / (r_max + r_others), r_max the largest of the unit's mean rates
    r = max(h, 0) for each class and r_others the mean of the others (Morcos et al. 2018,
    arXiv:1803.06959). 0 if the unit is silent, NaN if an activity is missing or infinite.

    Parameters
    ----------
    activity
        (image, unit), or more dims.
    labels
        Class of each image (image), an integer.

    Returns
    -------
    DataArray
        (unit), with a coordinate `preferred`, the class of r_max: the first of classes that
        tie, −1 if the unit is silent, NaN where the selectivity is NaN.

    Raises
    ------
    ValueError
        If a dim is missing, the labels are not integers, are not of the same images or
        name one class only.
    """
    need_dims(activity, "image", "unit")
    if labels.dims != ("image",) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels have dims {labels.dims} and type {labels.dtype}: give an integer for "
            "each image, with the dim image"
        )
    need_aligned(activity, labels, "image")
    classes = np.unique(labels.values)
    if len(classes) < 2:
        raise ValueError(
            f"all labels are {', '.join(map(str, classes))}: selectivity needs two classes"
        )
    member = labels == xr.DataArray(classes, dims="class", coords={"class": classes})
    rates = floating(activity).clip(min=0)
    rates = rates.where(np.isfinite(rates))
    means = xr.dot(rates.fillna(0), member.astype(float), dim="image")
    means = means / member.sum("image")
    largest = means.max("class")
    preferred = means["class"][means.argmax("class")].drop_vars("class")
    others = means.where(means["class"] != preferred).mean("class")
    total = (largest + others).where(largest > 0, 1)  # 1, so that silent units get 0
    preferred = where_present(preferred.where(largest > 0, -1), rates, "image")
    result = where_present((largest - others) / total, rates, "image").assign_coords(
        preferred=preferred.assign_attrs(
            units="1", long_name="class of largest mean rate, −1 if silent"
        )
    )
    return named(result, "selectivity", "1", "class selectivity of the unit")


def e_i_balance(excitation: xr.DataArray, inhibition: xr.DataArray) -> xr.DataArray:
    """Return (E − I) / (E + I): 1 without inhibition, 0 if balanced, −1 if only inhibited.

    0 where both are 0.

    Parameters
    ----------
    excitation, inhibition
        Sizes of the currents, 0 or more, with any dims; shared dims must agree.

    Raises
    ------
    ValueError
        If a current is negative, missing or infinite, or the coordinates differ.
    """
    excitation, inhibition = floating(excitation), floating(inhibition)
    for name, current in (("excitation", excitation), ("inhibition", inhibition)):
        bad = int((~np.isfinite(current)).sum())
        smallest = float(current.min(skipna=False)) if current.size else 0.0
        if bad or smallest < 0:
            raise ValueError(
                f"{name} goes down to {smallest:g}: currents must be 0 or more, so give "
                f"the sizes of both ({bad} of {current.size} values are NaN or infinite)"
            )
    shared = [dim for dim in excitation.dims if dim in inhibition.dims]
    need_aligned(excitation, inhibition, *map(str, shared))
    total = excitation + inhibition
    balance = (excitation - inhibition) / total.where(total > 0, 1)
    return named(balance, "e_i_balance", "1", "balance (E − I) / (E + I) of currents")


def _gram(activity: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the covariance of the units, or of the samples if fewer: the same spectrum.

    (..., component, component_), scaled so that its trace is 1.
    """
    need_dims(activity, dim, "unit")
    if dim == "unit":
        raise ValueError("dim is 'unit': give the dim of the samples, such as time")
    activity = floating(activity)
    need_finite(activity)

    def gram(values: np.ndarray) -> np.ndarray:
        values = less_mean(values, axis=-2)
        largest = abs(values).max((-2, -1), keepdims=True)
        if not largest.all():
            raise ValueError(
                f"activity does not vary along {dim}: it has no dimensionality; leave "
                "constant traces out"
            )
        values = values / largest  # so that squares neither overflow nor vanish
        turned = values.swapaxes(-2, -1)
        fewer = values.shape[-2] < values.shape[-1]
        product = values @ turned if fewer else turned @ values
        return product / np.trace(product, axis1=-2, axis2=-1)[..., None, None]

    return xr.apply_ufunc(
        gram,
        activity,
        input_core_dims=[[dim, "unit"]],
        output_core_dims=[["component", "component_"]],
    )
