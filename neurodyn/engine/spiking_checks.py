"""Checks of what a spiking network is given, before anything is built."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks, times
from neurodyn.circuits.spiking import (
    ADAPTIVE_THETA,
    CELL,
    COUNT,
    TOTAL,
    SpikingInhibition,
)
from neurodyn.engine import ambient
from neurodyn.engine.poisson import PIXELS
from neurodyn.engine.spec import described
from neurodyn.engine.spiking_cells import names_of
from neurodyn.plasticity.bounds import check_bounds
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule, SpikeRule
from neurodyn.recording import SpikeRecording
from neurodyn.stimulus import PoissonPresentation

LARGEST_CHANCE = 0.1  # of a spike of the input in a time step
RULES = "DiehlCook(), PairSTDP(), TripletSTDP()"
EQUATIONS = ("pre_traces", "post_traces", "at_pre", "at_post", "on_pre", "on_post")
CLOCKS = {"t", "dt", "t_in_timesteps", "i", "j", "N", "lastspike", "not_refractory"}


def check_circuit(circuit: Any) -> None:
    """Refuse a circuit of other cells."""
    example = "a circuit of spiking cells, SpikingInhibition()"
    if hasattr(circuit, "tau_ms") and not isinstance(circuit, type | SpikingInhibition):
        raise ValueError(
            f"circuit is a {type(circuit).__name__}, whose cells have rates: give "
            f"{example}, or run it with neurodyn.simulate"
        )
    checks.instance("circuit", circuit, SpikingInhibition, example)


def check_rule(rule: Any) -> None:
    """Refuse a rule of rates, and one whose names are those of the cells."""
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
    for name in EQUATIONS:
        example = "Brian2's code, such as 'x += 1', or an empty string"
        checks.instance(
            f"{name} of {type(rule).__name__}", getattr(rule, name), str, example
        )
    example = "a dict of the values of the names in its code"
    checks.instance("the rule's parameters", rule.parameters, Mapping, example)
    w_max, total = checks.number("w_max", rule.w_max), rule.total
    check_bounds(w_max, None if total is None else checks.number("total", total))
    with ambient.one_at_a_time:
        ambient.load_brian2()
    with ambient.brian2_errors():
        traces = {*names_of(rule.pre_traces), *names_of(rule.post_traces)}
    names = traces | set(rule.parameters)
    if taken := sorted(names & _taken()):
        raise ValueError(
            f"{type(rule).__name__} has a trace or parameter named {', '.join(taken)}, "
            "which are names of the network: choose others"
        )


def described_rule(rule: SpikeRule | None) -> dict[str, Any]:
    """Return the class, the settings and the equations of a rule."""
    if rule is None:
        return {"name": "none"}
    return described(rule) | {name: getattr(rule, name) for name in EQUATIONS}


def _taken() -> set[str]:
    """Return the names of cells, pixels and synapses."""
    import brian2 as b2

    equations = (CELL, COUNT, TOTAL, ADAPTIVE_THETA, PIXELS)
    return {name for text in equations for name in b2.Equations(text).names} | CLOCKS


def weights(circuit: SpikingInhibition, given: ArrayLike, rule: Any) -> NDArray[np.float64]:
    """Return weights (unit, pixel) from the input, which excites E cells.

    Raises
    ------
    ValueError
        If one is negative or above the rule's largest, or a cell has none to be scaled.
    """
    matrix = checks.array("weights", given, ("unit", "pixel"))
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"weights have shape {matrix.shape}: (unit, pixel) is needed")
    if matrix.min() < 0:
        unit, pixel = np.argwhere(matrix < 0)[0]
        raise ValueError(
            f"{np.count_nonzero(matrix < 0)} of {matrix.size} weights are negative, the "
            f"first of unit {unit} from pixel {pixel} ({matrix[unit, pixel]:g}): the input "
            "excites E cells, so train with excitatory inputs (column_signs), or clip at 0"
        )
    if rule is not None:
        if matrix.max() > rule.w_max:
            raise ValueError(
                f"the largest weight is {matrix.max():g}, but the rule keeps weights up to "
                f"w_max = {rule.w_max:g}: scale the weights, or raise w_max"
            )
        if rule.total is not None:
            _check_total(matrix, rule)
    circuit.matrices(len(matrix))
    return matrix


def _check_total(matrix: NDArray[np.float64], rule: SpikeRule) -> None:
    """Refuse weights that cannot be scaled to the sum that a rule keeps."""
    if rule.total is not None and rule.total > matrix.shape[1] * rule.w_max:
        raise ValueError(
            f"total is {rule.total:g}, but {matrix.shape[1]} weights up to w_max = "
            f"{rule.w_max:g} have no such sum: give total up to "
            f"{matrix.shape[1] * rule.w_max:g} (0.1 for each pixel is published), or None"
        )
    empty = np.flatnonzero(~matrix.any(axis=1))
    if len(empty):
        raise ValueError(
            f"{len(empty)} units have weights of 0 only, the first is {empty[0]}: the rule "
            "cannot scale them to their sum `total`, so give them some, or total=None"
        )


def images(
    given: ArrayLike, num_pixels: int, stimulus: PoissonPresentation, dt_ms: float
) -> NDArray[np.float64]:
    """Return images (image, pixel) whose rates a time step can carry.

    Raises
    ------
    ValueError
        If a pixel is negative, the rates are too high, or the number of pixels is wrong.
    """
    bank = checks.rates("images", given)
    if bank.shape[1] != num_pixels:
        raise ValueError(
            f"images have {bank.shape[1]} pixels, the weights {num_pixels} per unit: give "
            "images of the size that the network was built for"
        )
    if bank.min() < 0:
        raise ValueError(
            f"the smallest pixel is {bank.min():g}: pixels fire at rates in proportion to "
            "their values, so give images of 0 or more (not centred)"
        )
    highest = bank.max() * stimulus.max_rate_hz
    if highest * dt_ms / 1000 > LARGEST_CHANCE * (1 + 1e-9):
        raise ValueError(
            f"pixels fire at up to {highest:g} Hz (value {bank.max():g} times max_rate_hz "
            f"{stimulus.max_rate_hz:g}), {highest * dt_ms / 1000:.3g} spikes in a time "
            f"step of {dt_ms:g} ms: at most {LARGEST_CHANCE:g} are allowed, so give dt_ms "
            f"up to {1000 * LARGEST_CHANCE / highest:.3g}, or lower rates"
        )
    return bank


def theta_mv(given: ArrayLike, num_units: int) -> NDArray[np.float64]:
    """Return θ (unit) [mV]; ValueError if it is negative, or of another number of units."""
    theta = np.asarray(checks.numbers("theta_mv", given), np.float64)
    checks.not_negative("theta_mv", theta, "θ")
    if theta.ndim and theta.shape != (num_units,):
        raise ValueError(
            f"theta_mv has shape {theta.shape}: one number or ({num_units},) is needed, "
            "one for each unit"
        )
    return np.broadcast_to(theta, num_units)


def check_copies(
    copies: int, stimulus: PoissonPresentation, recording: SpikeRecording
) -> None:
    """Refuse images side by side that would not be as images in turn."""
    checks.at_least_one("batch_size", copies, "image is shown at a time")
    if copies > 1 and not stimulus.reset:
        raise ValueError(
            f"batch_size is {copies}, but cells carry their potentials over from one image "
            "to the next: give the stimulus reset=True, or show images one by one"
        )
    if copies > 1 and (recording.spikes or recording.samples_ms is not None):
        raise ValueError(
            f"batch_size is {copies}, but spikes and samples are recorded along the time "
            "of one circuit: show images one by one (batch_size=1)"
        )


def check_recording(
    recording: SpikeRecording,
    stimulus: PoissonPresentation,
    dt_ms: float,
    phase: str,
    num_images: int,
    shape: tuple[int, ...],
) -> None:
    """Refuse recordings that do not fit the time step or the phase, or are too large."""
    size = 0.0
    if recording.samples_ms is not None:
        times.steps("samples_ms", recording.samples_ms, dt_ms)
        samples = num_images * stimulus.period_ms / recording.samples_ms
        size += 3 * samples * shape[0] * 8
    if recording.weights_every is not None:
        if phase != "train":
            raise ValueError(
                f"weights_every is {recording.weights_every}, but {phase} does not change "
                "weights: leave it out"
            )
        size += (num_images / recording.weights_every + 1) * math.prod(shape) * 8
    if size > recording.limit_gib * 2**30:
        raise ValueError(
            f"samples and weights would take {size / 2**30:.3g} GiB, more than limit_gib = "
            f"{recording.limit_gib:g}: record less often, or raise it"
        )
