"""Checks of the rules of spiking networks: their code, their names, what they learned."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn import checks
from neurodyn.circuits import noise
from neurodyn.circuits.spiking import ADAPTIVE_THETA, CELL, COUNT, SYNAPSE, TOTAL
from neurodyn.engine import ambient, poisson, spiking_cells
from neurodyn.engine.rules import check_names
from neurodyn.engine.spec import described
from neurodyn.plasticity.bounds import check_bounds
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule, SpikeRule

RULES = "DiehlCook(), PairSTDP(), TripletSTDP()"
TRACES, CODE = ("pre_traces", "post_traces"), ("at_pre", "at_post", "on_pre", "on_post")
CLOCKS = {"t", "dt", "t_in_timesteps", "i", "j", "N", "lastspike", "not_refractory"}
SYNAPSES = {"W", "w_max", "total_weight", "N_incoming", "N_outgoing"}
ROUNDING = 1e-6  # of weights in single precision


def check_rule(rule: Any) -> None:
    """Refuse a rule of rates, and one whose code the network would not run as it is.

    Raises
    ------
    ValueError
        If members are missing, a trace has no differential equation, a parameter is no
        finite number, a name is one of the network, or code draws random numbers.
    """
    if rule is None:
        return
    checks.instance("plasticity", rule, object, RULES)
    for protocol in (FeedforwardRule, RecurrentRule):
        if not checks.lacking(rule, protocol):
            raise ValueError(
                f"plasticity is a {type(rule).__name__}, a rule of rates: a spiking "
                f"circuit learns by spikes, so give {RULES}"
            )
    checks.satisfies("plasticity", rule, SpikeRule, RULES)
    for name in (*TRACES, *CODE):
        example = "Brian2's code, such as 'x += 1', or an empty string"
        checks.instance(
            f"{name} of {type(rule).__name__}", getattr(rule, name), str, example
        )
    check_names(rule, "parameters", rule.parameters, set())
    w_max, total = checks.number("w_max", rule.w_max), rule.total
    check_bounds(w_max, None if total is None else checks.number("total", total))
    with ambient.one_at_a_time:
        ambient.load_brian2()
    with ambient.brian2_errors():
        _check_times(rule)
        pre, post = (_traces(rule, name) for name in TRACES)
        _check_taken(rule, pre, post)
        _check_determined(rule)


def described_rule(rule: SpikeRule | None) -> dict[str, Any]:
    """Return the class, the settings and the equations of a rule."""
    if rule is None:
        return {"name": "none"}
    return described(rule) | {name: getattr(rule, name) for name in (*TRACES, *CODE)}


def check_learned(weights: NDArray[np.float64], rule: SpikeRule | None) -> None:
    """Refuse weights after a run that break Dale's law, or the rule's bounds.

    Weights that were scaled to the sum `total` may be above w_max.
    """
    if rule is None:
        return
    largest = rule.w_max * (1 + ROUNDING) if rule.total is None else np.finfo(float).max
    wrong = weights[~((weights >= 0) & (weights <= largest))]  # NaN, too
    if wrong.size:
        raise ValueError(
            f"{wrong.size} of {weights.size} weights left the bounds of "
            f"{type(rule).__name__} in this run, one is {wrong[0]:g}: they are from 0 to "
            f"w_max = {rule.w_max:g}, so write its code as W = clip(..., 0, w_max)"
        )


def _check_times(rule: SpikeRule) -> None:
    """Refuse times of 0 or less."""
    import brian2 as b2

    for name, value in rule.parameters.items():
        if b2.get_dimensions(value) is b2.second.dim and value <= 0 * b2.second:
            raise ValueError(
                f"parameters of {type(rule).__name__}: '{name}' is {value}, but times must "
                "be positive"
            )


def _traces(rule: SpikeRule, which: str) -> set[str]:
    """Return the names of traces; each needs a differential equation, to be kept."""
    import brian2 as b2

    equations = b2.Equations(getattr(rule, which))
    for name, equation in equations.items():
        if equation.type == "parameter":
            raise ValueError(
                f"{which} of {type(rule).__name__} has '{name}' without an equation: "
                f"give one, such as d{name}/dt = -{name}/tau : 1, or d{name}/dt = 0/second "
                ": 1 if it does not decay"
            )
    return set(equations.names)


def _check_taken(rule: SpikeRule, pre: set[str], post: set[str]) -> None:
    """Refuse names that the network would not take as the rule's own."""
    import brian2 as b2
    from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS

    def of(*equations: str) -> set[str]:
        return {name for text in equations for name in b2.Equations(text).names}

    states = of(CELL, COUNT, TOTAL, ADAPTIVE_THETA, poisson.PIXELS) | CLOCKS
    taken = states | {*DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS, "mV"}
    taken |= poisson.NAMES | spiking_cells.NAMES
    of_noise = of(noise.EQUATIONS, spiking_cells.PRESENTED)  # E cells only
    of_synapses = SYNAPSES | of(SYNAPSE) | pre | post
    used = (pre | post) & taken | (post & of_noise)
    used |= set(rule.parameters) & (taken | of_noise | of_synapses)
    if used:
        raise ValueError(
            f"{type(rule).__name__} has a trace or parameter named "
            f"{', '.join(sorted(used))}, which are names of the network: choose others"
        )


def _check_determined(rule: SpikeRule) -> None:
    """Refuse random numbers: they would not be the same when a training is continued."""
    from brian2.core.functions import DEFAULT_FUNCTIONS
    from brian2.utils.stringtools import get_identifiers

    for name in (*TRACES, *CODE):
        for word in sorted(get_identifiers(getattr(rule, name))):
            function = DEFAULT_FUNCTIONS.get(word)
            if function is not None and not function.stateless:
                raise ValueError(
                    f"{name} of {type(rule).__name__} has {word}, whose random numbers do "
                    "not follow from the seed: a rule must be deterministic"
                )
