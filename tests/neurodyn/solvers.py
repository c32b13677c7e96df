"""The equations of both circuits, solved by Euler's method and by LSODA."""

import numpy as np
from scipy.integrate import solve_ivp

from neurodyn import LateralInhibition

TAU_MS = 10.0


def equations(circuit, drive):
    """(dh/dt of all cells at h, number of cells), written out once more."""
    num = drive.shape[-1]
    if isinstance(circuit, LateralInhibition):
        tau = np.broadcast_to(circuit.tau_ms, num)

        def slope(h):
            return (drive - np.maximum(h, 0) @ np.asarray(circuit.w_inh).T - h) / tau

        return slope, num
    w = circuit.matrices(num)
    tau_exc = np.broadcast_to(circuit.tau_exc_ms, num)
    tau_inh = np.broadcast_to(circuit.tau_inh_ms, circuit.num_inh)

    def slope(h):
        r = np.maximum(h, 0)
        r_exc, r_inh = r[..., :num], r[..., num:]
        into_exc = drive + circuit.w_self * r_exc + r_exc @ w["exc_to_exc"].T
        into_exc = into_exc - r_inh @ w["inh_to_exc"].T
        into_inh = r_exc @ w["exc_to_inh"].T - r_inh @ w["inh_to_inh"].T
        return np.concatenate(
            [(into_exc - h[..., :num]) / tau_exc, (into_inh - h[..., num:]) / tau_inh], -1
        )

    return slope, num + circuit.num_inh


def euler(circuit, drive, dt_ms, length_ms, start=None):
    """States (time, image, cell) by Euler's method in the last tenth of the time."""
    slope, size = equations(circuit, drive)
    h = np.zeros((len(drive), size)) if start is None else start
    num_steps = round(length_ms / dt_ms)
    late = []
    for step in range(num_steps):
        h = h + dt_ms * slope(h)
        if step >= 0.9 * num_steps:
            late.append(h)
    return np.array(late)


def lsoda(circuit, drive, length_ms, start=None):
    """States (time, cell) of one image in the last tenth of the time."""
    slope, size = equations(circuit, drive)
    solution = solve_ivp(
        lambda _, h: slope(h),
        (0, length_ms),
        np.zeros(size) if start is None else start,
        method="LSODA",
        rtol=1e-8,
        atol=1e-10,
        t_eval=np.linspace(0.9 * length_ms, length_ms, 200),
    )
    return solution.y.T
