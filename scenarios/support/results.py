"""Results of a scenario as a Dataset whose variables all have units and a description."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from fastpath.runs import storage

LONG_NAMES = {
    "weights": "weights",
    "w_inh": "strength of lateral inhibition",
    "duration": "presentation time T / τ",
    "image": "held-out image",
    "unit": "hidden unit",
    "seed": "seed of the weights",
    "timing": "when the synapses learn",
    "rest": "rest before each image, in τ (inf: activity is set to 0)",
    "time": "time since onset",
}


def axis(name: str, values: ArrayLike) -> xr.DataArray:
    """Return a coordinate with its description."""
    units = "ms" if name == "time" else "1"
    return xr.DataArray(
        np.asarray(values),
        dims=name,
        name=name,
        attrs={"units": units, "long_name": LONG_NAMES[name]},
    )


def dataset(
    **variables: tuple[tuple[xr.DataArray, ...], ArrayLike, str, str],
) -> xr.Dataset:
    """Return a Dataset of variables, each given as (axes, values, units, long_name)."""
    return xr.Dataset(
        {
            name: xr.DataArray(
                np.asarray(values),
                dims=[str(coord.name) for coord in axes],
                coords={str(coord.name): coord for coord in axes},
                attrs={"units": units, "long_name": long_name},
            )
            for name, (axes, values, units, long_name) in variables.items()
        }
    )


def write(result: xr.Dataset, config: Any, out: Path) -> None:
    """Save results and the configuration; check that all variables have units."""
    for name, variable in result.variables.items():
        missing = {"units", "long_name"} - set(variable.attrs)
        if missing:
            raise ValueError(f"'{name}' has no attribute {' and '.join(sorted(missing))}")
    storage.save_dataset(out / "results.nc", result)
    settings = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(config).items()
    }
    storage.save_json(out / storage.CONFIG, settings)
