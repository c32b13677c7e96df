"""The same fixed point, in NumPy (`neurodyn`) and in torch (`fastpath`)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import competition
from neurodyn import equilibrium

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
def drives(draw):
    """(image, unit), of several kinds and scales."""
    values = KINDS[draw(st.sampled_from(list(KINDS)))]
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 24)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return values(rng, shape) * draw(st.sampled_from([1e-6, 1.0, 1e6]))


def both(drive, w_inh):
    """h by NumPy and by torch in float64, and the largest drive."""
    ours = equilibrium.settle(drive, w_inh=w_inh)
    theirs = competition.settle(torch.from_numpy(drive), w_inh=w_inh)
    assert theirs.dtype == torch.float64
    return ours, theirs.numpy(), max(np.abs(drive).max(), np.finfo(float).tiny)


def rate_of_change(h, drive, w_inh):
    """τ dh/dt of eq. 8, every pair of units written out."""
    num_units = drive.shape[-1]
    between = w_inh * (np.ones((num_units, num_units)) - np.eye(num_units))
    return drive - np.maximum(h, 0) @ between - h


@pytest.mark.parametrize("w_inh", W_INHS)
@given(drive=drives())
@QUICK
def test_numpy_and_torch_agree(drive, w_inh):
    ours, theirs, scale = both(drive, w_inh)
    # measured: 0, they add in the same order
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("w_inh", W_INHS)
@given(drive=drives())
@QUICK
def test_both_satisfy_the_fixed_point_equation(drive, w_inh):
    *activities, scale = both(drive, w_inh)
    for h in activities:
        # measured: 1e-12 at w_inh = 0.999, where 1 / (1 − w) amplifies rounding
        assert np.abs(rate_of_change(h, drive, w_inh)).max() <= 1e-9 * scale


@pytest.mark.parametrize("w_inh", W_INHS)
def test_agree_for_2000_units_with_heavy_tails(w_inh):
    drive = np.random.default_rng(0).standard_t(2, size=(8, 2000))
    ours, theirs, scale = both(drive, w_inh)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12 * scale)
    # measured: 2e-14 at w_inh = 0.999
    assert np.abs(rate_of_change(theirs, drive, w_inh)).max() <= 1e-9 * scale


@pytest.mark.parametrize("w_inh", [-0.1, np.nan, np.inf])
def test_both_refuse_the_same_strengths_in_the_same_words(w_inh):
    with pytest.raises(ValueError, match="w_inh is") as ours:
        equilibrium.settle(np.ones((1, 2)), w_inh=w_inh)
    with pytest.raises(ValueError, match="w_inh is") as theirs:
        competition.settle(torch.ones(1, 2), w_inh=w_inh)
    assert str(ours.value) == str(theirs.value)
