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
    }


GIVEN = dict.fromkeys(analysis.__all__, ("activity",)) | {
    "e_i_balance": ("activity", "activity"),
    "over_run": ("by image",),
    "receptive_field_similarity": ("weights", "weights"),
    "selectivity": ("images", "labels"),
    "sign_violations": ("weights",),
    "weight_norms": ("weights",),
}


@pytest.mark.parametrize("size", [2, -1])
@pytest.mark.parametrize("name", analysis.__all__)
def test_chunks_are_analysed(name, size):
    given = [arrays()[one] for one in GIVEN[name]]
    more = {"sign": 1} if name == "sign_violations" else {}
    analyse = getattr(analysis, name)
    chunked = analyse(*(one.chunk(size) for one in given), **more)
    xr.testing.assert_identical(chunked.compute(), analyse(*given, **more))
