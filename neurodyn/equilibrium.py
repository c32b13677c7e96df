"""The exact fixed point of the lateral-inhibition circuit.

Circuit (K&H 2019, eq. 8), with r(h) = max(h, 0), w = w_inh and S = Σ_v r(h_v):

    τ dh_u/dt = I_u − w Σ_{v≠u} r(h_v) − h_u = I_u − w (S − r(h_u)) − h_u

Fixed point for 0 ≤ w < 1. An active unit (h > 0) has h = (I − w S) / (1 − w), so it is
active if and only if I > w S; an inactive one has h = I − w S ≤ 0. Hence the m active
units are those of largest drive, and summing over them S = P_m / (1 + (m − 1) w), with
P_m the sum of the m largest drives I_(1) ≥ I_(2) ≥ ... The m-th of them is active iff
I_(m) > w S_m, that is

    I_(m) (1 + (m − 1) w) > w P_m .

*The units that pass are a prefix.* I_(m) > w S_m is the same as I_(m) > w S_{m−1} (take
w I_(m) from both sides and divide by 1 + (m − 2) w). So if the m-th fails,
I_(m+1) ≤ I_(m) ≤ w S_m, and the next fails too.

*Uniqueness.* Σ_u max(I_u − w S, 0) / (1 − w) − S falls strictly with S: one root.
Equivalently r minimises ½ (1 − w) |r|² + ½ w (Σ r)² − I·r over r ≥ 0, strictly convex.

*Convergence.* The coupling is symmetric and r non-decreasing, so the circuit has a
Lyapunov function (Cohen & Grossberg 1983) and settles there from any initial values.

For w ≥ 1 states with several active units are unstable. From equal initial values the
order of h is the order of I at every instant, so the largest drive wins alone, h = I_max,
and the others have I − w I_max. Units that tie exactly for the largest drive stay equal
and share the win, h = I_max / (1 + (m − 1) w). From other initial values several
single-winner states can be reached, and this module does not apply.

*A matrix of inhibition*, w_uv from v to u: h = I − W r, or for the rates alone

    r ≥ 0,   (1 + W) r − I ≥ 0,   r · ((1 + W) r − I) = 0,

a linear complementarity problem. If W is symmetric and 1 + W positive definite, r is the
only minimum of ½ r·(1 + W) r − I·r over r ≥ 0. That energy falls while the circuit moves,
as dE/dt = −Σ_active τ (dh/dt)², so the circuit settles there from any initial values and
with any time constants (Hahnloser, Seung & Slotine 2003). The active set is found by
exchanging all units that violate a condition; if that does not help, only the last of them,
which ends for certain (Júdice & Pires 1994).

Sources: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019), eq. 8; the closed form is derived
here. R. H. R. Hahnloser, H. S. Seung & J.-J. Slotine, Neural Computation 15:621 (2003).
J. J. Júdice & F. M. Pires, Computers & Operations Research 21:587 (1994).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks
from neurodyn.circuits.eigenvalues import is_positive_definite

__all__ = ["residual", "settle"]


ROUNDING = 1e-13  # relative to the largest drive: a violation of a condition
PATIENCE = 3  # exchanges of many units without fewer violations, before single ones


def settle(drive: ArrayLike, *, w_inh: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the activity to which the circuit settles from equal initial values.

    Parameters
    ----------
    drive
        Drive I (..., unit).
    w_inh
        Strength of inhibition, 0 or more, or a symmetric matrix of strengths (receiving
        unit, sending unit) with diagonal 0. With a matrix, initial values do not matter.

    Returns
    -------
    NDArray
        Activity h (..., unit), float64.

    Raises
    ------
    ValueError
        If w_inh is negative or not finite, or a drive is not finite; if a matrix does not
        fit the drive, is not symmetric, or 1 + w_inh is not positive definite: more than
        one state may then be stable.
    """
    w_inh = checks.numbers("w_inh", w_inh)
    checks.not_negative("w_inh", w_inh, "the strength of inhibition")
    drive = checks.array("drive", drive)
    if isinstance(w_inh, np.ndarray):
        coupling = np.eye(drive.shape[-1]) + _checked(w_inh, drive.shape[-1])
        rates = [_settled_rates(coupling, each) for each in drive.reshape(-1, len(w_inh))]
        r = np.reshape(rates, drive.shape)
        return np.where(r > 0, r, drive - r @ w_inh)
    if w_inh >= 1:
        return _winner_takes_all(drive, w_inh)
    descending = -np.sort(-drive, axis=-1)
    total = np.cumsum(descending, axis=-1)
    gain = 1 + w_inh * np.arange(drive.shape[-1])
    num_active = np.sum(descending * gain > w_inh * total, axis=-1, keepdims=True)
    last = np.maximum(num_active - 1, 0)
    summed = np.where(
        num_active > 0, np.take_along_axis(total, last, axis=-1) / gain[last], 0.0
    )
    excess = drive - w_inh * summed
    return np.where(excess > 0, excess / (1 - w_inh), excess)


