"""The contract that every result keeps, and its netCDF file."""

import json
import os

import numpy as np
import pytest
import xarray as xr

from neurodyn import traces

COORDS = {
    "time": np.arange(4.0),
    "unit": np.arange(3),
    "pixel": np.arange(5),
    "image": np.arange(2),
    "presentation": [0, 0, 1, 1],
}
RNG = np.random.default_rng(0)
VARIABLES = {
    "activity": RNG.normal(size=(4, 3)),
    "final_activity": RNG.normal(size=(2, 3)),
    "drive": RNG.normal(size=(2, 3)),
    "weights": RNG.normal(size=(3, 5)),
}
ABOUT = {
    "title": "a title",
    "history": "a history",
    "references": "a paper",
    "config": {"w_inh": 0.5, "circuit": {"name": "Lateral"}},
}


@pytest.fixture
def dataset():
    return traces.assemble(VARIABLES, COORDS, **ABOUT)


def test_variables_have_their_dims(dataset):
    dims = {name: dataset[name].dims for name in dataset.data_vars}
    assert dims == {
        "activity": ("time", "unit"),
        "final_activity": ("image", "unit"),
        "drive": ("image", "unit"),
        "weights": ("unit", "pixel"),
    }
    assert dataset["presentation"].dims == ("time",)
    for name, values in (VARIABLES | COORDS).items():
        np.testing.assert_array_equal(dataset[name], values)


def test_weights_of_each_image_have_a_third_dim():
    weights = np.ones((2, 3, 5))
    dataset = traces.assemble({"weights": weights}, {}, **ABOUT)
    assert dataset["weights"].dims == ("image", "unit", "pixel")


def test_every_variable_has_units_and_a_long_name(dataset):
    for name, variable in dataset.variables.items():
        assert variable.attrs["units"] == ("ms" if name == "time" else "1")
        assert variable.attrs["long_name"]


def test_attributes_say_where_the_numbers_came_from(dataset):
    attrs = dict(dataset.attrs)
    assert json.loads(attrs.pop("config")) == ABOUT["config"]
    expected = {k: v for k, v in ABOUT.items() if k != "config"}
    assert attrs == expected | {"source": "neurodyn"}


def test_a_result_keeps_the_contract(dataset):
    assert traces.validate(dataset) is dataset


def test_trials_may_be_added(dataset):
    repeated = xr.concat([dataset, dataset], "trial", data_vars="all")
    assert repeated["drive"].dims == ("trial", "image", "unit")
    assert traces.validate(repeated) is repeated


def test_unknown_traces_are_refused():
    with pytest.raises(ValueError, match="unknown trace 'voltage': give one of activity"):
        traces.assemble({"voltage": np.ones(3)}, COORDS, **ABOUT)


@pytest.mark.parametrize("values", [np.ones(3), np.ones((4, 3, 2))])
def test_a_wrong_number_of_dims_is_refused(values):
    with pytest.raises(ValueError, match=r"activity|dimensions"):
        traces.assemble({"activity": values}, COORDS, **ABOUT)


def without_units(dataset, name):
    dataset[name].attrs.pop("units")
    return dataset


def without_long_name(dataset, name):
    dataset[name].attrs.pop("long_name")
    return dataset


