"""Mean and standard deviation over seeds, for all tables and figures."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def summary(seeds: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation (0 for one seed) and the values of the seeds."""
    sd = statistics.stdev(seeds) if len(seeds) > 1 else 0.0
    return {"mean": statistics.mean(seeds), "sd": sd, "seeds": seeds}


def sd(values: xr.DataArray) -> xr.DataArray:
    """Return the standard deviation along `seed`, 0 for one seed."""
    return values.std("seed", ddof=min(1, values.sizes["seed"] - 1))


def mean_sd(values: xr.DataArray, form: str = ".2f") -> str:
    """Return mean ± sd along `seed` as text."""
    return f"{float(values.mean('seed')):{form}} ± {float(sd(values)):{form}}"


def entry(values: NDArray) -> str:
    """Return mean ± sd of finite values as text: "1.23 (1)" for one, "-" for none."""
    values = values[np.isfinite(values)]
    match len(values):
        case 0:
            return "-"
        case 1:
            return f"{values[0]:.2f} (1)"
        case _:
            return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"
