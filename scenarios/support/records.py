"""Numbers of a study as they are committed: one small netCDF file beside its figure.

Finished trials are kept twice: each in a file of its own while a study is under way (see
`grid`), and all of them, stacked, in `figures/data`. A study begins with what stands
there, so that a table of many hours is filled in pieces, on whatever machine is free.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from scenarios.support import grid, settings
from scenarios.support.grid import Trial

# What every result says of itself, beside its numbers and how long they took: its settings,
# by which it is found again (see `settings`), and what it was computed on.
LABELS = ("settings", "hardware")
type Results = dict[str, xr.Dataset]


def read(path: Path, dims: Sequence[str]) -> Results:
    """Return the results in a file by their settings.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    if not path.exists():
        return {}
    stacked = grid.read(path)
    found = {}
    for place in np.ndindex(*(stacked.sizes[dim] for dim in dims)):
        result = stacked.isel(dict(zip(dims, place, strict=True)))
        if text := str(result["settings"].item()):
            found[text] = _only_its_own(result)
    return found


def _only_its_own(result: xr.Dataset) -> xr.Dataset:
    """Return a result without what stacking added: variables of other trials, and NaN."""
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
    placed = result.drop_attrs(deep=False).assign(labels)
    return text, placed.assign_coords(trial.coords)


def merged(
    before: Mapping[str, xr.Dataset], new: Results, dims: Sequence[str]
) -> xr.Dataset:
    """Return all results stacked along `dims`; of two at the same coordinates, the new one.

    So that no mean is one of networks that were made differently, an older result goes as
    well where a new one of another seed has other settings.
    """
    made = {network(result, dims): recipe(result) for result in new.values()}
    kept = [
        result
        for result in before.values()
        if made.get(network(result, dims), recipe(result)) == recipe(result)
    ]
    placed: dict[tuple, xr.Dataset] = {}
    for result in (*kept, *new.values()):
        place = tuple(result[dim].item() for dim in dims)
        # By these coordinates arrays of different sizes can be stacked.
        numbered = {d: np.arange(n) for d, n in result.sizes.items() if d not in result}
        placed[place] = result.drop_vars(dims).assign_coords(numbered)
    stacked = grid.stacked_at(
        [(dict(zip(dims, place, strict=True)), result) for place, result in placed.items()]
    )
    for name in LABELS:  # where there is no trial
        stacked[name] = stacked[name].where(stacked["seconds"].notnull(), "").astype(str)
    return stacked.sortby([dim for dim in dims if stacked[dim].dtype.kind in "iuf"])


def network(result: xr.Dataset, dims: Sequence[str]) -> tuple:
    """Return where a result is, but for its seed."""
    return tuple(result[dim].item() for dim in dims if dim != "seed")


def recipe(result: xr.Dataset) -> str:
    """Return the settings of a result, but for what differs between seeds of a network.

    That is, beside the seed, how many receptive fields are kept of it.
    """
    return settings.dumped(_without_seeds(json.loads(result["settings"].item())))


def _without_seeds(value: Any) -> Any:
    """Return a part of settings without the seeds and numbers of fields in it."""
    match value:
        case dict():
            kept = value.keys() - {"seed", "fields"}
            return {name: _without_seeds(value[name]) for name in kept}
        case list():
            return [_without_seeds(part) for part in value]
        case _:
            return value
