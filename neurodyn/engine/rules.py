"""The rules of a simulation, checked: who may learn what, and by which names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodyn import checks
from neurodyn.checks import instance
from neurodyn.circuits.base import Circuit
from neurodyn.plasticity.protocols import (
    FEEDFORWARD,
    FeedforwardRule,
    RecurrentRule,
    SpikeRule,
)
from neurodyn.plasticity.timing import check_timing

type Rule = FeedforwardRule | RecurrentRule

# Names in the code of synapses that learn: a rule's own names must differ.
CLOCKS = {"t", "dt", "t_in_timesteps", "i", "j", "N", "period_steps", "rest_steps"}
RECURRENT_NAMES = CLOCKS | {"W", "r_pre", "r_post", "I_post", "on", "learns", "rate"}
RECURRENT_NAMES |= {"last_step"}
FEEDFORWARD_NAMES = CLOCKS | {"h", "I", "g", "W", "v", "p", "R_p", "lowest", "highest"}
FEEDFORWARD_NAMES |= {"rate", "window_start", "num_steps", "gain", "loss", "learns"}
FEEDFORWARD_NAMES |= {"running", "shown", "own", "image", "square", "I_start", "I_sum"}
FEEDFORWARD_NAMES |= {"norm", "norm_p"}


def checked(
    plasticity: Rule | Mapping[str, Rule] | None, circuit: Circuit
) -> tuple[FeedforwardRule | None, dict[str, RecurrentRule]]:
    """Return the feed-forward rule, and the rules between cells by name."""
    if plasticity is None:
        return None, {}
    rules: dict[str, Any]
    rules = (
        dict(plasticity) if isinstance(plasticity, Mapping) else {FEEDFORWARD: plasticity}
    )
    for name, rule in rules.items():
        allowed = (FEEDFORWARD,) if _is_feedforward(name, rule) else circuit.learning_names
        if name not in allowed:
            raise ValueError(
                f"{type(rule).__name__} cannot learn the synapses '{name}' of a "
                f"{type(circuit).__name__}; it learns "
                f"{' or '.join(allowed) or 'none of them'} (give plasticity={{name: rule}})"
            )
        checks.positive("tau_l_ms", rule.tau_l_ms)
        if name != FEEDFORWARD:
            example = "Brian2's expression, such as 'r_pre*(r_post - W)'"
            instance(f"the change of {type(rule).__name__}", rule.change, str, example)
            check_names(rule, "parameters", rule.parameters, RECURRENT_NAMES)
    feedforward = rules.pop(FEEDFORWARD, None)
    if feedforward is not None:
        _check_feedforward(feedforward, circuit)
    return feedforward, rules


def _is_feedforward(name: str, rule: Any) -> bool:
    """Return whether a rule is for feed-forward synapses; else it is one between cells."""
    what = f"the rule for '{name}'"
    examples = "KrotovHopfield(), Oja(), Homeostatic()"
    checks.instance(what, rule, object, examples)
    if not checks.lacking(rule, SpikeRule):
        raise ValueError(
            f"{what} is a {type(rule).__name__}, which learns by spikes: cells of this "
            f"circuit have rates, so give {examples}, or use neurodyn.SpikingNetwork"
        )
    if not checks.lacking(rule, FeedforwardRule):
        return True
    protocol = FeedforwardRule if name == FEEDFORWARD else RecurrentRule
    if checks.lacking(rule, RecurrentRule):
        checks.satisfies(what, rule, protocol, examples)
    return False


def check_names(rule: Any, what: str, values: Any, taken: set[str]) -> None:
    """Refuse parameters or states of a rule that the engine would not use as they are."""
    kind = type(rule).__name__
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} of {kind} is {values!r}: a mapping by name is needed")
    for name, value in values.items():
        if not isinstance(name, str):
            raise ValueError(f"{what} of {kind} has the name {name!r}: give a string")
        if name in taken:
            raise ValueError(
                f"{what} of {kind} has the name '{name}', which the engine uses itself: "
                "choose another"
            )
        number = getattr(value, "dim", None) is not None or isinstance(
            value, (int, float, np.number)
        )
        if not number or np.ndim(value) or not np.isfinite(np.asarray(value)):
            raise ValueError(
                f"{what} of {kind}: '{name}' is {value!r}, but a finite number is needed"
            )


def _check_feedforward(rule: FeedforwardRule, circuit: Circuit) -> None:
    check_names(rule, "parameters", rule.parameters, FEEDFORWARD_NAMES)
    check_names(rule, "states", rule.states, FEEDFORWARD_NAMES)
    if not isinstance(rule.decay, str) or not rule.decay.strip():
        raise ValueError(
            f"the decay of {type(rule).__name__} is {rule.decay!r}: Brian2's expression is "
            "needed, such as 'g*I' or '0'"
        )
    checks.positive("radius", rule.radius)
    check_timing(rule.timing)
    if not isinstance(rule.activation, str) or not re.search(
        r"^\s*g\s*=.+:\s*1\b", rule.activation, re.MULTILINE
    ):
        raise ValueError(
            f"the activation of {type(rule).__name__} is {rule.activation!r}: Brian2's "
            "equation for g is needed, such as 'g = int(h >= 0.2) : 1'"
        )
    equations = set(re.findall(r"\bd(\w+)/dt\s*=", rule.activation))
    for name in sorted(equations ^ set(rule.states)):
        raise ValueError(
            f"states of {type(rule).__name__} are {list(rule.states)}, but its activation "
            f"has {'an' if name in equations else 'no'} equation d{name}/dt = ...: give "
            "each state both, its equation and its value at the start"
        )
    if rule.p != circuit.p:
        raise ValueError(
            f"the rule has p = {rule.p:g}, the circuit p = {circuit.p:g}: drive and "
            "weights have one metric, so give both the same"
        )