def in_seconds(dataset):
    dataset["time"].attrs["units"] = "s"
    return dataset


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: d.rename(unit="neuron"), "unknown dim 'neuron': dims are time, unit, "),
        (
            lambda d: d.transpose("unit", "time", "image", "pixel"),
            r"'activity' has dims \('unit', 'time'\): \('time', 'unit'\) or \('image'",
        ),
        (
            lambda d: d.assign(weights=d["weights"].isel(unit=0)),
            r"'weights' has dims \('pixel',\): \('unit', 'pixel'\) or \('image', 'unit', ",
        ),
        (lambda d: without_units(d, "drive"), "'drive' has no attribute 'units'"),
        (lambda d: without_long_name(d, "drive"), "'drive' has no attribute 'long_name'"),
        (lambda d: without_units(d, "image"), "'image' has no attribute 'units'"),
        (lambda d: d.assign(more=("unit", np.ones(3))), "'more' has no attribute 'units'"),
        (in_seconds, "time is in s: it must be in ms"),
        (
            lambda d: d.drop_attrs(deep=False),
            "lack the attributes title, source, history, ",
        ),
        (
            lambda d: d.drop_attrs(deep=False).assign_attrs(
                title="", source="", history="", references=""
            ),
            "lack the attributes config$",
        ),
    ],
)
def test_violations_are_named(dataset, tmp_path, break_it, message):
    broken = break_it(dataset)
    with pytest.raises(ValueError, match=message):
        traces.validate(broken)
    with pytest.raises(ValueError, match=message):
        traces.save(broken, tmp_path / "traces.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_holds_everything(dataset, tmp_path):
    path = tmp_path / "new folder" / "traces.nc"
    traces.save(dataset, path)
    loaded = traces.open(path)
    xr.testing.assert_identical(loaded, dataset)
    assert {k: v.dtype for k, v in loaded.variables.items()} == {
        k: v.dtype for k, v in dataset.variables.items()
    }
    assert os.listdir(path.parent) == ["traces.nc"]
    path.unlink()  # nothing is read later, and no handle kept
    assert loaded["activity"].sum() == dataset["activity"].sum()


def test_a_large_file_is_compressed_without_loss(tmp_path):
    settled = np.random.default_rng(1).normal(size=(1, 50))
    activity = np.repeat(settled, 4000, axis=0)  # 1.6 MB of it
    coords = {"time": np.arange(4000.0), "unit": np.arange(50)}
    dataset = traces.assemble({"activity": activity}, coords, **ABOUT)
    traces.save(dataset, tmp_path / "traces.nc")
    assert (tmp_path / "traces.nc").stat().st_size < activity.nbytes / 10
    xr.testing.assert_identical(traces.open(tmp_path / "traces.nc"), dataset)


def test_paths_may_be_text(dataset, tmp_path):
    traces.save(dataset, str(tmp_path / "traces.nc"))
    xr.testing.assert_identical(traces.open(str(tmp_path / "traces.nc")), dataset)


def test_saving_replaces_the_old_file(dataset, tmp_path):
    path = tmp_path / "traces.nc"
    path.write_text("old")
    traces.save(dataset, path)
    xr.testing.assert_identical(traces.open(path), dataset)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*missing\.nc"):
        traces.open(tmp_path / "missing.nc")


# h5netcdf's File fails in its own __del__ when the file could not be opened.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_called_damaged(dataset, tmp_path, share):
    path = tmp_path / "traces.nc"
    traces.save(dataset, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"traces\.nc is damaged or not netCDF"):
        traces.open(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_a_file_damaged_in_the_middle_is_called_damaged(dataset, tmp_path):
    """Not every such error of HDF5 is an OSError."""
    path = tmp_path / "traces.nc"
    traces.save(dataset, path)
    content = path.read_bytes()
    heap = content.index(b"GCOL")  # 4096 bytes of texts, in which HDF5 may search for ever
    refused = 0
    for start in range(96, len(content) - 64, 400):
        if heap - 64 < start < heap + 4096:
            continue
        path.write_bytes(content[:start] + bytes(64) + content[start + 64 :])
        try:
            traces.open(path)  # the block may be empty space, or numbers
        except ValueError as error:
            assert "is damaged or not netCDF" in str(error)  # noqa: PT017
            refused += 1
    assert refused >= 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_text_is_called_no_netcdf(tmp_path):
    path = tmp_path / "notes.nc"
    path.write_text("these are no traces")
    with pytest.raises(ValueError, match=r"notes\.nc is damaged or not netCDF"):
        traces.open(path)


def test_netcdf_of_others_is_refused(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"x": ("longitude", np.ones(3))}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match="unknown dim 'longitude'"):
        traces.open(path)


def test_a_folder_that_is_a_file_cannot_be_written_to(dataset, tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(ValueError, match=r"cannot write .*traces\.nc: .* another path"):
        traces.save(dataset, tmp_path / "file" / "traces.nc")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "content"


def test_a_failed_save_leaves_the_old_file_and_no_part(dataset, tmp_path, monkeypatch):
    path = tmp_path / "traces.nc"
    path.write_text("old")

    def half(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(xr.Dataset, "dump_to_store", half)
    with pytest.raises(RuntimeError):
        traces.save(dataset, path)
    assert os.listdir(tmp_path) == ["traces.nc"]
    assert path.read_text() == "old"
