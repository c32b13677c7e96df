"""Analyses of spike counts (image, unit): rates, variability over images, correlations."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.analysis.checks import counted, less_mean, named
from neurodyn.checks import positive, time_ms


def firing_rate(counts: xr.DataArray, *, duration_ms: float) -> xr.DataArray:
    """Return the firing rate of each cell in each presentation [Hz].

    Parameters
    ----------
    counts
        Spikes of each cell in each presentation (image, unit).
    duration_ms
        Time in which they were counted, the length of one presentation [ms].

    Raises
    ------
    ValueError
        If a dim is missing, a count is negative, infinite or not whole, or the duration is
        not positive.
    """
    duration_ms = time_ms("duration_ms", duration_ms)
    positive("duration_ms", duration_ms)
    rate = counted(counts, "image", "unit") * 1000 / duration_ms
    return named(rate, "firing_rate", "Hz", "firing rate of the cell")


def fano_factor(counts: xr.DataArray) -> xr.DataArray:
    """Return the variance of each cell's count over images, divided by its mean.

    1 if the count is Poisson distributed (Fano 1947, Phys. Rev. 72:26); images that drive a
    cell differently add to it, so repeat one image to measure the noise alone. The variance
    is that of a sample, with n − 1.

    Returns
    -------
    DataArray
        (unit), NaN for silent cells and for cells with a missing count.

    Raises
    ------
    ValueError
        If a dim is missing, there are fewer than 2 images, or a count is negative, infinite
        or not whole.
    """
    counts = _over_images(counts)
    mean = counts.mean("image", skipna=False)
    variance = counts.var("image", ddof=1, skipna=False)
    result = variance / mean.where(mean > 0)
    return named(result, "fano_factor", "1", "variance of the count over its mean")


def pairwise_correlation(counts: xr.DataArray) -> xr.DataArray:
    """Return Pearson's correlation of the counts of each two cells over images.

    It has the signal correlation of cells that prefer the same images; for the noise
    correlation, repeat one image (Cohen & Kohn 2011, Nat. Neurosci. 14:811).

    Returns
    -------
    DataArray
        (unit, unit_), from −1 to 1; NaN for cells whose count does not vary or is missing.

    Raises
    ------
    ValueError
        As `fano_factor`.
    """
    counts = _over_images(counts)

    def correlation(values: NDArray) -> NDArray:
        deviations = less_mean(values, axis=-2)
        norms = np.sqrt((deviations**2).sum(-2, keepdims=True))
        unit = deviations / np.where(norms > 0, norms, np.nan)
        return np.clip(unit.swapaxes(-2, -1) @ unit, -1, 1)

    result = xr.apply_ufunc(
        correlation,
        counts,
        input_core_dims=[["image", "unit"]],
        output_core_dims=[["unit", "unit_"]],
    )
    if "unit" in counts.coords:
        result = result.assign_coords(unit_=counts["unit"].values)
    return named(result, "pairwise_correlation", "1", "correlation of spike counts")


def _over_images(counts: xr.DataArray) -> xr.DataArray:
    """Return counts as floats, of 2 images or more."""
    counts = counted(counts, "image", "unit")
    if counts.sizes["image"] < 2:
        raise ValueError(
            "the counts are of 1 image: a variance over images needs 2 or more"
        )
    return counts
