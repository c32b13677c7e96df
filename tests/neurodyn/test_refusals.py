"""Every refusal of a simulation, with its reason."""

import numpy as np
import pytest

from neurodyn import LateralInhibition
from tests.neurodyn.helpers import IMAGES, WEIGHTS, run

NOT_FINITE = np.where(np.arange(18).reshape(3, 6) == 7, np.nan, IMAGES)


INFINITE = np.where(np.arange(30).reshape(5, 6) == 7, np.inf, WEIGHTS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": WEIGHTS[:, :4]}, "weights have 4 pixels per unit, the images 6"),
        ({"weights": WEIGHTS[0]}, r"weights have shape \(6,\): \(unit, pixel\) is needed"),
        ({"weights": WEIGHTS[:0]}, r"weights have shape \(0, 6\)"),
        ({"images": IMAGES[0]}, r"images have shape \(6,\): \(image, pixel\) or"),
        ({"images": IMAGES[:0]}, r"images have shape \(0, 6\): .* none of them 0"),
        ({"images": NOT_FINITE}, "images: 1 of .* values are NaN or infinite"),
        ({"weights": INFINITE}, "weights: 1 of .* values are NaN or infinite"),
        (
            {"w_inh": -0.5},
            "w_inh is -0.5: the strength of inhibition, .* must be 0 or more",
        ),
        ({"w_inh": np.nan}, "w_inh is nan"),
        ({"p": 1.5}, "p is 1.5: the exponent of the metric must be 2 or more"),
        ({"image_ms": 0.0}, "image_ms is 0.0: the time an image is shown must be pos"),
        ({"rest_ms": -1.0}, "rest_ms is -1.0: the rest must be 0 or more"),
        ({"dt_ms": 0.7}, "image_ms is 30 ms, not a whole number of time steps of 0.7 ms"),
        ({"dt_ms": 0.5, "rest_ms": 0.7}, "rest_ms is 0.7 ms, not a whole number"),
        ({"dt_ms": 0.0}, "dt_ms is 0.0: the time step must be positive"),
        ({"dt_ms": -1.0}, "dt_ms is -1.0: the time step must be positive"),
        ({"dt_ms": np.nan}, "dt_ms is nan: the time step must be positive"),
        (
            {"dt_ms": 0.5, "activity_ms": 0.7},
            "activity_ms is 0.7 ms, not a whole number of time steps of 0.5",
        ),
        ({"activity_ms": 0.0}, "activity_ms is 0.0: the interval must be positive"),
        (
            {"activity_ms": -1.0},
            "activity_ms is -1.0: the interval must be positive",
        ),
        (
            {"activity_ms": np.nan},
            "activity_ms is nan: the interval must be positive",
        ),
        ({"backend": "fortran"}, "unknown backend 'fortran': give one of numpy, cython, c"),
        (
            {"image_ms": 1e6, "activity_ms": 1e-2},
            r"would take 11.2 GiB, the limit is 2 GiB \(activity \(samples x units\): "
            r"300000001 x 5 x 8 bytes = 11.18 GiB; drive .* record less often",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else ",".join(value),
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**settings)


@pytest.mark.parametrize("tau_ms", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_time_constant_that_is_not_positive(tau_ms):
    with pytest.raises(ValueError, match=rf"tau_ms is {tau_ms}: .* positive and finite"):
        LateralInhibition(tau_ms=tau_ms)


@pytest.mark.parametrize("settings", [{"image_ms": 10 * np.pi}, {"activity_ms": 2**-0.5}])
def test_refuses_lengths_that_no_default_time_step_divides(settings):
    with pytest.raises(ValueError, match=r"no time step near 0\.5 ms divides all times"):
        run(**settings)


def test_the_largest_trace_allowed_is_allowed():
    """3 images of 2 ms: 7 samples of 5 units, and drive and final activity."""
    size = 8 * (7 * 5 + 3 * 2 * 5)
    settings = {"image_ms": 2.0, "activity_ms": 1.0, "dt_ms": 0.5}
    traces = run(limit_gib=size / 2**30, **settings)
    recorded = ("activity", "drive", "final_activity")
    assert sum(traces[name].nbytes for name in recorded) == size
    with pytest.raises(ValueError, match=r"7 x 5 x 8 bytes .*3 x 10 x 8 bytes"):
        run(limit_gib=(size - 1) / 2**30, **settings)
