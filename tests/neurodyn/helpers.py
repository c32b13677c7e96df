"""What several tests share: a small simulation, its equations, what pictures show."""

import itertools

import numpy as np
import xarray as xr
from scipy.integrate import solve_ivp

from neurodyn import LateralInhibition, Presentation, Recording, simulate

GIVEN = np.random.default_rng(0)

WEIGHTS = GIVEN.normal(0.2, 1.0, size=(5, 6))

IMAGES = GIVEN.random((3, 6))

TAU_MS = 10.0


def run(images=IMAGES, weights=WEIGHTS, *, w_inh=0.5, p=2.0, backend="numpy", **settings):
    """Simulate with τ = 10 ms; what presentation and recording take goes there."""
    shown = {k: settings.pop(k) for k in ("image_ms", "rest_ms", "reset") if k in settings}
    kept = {
        k: settings.pop(k)
        for k in ("activity_ms", "by_image", "limit_gib")
        if k in settings
    }
    return simulate(
        LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh, p=p),
        images,
        weights,
        stimulus=Presentation(**{"image_ms": 30.0} | shown),
        recording=Recording(**{"by_image": False} | kept),
        backend=backend,
        **settings,
    )


def without_timing(traces):
    return traces.assign_attrs(run_seconds=0.0)


def drive_of(images, weights, p):
    """Σ_i sign(W_ui) |W_ui|^(p−1) v_i, term by term."""
    drive = np.zeros((len(images), len(weights)))
    for (b, image), (u, unit) in itertools.product(enumerate(images), enumerate(weights)):
        drive[b, u] = sum(
            np.sign(w) * abs(w) ** (p - 1) * v for w, v in zip(unit, image, strict=True)
        )
    return drive


def slope(h, drive, w_inh):
    """dh/dt of eq. 8 [1/ms], every pair of units written out."""
    between = w_inh * (np.ones((len(h), len(h))) - np.eye(len(h)))
    return (drive - np.maximum(h, 0) @ between - h) / TAU_MS


def euler(drive, w_inh, *, dt_ms, rest_steps, image_steps, reset, stride):
    """Activity at every `stride`-th step, and at the end of each presentation."""
    h = np.zeros(drive.shape[1])
    states, ends = [h], []
    for image in drive:
        if reset:
            h = np.zeros_like(h)
        for step in range(rest_steps + image_steps):
            h = h + dt_ms * slope(h, image * (step >= rest_steps), w_inh)
            states.append(h)
        ends.append(h)
    return np.array(states[::stride]), np.array(ends)


def stiff(drive, w_inh, t_ms):
    """Activity at t_ms from h = 0, by SciPy's LSODA."""
    solution = solve_ivp(
        lambda _, h: slope(h, drive, w_inh),
        (0, t_ms),
        np.zeros_like(drive),
        method="LSODA",
        rtol=1e-11,
        atol=1e-12,
        max_step=1.0,
    )
    return solution.y[:, -1]


# (p, rest_ms, reset): each with image_ms = 30, dt = 0.5 ms, sampled every 2.5 ms
CASES = [(2.0, 0.0, True), (3.0, 0.0, True), (2.0, 5.0, True), (3.0, 5.0, False)]


def run_case(p, rest_ms, reset, backend):
    return run(
        p=p, rest_ms=rest_ms, reset=reset, backend=backend, dt_ms=0.5, activity_ms=2.5
    )


def over(dims, values, **coords):
    return xr.DataArray(np.array(values), dims=dims, coords=coords)


def data_of(ax, place):
    return [np.asarray(values) for values in ax.lines[place].get_data()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def bars(ax):
    return {
        (round(bar.get_x(), 9), round(bar.get_x() + bar.get_width(), 9)): bar.get_height()
        for bar in ax.patches
    }


def band(ax):
    """Lower and upper edge, from the outline of the filled area."""
    points = ax.collections[0].get_paths()[0].vertices
    at = np.unique(points[:, 0])
    shown = [points[points[:, 0] == x, 1] for x in at]
    return at, [y.min() for y in shown], [y.max() for y in shown]


def normal_weights(num_units, num_pixels):
    values = np.random.default_rng(0).normal(size=(num_units, num_pixels))
    return xr.DataArray(values, dims=("unit", "pixel"))
