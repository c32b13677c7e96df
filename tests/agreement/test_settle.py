"""The same fixed point, in NumPy (`neurodyn`) and in torch (`fastpath`)."""

import numpy as np
import pytest
import torch
from hypothesis import given

from fastpath import competition
from neurodyn import equilibrium
from tests.neurodyn.drives import QUICK, W_INHS, drives, rate_of_change


def both(drive, w_inh):
    """h by NumPy and by torch in float64, and the largest drive."""
    ours = equilibrium.settle(drive, w_inh=w_inh)
    theirs = competition.settle(torch.from_numpy(drive), w_inh=w_inh)
    assert theirs.dtype == torch.float64
    return ours, theirs.numpy(), max(np.abs(drive).max(), np.finfo(float).tiny)


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
