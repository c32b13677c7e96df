"""Analyses of weights: norms, signs, similarity of receptive fields."""

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from neurodyn.analysis.checks import (
    floating,
    named,
    need_aligned,
    need_dims,
    need_finite,
    where_present,
)


def weight_norms(weights: xr.DataArray, *, p: float = 2.0) -> xr.DataArray:
    """Return the norm (Σ |W|^p)^(1/p) over pixels of each unit's weights.

    NaN if a weight is missing.

    Raises
    ------
    ValueError
        If there is no dim `pixel`, or p is not positive and finite.
    """
    need_dims(weights, "pixel")
    if not 0 < p < np.inf:
        raise ValueError(f"p is {p}: it must be positive and finite")
    norms = (abs(floating(weights)) ** p).sum("pixel", skipna=False) ** (1 / p)
    return named(norms, "weight_norms", "1", f"norm of the weights, p = {p:g}")


def sign_violations(weights: xr.DataArray, *, sign: int | xr.DataArray) -> xr.DataArray:
    """Return how many weights have the wrong sign, for each image, snapshot and trial.

    A weight of 0 has no wrong sign. NaN if a weight is missing.

    Parameters
    ----------
    sign
        1 if weights must be 0 or more, −1 if 0 or less; or a sign for each column, along
        `pixel` (Dale's law), 0 where any sign is allowed.

    Raises
    ------
    ValueError
        If a sign has another value, or the weights lack a dim of the signs.
    """
    free = () if np.ndim(sign) == 0 else (0,)
    if not np.isin(sign, (*free, -1, 1)).all():
        raise ValueError(
            f"sign is {np.unique(sign)}: it must be 1 or −1, or an array of 1, −1 and 0"
        )
    if isinstance(sign, xr.DataArray):
        need_dims(weights, *map(str, sign.dims))
        need_aligned(weights, sign, *map(str, sign.dims))
    counted = [dim for dim in weights.dims if dim not in ("image", "snapshot", "trial")]
    wrong = (floating(weights) * sign < 0).sum(counted)
    wrong = where_present(wrong, weights, *map(str, counted))
    return named(wrong, "sign_violations", "1", "number of weights of the wrong sign")


def receptive_field_similarity(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """Return the cosine of each unit's weights with those of its match in another network.

    Matches are one to one and have the largest sum of cosines. The cosine with weights
    that are all 0 is 0.

    Parameters
    ----------
    first, second
        Weights (unit, pixel) of equally many units and the same pixels; `first` may have a
        dim snapshot, and each snapshot is matched by itself.

    Returns
    -------
    DataArray
        Along `unit` of `first`, with a coordinate `match` that names the unit of `second`.

    Raises
    ------
    ValueError
        If there are other dims, the numbers of units or the pixels differ, or weights are
        missing or infinite.
    """
    if "snapshot" in first.dims:
        each = [
            receptive_field_similarity(first.isel(snapshot=index), second)
            for index in range(first.sizes["snapshot"])
        ]
        return xr.concat(each, "snapshot", coords="different", compat="equals")
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
    need_aligned(first, second, "pixel")
    for name, weights in (("first", first), ("second", second)):
        need_dims(weights, "unit", "pixel")
        need_finite(floating(weights), name)
    cosines = _unit_rows(first) @ _unit_rows(second).T
    rows, matches = linear_sum_assignment(cosines, maximize=True)
    result = first.isel(pixel=0, drop=True).copy(
        data=np.clip(cosines[rows, matches], -1, 1)
    )
    attrs = {"units": "1", "long_name": "matched unit of the other weights"}
    result = result.assign_coords(match=("unit", second["unit"].values[matches], attrs))
    return named(
        result, "receptive_field_similarity", "1", "cosine of matched receptive fields"
    )


def _unit_rows(weights: xr.DataArray) -> np.ndarray:
    rows = floating(weights).transpose("unit", "pixel").values
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)