def _winner_takes_all(drive: NDArray[np.float64], w_inh: float) -> NDArray[np.float64]:
    top = drive.max(axis=-1, keepdims=True)
    winner = (drive == top) & (drive > 0)
    num_winners = np.maximum(winner.sum(axis=-1, keepdims=True), 1)
    won = np.where(winner, top / (1 + (num_winners - 1) * w_inh), 0.0)
    return np.where(winner, won, drive - w_inh * won.sum(axis=-1, keepdims=True))


def _checked(w_inh: NDArray[np.float64], num_units: int) -> NDArray[np.float64]:
    """Return a matrix of inhibition; refuse it if its fixed point may not be unique."""
    if w_inh.shape != (num_units, num_units):
        raise ValueError(
            f"w_inh has shape {w_inh.shape}, but the drive has {num_units} units: a number "
            "or a (unit, unit) matrix is needed"
        )
    if np.diagonal(w_inh).any():
        raise ValueError(
            "w_inh has a diagonal that is not 0: set it to 0, no unit inhibits itself"
        )
    symmetric = np.array_equal(w_inh, w_inh.T)
    if not symmetric or not is_positive_definite(np.eye(num_units) + w_inh):
        what = "1 + w_inh is not positive definite" if symmetric else "it is not symmetric"
        raise ValueError(
            f"w_inh is a matrix with which several states may be stable ({what}): weaken "
            "the inhibition, or find a state by neurodyn.simulate"
        )
    return w_inh


def _settled_rates(
    coupling: NDArray[np.float64], drive: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return r ≥ 0 (unit) with y = coupling r − I ≥ 0 and r·y = 0."""
    active = drive > 0
    fewest, patience = len(drive) + 1, PATIENCE
    while True:
        r, y = np.zeros_like(drive), np.zeros_like(drive)
        r[active] = np.linalg.solve(coupling[np.ix_(active, active)], drive[active])
        y[~active] = coupling[np.ix_(~active, active)] @ r[active] - drive[~active]
        wrong = np.flatnonzero(np.minimum(r, y) < -ROUNDING * abs(drive).max())
        if not len(wrong):
            return np.maximum(r, 0)
        if len(wrong) < fewest:
            fewest, patience = len(wrong), PATIENCE
        else:
            patience -= 1
        if patience < 0:
            wrong = wrong[-1:]
        active[wrong] ^= True


def residual(
    h: NDArray[np.float64], drive: ArrayLike, *, w_inh: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return τ dh/dt of eq. 8 at h: zero at a fixed point."""
    r = np.maximum(h, 0)
    if np.ndim(w_inh):
        return np.asarray(drive) - r @ np.asarray(w_inh).T - h
    return np.asarray(drive) - w_inh * (r.sum(axis=-1, keepdims=True) - r) - h
