"""The time step of Euler's method: stable, and a divisor of all times."""

from math import inf

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks, times
from neurodyn.checks import time_ms
from neurodyn.circuits.base import Circuit
from neurodyn.recording import Recording
from neurodyn.stimulus import Stimulus, from_rest

SHORT = 100  # warn if the default time step is this many times shorter than needed


def choose(
    circuit: Circuit,
    stimulus: Stimulus,
    drive: NDArray[np.float64],
    dt_ms: float | None,
    recording: Recording,
    window_ms: float,
) -> float:
    """Return the time step [ms], if `dt_ms` is None a default.

    Raises
    ------
    ValueError
        If it is not stable, or does not divide all times.
    """
    lengths = {"last_ms": window_ms} if 0 < window_ms < inf else {}
    if stimulus.num_frames > 1:
        lengths["the time of a frame"] = stimulus.image_ms / stimulus.num_frames
    others = [*lengths.values()]
    if recording.activity_ms is not None:
        others.append(recording.activity_ms)
    if dt_ms is None:
        dt_ms = _longest_step(circuit, stimulus, drive, others, window_ms)
    else:
        dt_ms = time_ms("dt_ms", dt_ms)
        checks.positive("dt_ms", dt_ms, "the time step")
        _check_stable(circuit, drive, dt_ms, reset=from_rest(stimulus))
    stimulus.steps(dt_ms)
    recording.sample_steps(dt_ms)
    for name, length_ms in lengths.items():
        times.steps(name, length_ms, dt_ms)
    return dt_ms


def _longest_step(
    circuit: Circuit,
    stimulus: Stimulus,
    drive: NDArray[np.float64],
    others: list[float],
    window_ms: float,
) -> float:
    """Return the longest step that is stable and divides all times, the others too."""
    reset = from_rest(stimulus)
    bound = circuit.default_step_ms(drive, reset=reset)
    if window_ms == inf:
        # Learning in the first steps depends on which units overshoot.
        bound = min(bound, circuit.safe_step_ms(drive, reset=reset))
    dt_ms = stimulus.fitting_step(bound, *others)
    while dt_ms < 0.999 * bound and not circuit.is_stable(drive, dt_ms, reset=reset):
        dt_ms = stimulus.fitting_step(dt_ms / 2, *others)
    if dt_ms < bound / SHORT:
        checks.warn(
            f"the time step is {dt_ms:.3g} ms, {bound / dt_ms:.0f} times shorter than "
            "this circuit needs, because no longer step divides all times: choose "
            "times in simple ratios, such as an activity_ms that divides image_ms",
        )
    return dt_ms


def _check_stable(
    circuit: Circuit, drive: NDArray[np.float64], dt_ms: float, *, reset: bool
) -> None:
    if circuit.is_stable(drive, dt_ms, reset=reset):
        return
    safe = float(f"{0.995 * circuit.safe_step_ms(drive, reset=reset):.3g}")
    while not circuit.is_stable(drive, safe, reset=reset):
        safe = float(f"{safe / 2:.3g}")
    raise ValueError(
        f"dt_ms is {dt_ms:g}: Euler's method is not stable with that step for this "
        f"circuit and these images; one of {safe:g} ms is. Leave dt_ms out to have "
        "one chosen"
    )
