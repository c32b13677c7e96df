"""The fixed point of the lateral-inhibition circuit, in closed form.

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

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019), eq. 8; the closed form is derived
here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks

__all__ = ["residual", "settle"]


def settle(drive: ArrayLike, *, w_inh: float) -> NDArray[np.float64]:
    """Return the activity to which the circuit settles from equal initial values.

    Parameters
    ----------
    drive
        Drive I (..., unit).
    w_inh
        Strength of inhibition, 0 or more.

    Returns
    -------
    NDArray
        Activity h (..., unit), float64.

    Raises
    ------
    ValueError
        If w_inh is negative or not finite, or a drive is not finite.
    """
    w_inh = checks.number("w_inh", w_inh)
    checks.not_negative("w_inh", w_inh, "the strength of inhibition")
    drive = checks.array("drive", drive)
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


def residual(
    h: NDArray[np.float64], drive: ArrayLike, *, w_inh: float
) -> NDArray[np.float64]:
    """Return τ dh/dt of eq. 8 at h: zero at a fixed point."""
    r = np.maximum(h, 0)
    return np.asarray(drive) - w_inh * (r.sum(axis=-1, keepdims=True) - r) - h
