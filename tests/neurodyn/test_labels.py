"""The labels of the result, what it depends on, and what is left as found."""

import json
import time
from contextlib import suppress

import numpy as np
import pytest

from neurodyn import LateralInhibition, simulate
from neurodyn.engine import backends
from tests.neurodyn.helpers import CASES, IMAGES, WEIGHTS, run, run_case, without_timing


@pytest.fixture(scope="module")
def plain():
    """Traces of the first case."""
    return run_case(*CASES[0], "numpy")


def test_labels(plain):
    assert dict(plain.sizes) == {"time": 37, "unit": 5, "image": 3, "pixel": 6}
    dims = {name: variable.dims for name, variable in plain.data_vars.items()}
    assert dims == {
        "activity": ("time", "unit"),
        "final_activity": ("image", "unit"),
        "drive": ("image", "unit"),
        "weights": ("unit", "pixel"),
    }
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in plain.variables.values())
    assert plain["time"].attrs["units"] == "ms"
    np.testing.assert_array_equal(plain["weights"], WEIGHTS)
    for dim in ("unit", "image", "pixel"):
        np.testing.assert_array_equal(plain[dim], np.arange(plain.sizes[dim]))


def test_time_axis_and_presentation(plain):
    """A sample on a boundary is the end of the presentation before it."""
    np.testing.assert_allclose(plain["time"], 2.5 * np.arange(37), rtol=1e-15)
    expected = [0] * 13 + [1] * 12 + [2] * 12  # t = 0, then (0, 30], (30, 60], (60, 90]
    np.testing.assert_array_equal(plain["presentation"], expected)
    ends = plain["activity"].sel(time=[30.0, 60.0, 90.0])
    np.testing.assert_array_equal(ends, plain["final_activity"])


def test_an_interval_that_does_not_divide_the_presentation_is_sampled_all_the_same(plain):
    traces = run(dt_ms=0.5, activity_ms=7.0)
    np.testing.assert_array_equal(traces["time"], np.arange(0, 91, 7))
    expected = [0] * 5 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(traces["presentation"], expected)
    common = [0.0, 35.0, 70.0]
    np.testing.assert_array_equal(
        traces["activity"].sel(time=common), plain["activity"].sel(time=common)
    )


def test_config_says_how_to_repeat_the_run(plain):
    assert json.loads(plain.attrs["config"]) == {
        "circuit": {
            "name": "LateralInhibition",
            "tau_ms": 10.0,
            "w_inh": 0.5,
            "p": 2.0,
            "input_sign": 0,
            "noise": 0.0,
            "noise_tau_ms": 10.0,
        },
        "plasticity": {},
        "stimulus": {
            "name": "Presentation",
            "image_ms": 30.0,
            "rest_ms": 0.0,
            "reset": True,
        },
        "recording": {
            "activity_ms": 2.5,
            "by_image": False,
            "inhibition": False,
            "images_every": 1,
            "norms": False,
            "weights_every": None,
            "limit_gib": 2.0,
        },
        "backend": "numpy",
        "threads": 1,
        "weight_dtype": "float64",
        "dt_ms": 0.5,
        "batch_size": 1,
        "seed": 0,
    }
    assert "Brian2" in plain.attrs["history"]


def test_the_time_of_a_run_is_part_of_the_time_of_the_call():
    began = time.perf_counter()
    traces = run(dt_ms=0.01)
    assert 0.02 < traces.attrs["run_seconds"] / (time.perf_counter() - began) < 1


def test_without_recording_only_the_final_values_are_there(plain):
    traces = run(dt_ms=0.5, activity_ms=None)
    assert set(traces.data_vars) == {"drive", "weights", "final_activity"}
    assert "time" not in traces.dims
    np.testing.assert_array_equal(traces["final_activity"], plain["final_activity"])


def test_pixels_are_taken_in_c_order():
    images = IMAGES.reshape(3, 2, 3)
    drive = run(images, image_ms=1.0, activity_ms=None)["drive"]
    np.testing.assert_allclose(drive, IMAGES @ WEIGHTS.T, rtol=0, atol=1e-12)


def test_two_runs_are_equal(plain):
    again = run_case(*CASES[0], "numpy")
    assert without_timing(again).identical(without_timing(plain))


def test_names_of_the_caller_do_not_leak_into_the_equations(plain):
    tau = w_inh = I = S = r = h = v = W = 123.0  # noqa: E741, F841
    shown = rest_steps = period_steps = table = image_at = period = 7  # noqa: F841
    traces = run_case(*CASES[0], "numpy")
    assert without_timing(traces).identical(without_timing(plain))


class NoSuchCircuit(Exception):
    pass


class Broken(LateralInhibition):
    """A circuit that cannot be built."""

    def build(self, *_, **__):
        raise NoSuchCircuit


@pytest.mark.parametrize("circuit", [LateralInhibition(), Broken()])
def test_brian2s_global_state_is_left_as_found(circuit):
    import brian2 as b2

    device, target = b2.get_device(), b2.prefs.codegen.target
    clock = [b2.defaultclock.variables[name].get_value().item() for name in ("dt", "t")]
    b2.prefs.codegen.target = "cython"
    try:
        with suppress(NoSuchCircuit):
            simulate(circuit, IMAGES, WEIGHTS, backend="numpy")
    finally:
        left, b2.prefs.codegen.target = b2.prefs.codegen.target, target
    assert left == "cython"
    assert b2.get_device() is device
    # A clock that has run took part: all its ticks, in steps of its own, cost time.
    for name, before in zip(("dt", "t"), clock, strict=True):
        assert b2.defaultclock.variables[name].get_value().item() == before


@pytest.mark.skipif(backends.why_not("cpp") is not None, reason="no C++ compiler")
def test_a_failing_compiled_run_leaves_the_device_as_found():
    import brian2 as b2

    device = b2.get_device()
    with pytest.raises(NoSuchCircuit):
        simulate(Broken(), IMAGES, WEIGHTS, backend="cpp")
    assert b2.get_device() is device
