"""Arrays in chunks of dask are analysed as those in memory."""

import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis

pytest.importorskip("dask.array")


def arrays():
    rng = np.random.default_rng(0)
    time = ("time", np.arange(40.0), {"units": "ms"})
    coords = {"time": time, "presentation": ("time", np.repeat([0, 1], 20))}
    return {
        "activity": xr.DataArray(rng.random((40, 3)), dims=("time", "unit"), coords=coords),
        "images": xr.DataArray(rng.random((6, 3)), dims=("image", "unit")),
        "weights": xr.DataArray(rng.normal(size=(3, 5)), dims=("unit", "pixel")),
        "by image": xr.DataArray(
            rng.random((6, 4, 3)),
            dims=("image", "time", "unit"),
            coords={"time": np.arange(1.0, 5)},
        ),
        "labels": xr.DataArray(np.arange(6) % 2, dims="image"),
        "counts": xr.DataArray(rng.integers(1, 9, (6, 3)), dims=("image", "unit")),
        "responses": xr.DataArray(rng.random((3, 2)), dims=("unit", "class")),
        "assigned": xr.DataArray([1, 0, 1], dims="unit"),
        "spikes": spikes(rng),
    }


def spikes(rng):
    count = 30
    coords = {
        "spike_unit": ("spike", rng.integers(3, size=count)),
        "spike_image": ("spike", np.zeros(count, int)),
        "spike_population": ("spike", ["exc"] * count),
    }
    times = np.sort(rng.integers(100, size=count)) * 1.0
    return xr.DataArray(times, dims="spike", coords=coords, attrs={"units": "ms"})


GIVEN = dict.fromkeys(analysis.__all__, ("activity",)) | {
    "e_i_balance": ("activity", "activity"),
    "over_run": ("by image",),
    "receptive_field_similarity": ("weights", "weights"),
    "selectivity": ("images", "labels"),
    "firing_rate": ("counts",),
    "fano_factor": ("counts",),
    "pairwise_correlation": ("counts",),
    "class_responses": ("counts", "labels"),
    "assign_labels": ("responses",),
    "vote": ("counts", "assigned"),
    "weighted_vote": ("counts", "responses"),
    "confusion_matrix": ("labels", "labels"),
    "cv": ("spikes",),
    "inter_spike_intervals": ("spikes",),
    "smooth_rate": ("spikes",),
    "sign_violations": ("weights",),
    "weight_norms": ("weights",),
}


RATE = {"num_cells": 3, "duration_ms": 100.0, "dt_ms": 1.0, "width_ms": 5.0}
MORE = {
    "sign_violations": {"sign": 1},
    "firing_rate": {"duration_ms": 350.0},
    "confusion_matrix": {"num_classes": 2},
    "cv": {"num_cells": 3},
    "smooth_rate": RATE,
}


@pytest.mark.parametrize("size", [2, -1])
@pytest.mark.parametrize("name", analysis.__all__)
def test_chunks_are_analysed(name, size):
    given = [arrays()[one] for one in GIVEN[name]]
    more = MORE.get(name, {})
    analyse = getattr(analysis, name)
    chunked = analyse(*(one.chunk(size) for one in given), **more)
    xr.testing.assert_identical(chunked.compute(), analyse(*given, **more))
