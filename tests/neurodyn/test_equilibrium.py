"""The closed-form fixed point of eq. 8 against the equation itself, and against two ways
to find it that share no code with it: a stiff ODE solver and trying every active set.
"""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.integrate import solve_ivp

from neurodyn import equilibrium
from tests.neurodyn.drives import QUICK, W_INHS, drives, rate_of_change


def largest(drive):
    return max(np.abs(drive).max(), np.finfo(float).tiny)


@pytest.mark.parametrize("w_inh", W_INHS)
@given(drive=drives())
@QUICK
def test_nothing_moves_at_the_fixed_point(drive, w_inh):
    h = equilibrium.settle(drive, w_inh=w_inh)
    # measured: 1e-12 at w_inh = 0.999, where 1 / (1 − w) amplifies rounding
    assert np.abs(rate_of_change(h, drive, w_inh)).max() <= 1e-9 * largest(drive)


@pytest.mark.parametrize("w_inh", W_INHS)
@given(drive=drives())
@QUICK
def test_the_order_of_activity_is_the_order_of_drive(drive, w_inh):
    h = equilibrium.settle(drive, w_inh=w_inh)
    for one_h, one_drive in zip(h, drive, strict=True):
        order = np.argsort(one_drive)
        assert (np.diff(one_h[order]) >= 0).all()
        tied = np.diff(one_drive[order]) == 0
        assert (np.diff(one_h[order])[tied] == 0).all()


@pytest.mark.parametrize("w_inh", [1.0, 3.0])
@given(drive=drives())
@QUICK
def test_from_w_inh_1_on_only_the_largest_drive_is_active(drive, w_inh):
    active = equilibrium.settle(drive, w_inh=w_inh) > 0
    top = drive.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(active, (drive == top) & (top > 0))


def by_trying_every_active_set(drive, w_inh):
    """Solve the linear system of each set of active units; return the consistent one."""
    units = range(len(drive))
    best, least_wrong = None, np.inf
    for size in range(len(drive) + 1):
        for active in map(list, combinations(units, size)):
            coupling = (1 - w_inh) * np.eye(size) + w_inh
            r = np.zeros(len(drive))
            r[active] = np.linalg.solve(coupling, drive[active])
            h = np.where(np.isin(units, active), r, drive - w_inh * r.sum())
            wrong = max([-v if u in active else v for u, v in enumerate(h)])
            if wrong < least_wrong:
                best, least_wrong = h, wrong
    return best


@pytest.mark.parametrize("w_inh", [0.0, 0.3, 0.9])
@given(drive=drives(max_units=8))
@settings(QUICK, max_examples=10)
def test_equals_the_only_consistent_set_of_active_units(drive, w_inh):
    h = equilibrium.settle(drive[0], w_inh=w_inh)
    expected = by_trying_every_active_set(drive[0], w_inh)
    # measured: 2e-15
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12 * largest(drive))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("w_inh", [0.2, 0.5, 0.8, 1.5])
def test_is_where_a_stiff_ode_solver_ends(w_inh, seed):
    drive = np.random.default_rng(seed).normal(0.5, 1.0, size=7)
    solution = solve_ivp(
        lambda _, h: rate_of_change(h, drive, w_inh),
        (0, 1000),  # in units of τ
        np.zeros_like(drive),
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
    )
    h = equilibrium.settle(drive, w_inh=w_inh)
    # measured: 4e-16 at most, over these seeds and strengths
    np.testing.assert_allclose(h, solution.y[:, -1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("drive", "w_inh", "expected"),
    [
        # Units 0 and 1 active: S = (3 + 2) / (1 + 0.5) = 10/3, w S = 5/3;
        # h = (3 − 5/3) / 0.5 = 8/3, (2 − 5/3) / 0.5 = 2/3, and −1 − 5/3 = −8/3.
        ((3, 2, -1), 0.5, (8 / 3, 2 / 3, -8 / 3)),
        # Unit 0 alone: S = 3, w S = 1.5 exceeds the drive of the next.
        ((3, 1, 0), 0.5, (3, -0.5, -1.5)),
        # On the edge: w S = 1.5 is just the drive of unit 1, which stays at 0.
        ((3, 1.5), 0.5, (3, 0)),
        # No inhibition: everybody follows the drive.
        ((3, -2), 0.0, (3, -2)),
        # Nobody is driven, nobody inhibits.
        ((-1, -2), 0.9, (-1, -2)),
        # The winner inhibits the others by w times its own drive.
        ((3, 2, -1), 1.0, (3, -1, -4)),
        ((3, 2, -1), 2.0, (3, -4, -7)),
        # A tie shares: h (1 + w) = 3 for both, 3/3 = 1 at w = 2; the third: 2 − 2 (1 + 1).
        ((3, 3, 2), 2.0, (1, 1, -2)),
        ((-1, -1), 2.0, (-1, -1)),
        ((0, 0), 2.0, (0, 0)),
    ],
)
def test_hand_computed(drive, w_inh, expected):
    h = equilibrium.settle(drive, w_inh=w_inh)
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("w_inh", [0.5, 2.0])
def test_any_leading_dims_are_images(w_inh):
    drive = np.random.default_rng(0).normal(size=(2, 3, 5))
    h = equilibrium.settle(drive, w_inh=w_inh)
    assert h.shape == drive.shape
    assert h.dtype == np.float64
    np.testing.assert_array_equal(h[1, 2], equilibrium.settle(drive[1, 2], w_inh=w_inh))


@pytest.mark.parametrize("w_inh", [0.5, 0.9, 1.0, 2.0])
def test_residual_is_the_right_side_of_the_equation(w_inh):
    rng = np.random.default_rng(0)
    drive, h = rng.normal(size=(2, 4, 6))
    np.testing.assert_allclose(
        equilibrium.residual(h, drive, w_inh=w_inh),
        rate_of_change(h, drive, w_inh),
        rtol=0,
        atol=1e-14,
    )


@pytest.mark.parametrize("w_inh", [-0.1, np.nan, np.inf])
def test_refuses_a_strength_that_is_no_inhibition(w_inh):
    with pytest.raises(ValueError, match=rf"w_inh is {w_inh}: .* 0 or more"):
        equilibrium.settle([1.0, 2.0], w_inh=w_inh)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("w_inh", [0.5, 2.0])
def test_refuses_a_drive_that_is_not_finite(bad, w_inh):
    with pytest.raises(ValueError, match=r"drive: 1 of .* values are NaN or infinite"):
        equilibrium.settle([1.0, bad], w_inh=w_inh)
