"""What traces say: functions from DataArray to DataArray."""

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment


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


def population_rate(activity: xr.DataArray) -> xr.DataArray:
    """Return the mean over units of the rate r = max(h, 0).

    Raises
    ------
    ValueError
        If there is no dim `unit`.
    """
    _need_dims(activity, "unit")
    rate = activity.clip(min=0).mean("unit", skipna=False)
    return _named(rate, "population_rate", "1", "rate r, mean over units")


def participation_ratio(activity: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Return the dimensionality of activity, from 1 to the number of units.

    (tr C)² / tr(C²), C the covariance of the units over `dim`: the number of directions
    that share the variance if they share it equally (Litwin-Kumar et al. 2017, Neuron
    93:1153; Gao et al. 2017, bioRxiv 214262). Of h as given; for rates, give
    `activity.clip(min=0)`.

    Raises
    ------
    ValueError
        If a dim is missing, a value is not finite or nothing varies.
    """
    squares = _gram(activity, dim) ** 2  # of trace 1
    ratio = 1 / squares.sum(("component", "component_"))
    return _named(ratio, "participation_ratio", "1", "participation ratio of the units")


def explained_variance(activity: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Return the fraction of variance along each principal component, largest first.

    Returns
    -------
    DataArray
        (..., component), counted from 1, as many as there can be; of sum 1.

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
    return _named(
        fractions, "explained_variance", "1", "fraction of the variance explained"
    )


def selectivity(activity: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
    """Return how much each unit prefers one class of images, from 0 to 1.

    (r_max − r_others) / (r_max + r_others), r_max the largest of the unit's mean rates
    r = max(h, 0) for each class and r_others the mean of the others (Morcos et al. 2018,
    arXiv:1803.06959). 0 if the unit is silent.

    Parameters
    ----------
    activity
        (image, unit), or more dims.
    labels
        Class of each image (image), an integer.

    Returns
    -------
    DataArray
        (unit), with a coordinate `preferred` that names the class of r_max: the first of
        those that tie, −1 if the unit is silent.

    Raises
    ------
    ValueError
        If a dim is missing, the labels are not integers, are not of the same images or
        name one class only.
    """
    _need_dims(activity, "image", "unit")
    if labels.dims != ("image",) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels have dims {labels.dims} and type {labels.dtype}: give an integer for "
            "each image, with the dim image"
        )
    _need_aligned(activity, labels, "image")
    classes = np.unique(labels.values)
    if len(classes) < 2:
        raise ValueError(
            f"all labels are {', '.join(map(str, classes))}: selectivity needs two classes"
        )
    member = labels == xr.DataArray(classes, dims="class", coords={"class": classes})
    means = xr.dot(activity.clip(min=0), member.astype(float), dim="image")
    means = means / member.sum("image")
    largest = means.max("class")
    preferred = means["class"][means.argmax("class")].drop_vars("class")
    others = means.where(means["class"] != preferred).mean("class")
    total = (largest + others).where(largest > 0, 1)  # 1, so that silent units have 0
    result = ((largest - others) / total).assign_coords(
        preferred=preferred.where(largest > 0, -1).assign_attrs(
            units="1", long_name="class of largest mean rate, −1 if silent"
        )
    )
    return _named(result, "selectivity", "1", "class selectivity of the unit")


def e_i_balance(excitation: xr.DataArray, inhibition: xr.DataArray) -> xr.DataArray:
    """Return (E − I) / (E + I): 1 without inhibition, 0 if balanced, −1 if only inhibited.

    0 where both are 0.

    Parameters
    ----------
    excitation, inhibition
        Sizes of the currents, 0 or more, of any dims; those they share must agree.

    Raises
    ------
    ValueError
        If a current is negative or NaN, or the coordinates differ.
    """
    for name, current in (("excitation", excitation), ("inhibition", inhibition)):
        smallest = float(current.min(skipna=False))
        if not smallest >= 0:
            raise ValueError(
                f"{name} goes down to {smallest:g}: currents must be 0 or more, so give "
                "the sizes of both"
            )
    shared = [dim for dim in excitation.dims if dim in inhibition.dims]
    _need_aligned(excitation, inhibition, *map(str, shared))
    total = excitation + inhibition
    balance = (excitation - inhibition) / total.where(total > 0, 1)
    return _named(balance, "e_i_balance", "1", "balance (E − I) / (E + I) of currents")


def power_spectrum(activity: xr.DataArray) -> xr.DataArray:
    """Return the power of the Hann-windowed trace, less its mean, at each frequency.

    Scaled so that a sinusoid of amplitude A at a listed frequency has A² / 4 there, and
    a quarter of it on either side.

    Returns
    -------
    DataArray
        (..., frequency), with the coordinate `frequency` in Hz from 0 to half the rate of
        sampling.

    Raises
    ------
    ValueError
        If there is no coordinate `time` in ms, of uniform steps, with at least 4 samples,
        or a value is not finite.
    """
    step = _seconds_per_sample(activity, 4)
    size = activity.sizes["time"]
    window = np.hanning(size + 1)[:-1]  # periodic, whose side lobes vanish at the bins

    def power(values: np.ndarray) -> np.ndarray:
        return abs(np.fft.rfft(_less_mean(values) * window)) ** 2 / window.sum() ** 2

    result = xr.apply_ufunc(
        power, activity, input_core_dims=[["time"]], output_core_dims=[["frequency"]]
    ).assign_coords(frequency=np.fft.rfftfreq(size, step))
    result["frequency"].attrs = {"units": "Hz", "long_name": "frequency"}
    return _named(result, "power_spectrum", "1", "power at each frequency")


def dominant_frequency(activity: xr.DataArray) -> xr.DataArray:
    """Return the frequency of largest power of each trace [Hz], 0 if it is constant.

    The peak of `power_spectrum`, refined by the parabola through the logarithms of the
    peak and its neighbours. A sinusoid of at least 4 periods is found to within
    0.02 / duration, where the spectrum itself has steps of 1 / duration.

    Raises
    ------
    ValueError
        As `power_spectrum`.
    """
    power = power_spectrum(activity)
    peak = xr.apply_ufunc(_peak_position, power, input_core_dims=[["frequency"]])
    frequency = peak * float(power["frequency"][1])
    return _named(frequency, "dominant_frequency", "Hz", "frequency of largest power")


def damping_rate(activity: xr.DataArray) -> xr.DataArray:
    """Return the rate at which each trace decays to its resting value [1/s].

    Negative if it grows, 0 if it is constant. Prony's method: least squares of
    x[n+1] = a x[n] + b x[n−1] + c give the two modes zⁿ with z² = a z + b, of which the
    one that decays most slowly counts; its rate is −ln|z| over the time between samples.
    Exact for traces of that form, such as a ringing A exp(−γt) cos(ωt + φ) + C; noise and
    further modes bias it. Give one presentation, without the jump of the drive.

    Raises
    ------
    ValueError
        If there is no coordinate `time` in ms, of uniform steps, with at least 5 samples,
        or a value is not finite.
    """
    rate = 0 - _slowest_mode(activity).isel(part=0)  # 0, not −0, if constant
    return _named(rate, "damping_rate", "1/s", "rate of decay, negative if it grows")


def ringing_frequency(activity: xr.DataArray) -> xr.DataArray:
    """Return the frequency at which each trace rings as it settles [Hz], 0 if overdamped.

    |arg z| / 2π over the time between samples, of the fit of `damping_rate`.

    Raises
    ------
    ValueError
        As `damping_rate`.
    """
    frequency = abs(_slowest_mode(activity).isel(part=1)) / (2 * np.pi)
    return _named(frequency, "ringing_frequency", "Hz", "frequency of ringing")


def weight_norms(weights: xr.DataArray, *, p: float = 2.0) -> xr.DataArray:
    """Return the norm (Σ |W|^p)^(1/p) over pixels of each unit's weights.

    Raises
    ------
    ValueError
        If there is no dim `pixel`, or p is not positive and finite.
    """
    _need_dims(weights, "pixel")
    if not 0 < p < np.inf:
        raise ValueError(f"p is {p}: it must be positive and finite")
    norms = (abs(weights) ** p).sum("pixel", skipna=False) ** (1 / p)
    return _named(norms, "weight_norms", "1", f"norm of the weights, p = {p:g}")


def sign_violations(weights: xr.DataArray, *, sign: int | xr.DataArray) -> xr.DataArray:
    """Return how many weights have the wrong sign, over all dims but image and trial.

    A weight of 0 has no wrong sign.

    Parameters
    ----------
    sign
        1 if weights must be 0 or more, −1 if 0 or less; or one for each column, along
        `pixel` (Dale's law), 0 where any sign will do.

    Raises
    ------
    ValueError
        If a sign is none of these, or they are not along dims of the weights.
    """
    free = () if np.ndim(sign) == 0 else (0,)
    if not np.isin(sign, (*free, -1, 1)).all():
        raise ValueError(
            f"sign is {np.unique(sign)}: it must be 1 or −1, or an array of 1, −1 and 0"
        )
    if isinstance(sign, xr.DataArray):
        _need_dims(weights, *map(str, sign.dims))
        _need_aligned(weights, sign, *map(str, sign.dims))
    counted = [dim for dim in weights.dims if dim not in ("image", "trial")]
    wrong = (weights * sign < 0).sum(counted)
    return _named(wrong, "sign_violations", "1", "number of weights of the wrong sign")


def receptive_field_similarity(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Return the cosine of each unit's weights with those of its match in another network.

    Matches are one to one and have the largest sum of cosines. The cosine with weights
    that are all 0 is 0.

    Parameters
    ----------
    first, second
        Weights (unit, pixel) of as many units and the same pixels.

    Returns
    -------
    DataArray
        Along `unit` of `first`, with a coordinate `match` that names the unit of `second`.

    Raises
    ------
    ValueError
        If there are other dims, or the numbers of units or the pixels differ.
    """
    for weights in (first, second):
        if sorted(map(str, weights.dims)) != ["pixel", "unit"]:
            raise ValueError(
                f"weights have dims {weights.dims}: unit and pixel are needed, and no "
                "other (select one presentation and one trial)"
            )
    if first.sizes["unit"] != second.sizes["unit"]:
        raise ValueError(
            f"{first.sizes['unit']} and {second.sizes['unit']} units cannot be matched one "
            "to one: select as many of each"
        )
    _need_aligned(first, second, "pixel")
    cosines = _unit_rows(first) @ _unit_rows(second).T
    rows, matches = linear_sum_assignment(cosines, maximize=True)
    result = first.isel(pixel=0, drop=True).copy(
        data=np.clip(cosines[rows, matches], -1, 1)
    )
    attrs = {"units": "1", "long_name": "matched unit of the other weights"}
    result = result.assign_coords(match=("unit", second["unit"].values[matches], attrs))
    return _named(
        result, "receptive_field_similarity", "1", "cosine of matched receptive fields"
    )


def _peak_position(spectrum: np.ndarray) -> np.ndarray:
    """Return where the last axis peaks, between indices, or 0 if it is 0 throughout."""
    top = 1 + spectrum[..., 1:].argmax(-1, keepdims=True)  # not at 0: the mean is removed
    last = spectrum.shape[-1] - 1  # without an upper neighbour a peak stays where it is
    near = np.concatenate([top - 1, top, np.minimum(top + 1, last)], axis=-1)
    heights = np.take_along_axis(spectrum, near, -1)
    logs = np.log(np.maximum(heights, np.finfo(spectrum.dtype).tiny))
    left, middle, right = np.moveaxis(logs, -1, 0)
    top, bend = top[..., 0], left - 2 * middle + right
    refine = (top < last) & (bend < 0)
    shift = np.where(refine, (left - right) / (2 * np.where(refine, bend, 1)), 0)
    return np.where(spectrum.any(-1), top + np.clip(shift, -0.5, 0.5), 0)


def _slowest_mode(activity: xr.DataArray) -> xr.DataArray:
    """Return λ [1/s] of the mode exp(λt) that decays most slowly, of the fit by Prony."""
    step = _seconds_per_sample(activity, 5)
    return xr.apply_ufunc(
        lambda trace: _fitted_mode(trace) / step,
        activity.astype(np.result_type(activity.dtype, np.float32)),
        input_core_dims=[["time"]],
        output_core_dims=[["part"]],  # real and imaginary, as −inf + 0j does not divide
        vectorize=True,
    )


def _fitted_mode(trace: np.ndarray) -> np.ndarray:
    """Return the real and the imaginary part of ln z, for the z of largest size."""
    # With v[n] = x[n] − x[n−1] the fit reads v[n+1] − v[n] = α x[n] + β v[n] + c, where
    # z = 1 + μ has μ² = (α + β) μ + α. Sampled finely, x[n] and x[n−1] hardly differ:
    # fitting a and b would lose digits that this keeps.
    precision = np.finfo(trace.dtype).eps
    trace = _less_mean(trace).astype(float)
    velocity = np.diff(trace)
    design, bend, ahead = (
        rows - rows.mean(-1, keepdims=True)  # leaves no c
        for rows in (
            np.stack([trace[1:-1], velocity[:-1]]),
            np.diff(velocity),
            velocity[1:],
        )
    )
    scale = np.linalg.norm(design, axis=1)
    if not scale.all():
        return np.zeros(2)
    fit, _, rank, _ = np.linalg.lstsq(design.T / scale, bend, rcond=precision**0.5)
    if rank == 2:
        alpha, beta = fit / scale
        roots = 1 + np.roots([1, -(alpha + beta), -alpha])
    else:  # a single exponential: x and v are in proportion, v[n+1] = μ x[n] + c
        roots = 1 + np.array([design[0] @ ahead / scale[0] ** 2])
    slowest = roots[abs(roots).argmax()]
    with np.errstate(divide="ignore"):  # z = 0 is over within a sample: at rate inf
        return np.array([np.log(abs(slowest)), np.angle(slowest)])


def _unit_rows(weights: xr.DataArray) -> np.ndarray:
    rows = weights.transpose("unit", "pixel").values
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def _gram(activity: xr.DataArray, dim: str) -> xr.DataArray:
    """Return the covariance of the units, or of the samples if fewer: of equal spectrum.

    (..., component, component_), scaled so that its trace is 1.
    """
    _need_dims(activity, dim, "unit")
    if dim == "unit":
        raise ValueError("dim is 'unit': give the dim of the samples, such as time")
    _need_finite(activity)

    def gram(values: np.ndarray) -> np.ndarray:
        values = _less_mean(values, axis=-2)
        largest = abs(values).max((-2, -1), keepdims=True)
        if not largest.all():
            raise ValueError(
                f"activity does not vary along {dim}: it has no dimensionality; leave out "
                "what is constant"
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


def _less_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Remove the mean along an axis; what varies by rounding alone becomes exactly 0."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    rounding = 16 * np.finfo(values.dtype).eps * abs(values).max(axis, keepdims=True)
    moves = np.ptp(values, axis, keepdims=True) > rounding
    return np.where(moves, values - values.mean(axis, keepdims=True), 0)


def _seconds_per_sample(activity: xr.DataArray, at_least: int) -> float:
    _need_dims(activity, "time")
    _need_finite(activity)
    if "time" not in activity.coords or activity["time"].attrs.get("units", "ms") != "ms":
        raise ValueError(
            "activity has no coordinate 'time' in ms: give a trace of simulate"
        )
    if activity.sizes["time"] < at_least:
        raise ValueError(
            f"activity has {activity.sizes['time']} samples: at least {at_least} are needed"
        )
    steps = np.diff(activity["time"].values)
    if not (steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.mean()):
        raise ValueError(
            f"samples are {steps.min():g} to {steps.max():g} ms apart: they must be "
            "equally far apart, so select or interpolate such times"
        )
    return float(steps.mean()) / 1000


def _need_finite(array: xr.DataArray) -> None:
    if not np.isfinite(array.values).all():
        raise ValueError("activity holds values that are not finite: leave them out")


def _need_aligned(first: xr.DataArray, second: xr.DataArray, *dims: str) -> None:
    for dim in dims:
        labelled = dim in first.coords and dim in second.coords
        if first.sizes[dim] != second.sizes[dim] or (
            labelled and not np.array_equal(first[dim], second[dim])
        ):
            raise ValueError(
                f"the arrays differ along {dim} ({first.sizes[dim]} and "
                f"{second.sizes[dim]} values): both must have the same, in the same order"
            )


def _need_dims(array: xr.DataArray, *dims: str) -> None:
    if missing := [dim for dim in dims if dim not in array.dims]:
        raise ValueError(
            f"the array has dims {array.dims}, {', '.join(missing)} is needed too"
        )


def _named(array: xr.DataArray, name: str, units: str, long_name: str) -> xr.DataArray:
    result = array.rename(name)
    result.attrs = {"units": units, "long_name": long_name}
    return result
