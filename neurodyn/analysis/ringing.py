"""Analyses of ringing: frequencies and damping."""

import numpy as np
import xarray as xr

from neurodyn.analysis.checks import floating, less_mean, named, need_dims, need_finite


def power_spectrum(activity: xr.DataArray) -> xr.DataArray:
    """Return the power of the Hann-windowed trace, less its mean, at each frequency.

    Scaled so that a sinusoid of amplitude A at a listed frequency has A² / 4 there, and
    a quarter of it on either side.

    Returns
    -------
    DataArray
        (..., frequency), with the coordinate `frequency` in Hz from 0 to half the sampling
        rate.

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
        return abs(np.fft.rfft(less_mean(values) * window)) ** 2 / window.sum() ** 2

    result = xr.apply_ufunc(
        power,
        floating(activity),
        input_core_dims=[["time"]],
        output_core_dims=[["frequency"]],
    ).assign_coords(frequency=np.fft.rfftfreq(size, step))
    result["frequency"].attrs = {"units": "Hz", "long_name": "frequency"}
    return named(result, "power_spectrum", "1", "power at each frequency")


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
    return named(frequency, "dominant_frequency", "Hz", "frequency of largest power")


def damping_rate(activity: xr.DataArray) -> xr.DataArray:
    """Return the rate at which each trace decays to its resting value [1/s].

    Negative if it grows, NaN if it is constant: nothing decays. Prony's method: least
    squares of x[n+1] = a x[n] + b x[n−1] + c give the two modes zⁿ with z² = a z + b, of
    which the one that decays most slowly counts; its rate is −ln|z| over the time between
    samples. Exact for traces of that form, such as a ringing A exp(−γt) cos(ωt + φ) + C;
    noise and further modes bias it. Give one presentation, without the jump of the drive.

    Raises
    ------
    ValueError
        If there is no coordinate `time` in ms, of uniform steps, with at least 5 samples,
        or a value is not finite.
    """
    rate = -_slowest_mode(activity).isel(part=0)
    return named(rate, "damping_rate", "1/s", "rate of decay, negative if it grows")


def ringing_frequency(activity: xr.DataArray) -> xr.DataArray:
    """Return the frequency at which each trace rings as it settles [Hz], 0 if it does not.

    It is |arg z| / 2π over the time between samples, from the fit of `damping_rate`.
    Overdamped and constant traces do not ring.

    Raises
    ------
    ValueError
        As `damping_rate`.
    """
    frequency = abs(_slowest_mode(activity).isel(part=1)) / (2 * np.pi)
    return named(frequency, "ringing_frequency", "Hz", "frequency of ringing")


def _peak_position(spectrum: np.ndarray) -> np.ndarray:
    """Return the interpolated index of the peak of the last axis, or 0 if all are 0."""
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
    """Return λ [1/s] of the mode exp(λt) that decays most slowly, from Prony's fit."""
    step = _seconds_per_sample(activity, 5)
    return xr.apply_ufunc(
        lambda trace: _fitted_mode(trace) / step,
        floating(activity),
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
    trace = less_mean(trace).astype(float)
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
    if not (scale > 2 * precision * abs(trace).max()).all():  # constant but for rounding
        return np.array([np.nan, 0.0])
    fit, _, rank, _ = np.linalg.lstsq(design.T / scale, bend, rcond=precision**0.5)
    if rank == 2:
        alpha, beta = fit / scale
        roots = 1 + np.roots([1, -(alpha + beta), -alpha])
    else:  # a single exponential: x and v are in proportion, v[n+1] = μ x[n] + c
        roots = 1 + np.array([design[0] @ ahead / scale[0] ** 2])
    slowest = roots[abs(roots).argmax()]
    if abs(slowest) < 10 * precision**0.5:  # as far as rounding moves a double root
        slowest = 0.0
    with np.errstate(divide="ignore"):  # z = 0 is over within a sample: at rate inf
        return np.array([np.log(abs(slowest)), np.angle(slowest)])


def _seconds_per_sample(activity: xr.DataArray, at_least: int) -> float:
    need_dims(activity, "time")
    need_finite(floating(activity))
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
