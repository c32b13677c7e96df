"""Drives for property tests of the closed form, and the equation that it solves."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

W_INHS = [0.0, 0.3, 0.5, 0.9, 0.999, 1.0, 3.0]
QUICK = settings(derandomize=True, deadline=None, max_examples=60)
KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy-tailed": lambda rng, shape: rng.standard_t(2, size=shape),
    "close": lambda rng, shape: 1 + 1e-3 * rng.normal(size=shape),
    "with ties": lambda rng, shape: rng.integers(-3, 4, size=shape) / 3,
    "negative": lambda rng, shape: -rng.exponential(size=shape),
    "zero": lambda rng, shape: np.zeros(shape),
}


@st.composite
def drives(draw, max_units=24):
    """(image, unit), of several kinds and scales."""
    values = KINDS[draw(st.sampled_from(list(KINDS)))]
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, max_units)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return values(rng, shape) * draw(st.sampled_from([1e-6, 1.0, 1e6]))


def rate_of_change(h, drive, w_inh):
    """τ dh/dt of eq. 8, every pair of units written out."""
    num_units = drive.shape[-1]
    between = w_inh * (np.ones((num_units, num_units)) - np.eye(num_units))
    return drive - np.maximum(h, 0) @ between - h
