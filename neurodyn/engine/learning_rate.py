"""Limits of the learning rate: no step may overshoot, and activity should be faster."""

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks
from neurodyn.circuits.base import Circuit
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule
from neurodyn.stimulus import Stimulus, from_rest


def check_feedforward(
    rule: FeedforwardRule,
    circuit: Circuit,
    stimulus: Stimulus,
    drive: NDArray[np.float64],
    dt_ms: float,
) -> None:
    """Refuse a rule that overshoots; warn if weights move faster than activity.

    Under eq. 3 weights relax at the rate |g I| / τ_L, where g depends on h. A unit with a
    negative drive I is inhibited as well, so that |h| is above |I|; at rest it is active
    only if other units excite it.

    Raises
    ------
    ValueError
        If one step overshoots.
    """
    above, below = np.maximum(drive, 0), np.maximum(-drive, 0)
    sizes = below + circuit.largest_inhibition(drive)
    index = (below * sizes).argmax()
    lowest, size = below.flat[index], sizes.flat[index]
    settled = rule.timing.window_ms(stimulus.image_ms) == 0
    inactive = settled and from_rest(stimulus) and not circuit.has_excitation
    speed = max(
        rule.strongest(0.0, above.max()) * above.max(),
        rule.strongest(-size, -lowest if inactive else size) * lowest,
    )
    low, high = (f"{end:.3g}" for end in (drive.min(), drive.max()))
    inputs = f"drives up to {high}" if drive.min() >= 0 else f"drives from {low} to {high}"
    step_ms = stimulus.image_ms if settled else dt_ms
    _check(rule.tau_l_ms, circuit, step_ms, speed, speed, inputs)


def check_recurrent(
    synapses: str,
    rule: RecurrentRule,
    circuit: Circuit,
    stimulus: Stimulus,
    drive: NDArray[np.float64],
    dt_ms: float,
) -> None:
    """Refuse a rule that overshoots; warn if weights move faster than activity.

    The weight update depends on the receiving rate, and changes it: a change of W changes
    the receiving rate by r_i times that, so the rate relaxes with r_i d change / d r_post.

    Raises
    ------
    ValueError
        If one step overshoots.
    """
    rate = circuit.largest_sending_rate(drive, synapses, reset=from_rest(stimulus))
    weight_speed = rule.strongest(rate)
    inputs = f"rates of the sending cells of {synapses} up to {rate:.3g}"
    _check(rule.tau_l_ms, circuit, dt_ms, weight_speed * rate, weight_speed, inputs)


def _check(
    tau_l_ms: float,
    circuit: Circuit,
    step_ms: float,
    speed: float,
    weight_speed: float,
    inputs: str,
) -> None:
    """Check the speeds of relaxation and of the weights, in units of 1 / τ_L."""
    if not np.isfinite(speed):
        raise ValueError(f"strongest of the rule gave {speed}: a finite number is needed")
    speed = max(float(speed), 1e-300)
    if step_ms * speed / tau_l_ms > 1:
        raise ValueError(
            f"tau_l_ms is {tau_l_ms:g}: with {inputs} the weights move within "
            f"{tau_l_ms / speed:.3g} ms, and one step of {step_ms:g} ms overshoots; "
            f"give at least {step_ms * speed:.3g}"
        )
    ratio = float(np.max(circuit.tau_ms)) * float(weight_speed) / tau_l_ms
    if ratio > 1:
        checks.warn(
            f"tau_l_ms is {tau_l_ms:g}: the weights move {ratio:.3g} times as fast as "
            "the activity, which never settles; raise tau_l_ms"
        )
