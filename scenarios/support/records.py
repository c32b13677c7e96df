"""Committed results of a study: one small netCDF file beside its figure.

Finished trials are saved twice: each in its own file while the study runs (see `grid`), and
all of them, stacked, in `figures/data`. A study starts from that record. So many hours of
training can be spread over several runs and machines.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from scenarios.support import grid, settings
from scenarios.support.grid import Trial

# Labels of every result, beside its numbers and seconds: the settings, by which it is found
# again (see `settings`), and the hardware that computed it.
LABELS = ("settings", "hardware")
type Results = dict[str, xr.Dataset]


def read(path: Path, dims: Sequence[str]) -> Results:
    """Return the results in a record by their settings; none if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    if not path.exists():
        return {}
    stacked = grid.read(path)
    found = {}
    for index in np.ndindex(*(stacked.sizes[dim] for dim in dims)):
        result = stacked.isel(dict(zip(dims, index, strict=True)))
        if text := str(result["settings"].item()):
            found[text] = _only_its_own(result)
    return found


def _only_its_own(result: xr.Dataset) -> xr.Dataset:
    """Return a result without the variables that stacking added: those that are all NaN."""
    empty = [
        name
        for name, values in result.items()
        if values.dtype.kind == "f" and bool(values.isnull().all())
    ]
    return result.drop_vars(empty)


def labelled(trial: Trial, result: xr.Dataset) -> tuple[str, xr.Dataset]:
    """Return the settings of a result, and the result with its coordinates and labels."""
    text = settings.canonical(trial)
    if "settings" in result:
        return text, result
    labels = {label: result.attrs[label] for label in (*LABELS, "seconds")}
    with_labels = result.drop_attrs(deep=False).assign(labels)
    return text, with_labels.assign_coords(trial.coords)


def merged(
    before: Mapping[str, xr.Dataset], new: Results, dims: Sequence[str]
) -> xr.Dataset:
    """Return all results stacked along `dims`; a new one replaces one at its coordinates.

    A mean must not mix networks with different settings. So an older result is also dropped
    if a new result of the same network, with another seed, has other settings.
    """
    made = {network(result, dims): recipe(result) for result in new.values()}
    kept = [
        result
        for result in before.values()
        if made.get(network(result, dims), recipe(result)) == recipe(result)
    ]
    by_coords: dict[tuple, xr.Dataset] = {}
    for result in (*kept, *new.values()):
        coords = tuple(result[dim].item() for dim in dims)
        # With these coordinates, arrays of different sizes can be stacked.
        numbered = {d: np.arange(n) for d, n in result.sizes.items() if d not in result}
        by_coords[coords] = result.drop_vars(dims).assign_coords(numbered)
    stacked = grid.stacked_at(
        [
            (dict(zip(dims, coords, strict=True)), result)
            for coords, result in by_coords.items()
        ]
    )
    for name in LABELS:  # NaN where there is no trial
        stacked[name] = stacked[name].where(stacked["seconds"].notnull(), "").astype(str)
    return stacked.sortby([dim for dim in dims if stacked[dim].dtype.kind in "iuf"])


def network(result: xr.Dataset, dims: Sequence[str]) -> tuple:
    """Return the coordinates of a result without the seed."""
    return tuple(result[dim].item() for dim in dims if dim != "seed")


def recipe(result: xr.Dataset) -> str:
    """Return the settings of a result without those that differ between seeds.

    These are the seed and the number of receptive fields that are kept.
    """
    return settings.dumped(_without_seeds(json.loads(result["settings"].item())))


def _without_seeds(value: Any) -> Any:
    """Return settings without the entries `seed` and `fields`, at any depth."""
    match value:
        case dict():
            kept = value.keys() - {"seed", "fields"}
            return {name: _without_seeds(value[name]) for name in kept}
        case list():
            return [_without_seeds(part) for part in value]
        case _:
            return value
