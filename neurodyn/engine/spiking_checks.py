"""Checks of what a spiking network is given, before anything is built."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks, times
from neurodyn.circuits.spiking import SpikingInhibition
from neurodyn.plasticity.protocols import SpikeRule
from neurodyn.recording import SpikeRecording
from neurodyn.stimulus import PoissonPresentation

LARGEST_CHANCE = 0.1  # of a spike of the input in a time step


def check_circuit(circuit: Any) -> None:
    """Refuse a circuit of other cells."""
    example = "a circuit of spiking cells, SpikingInhibition()"
    if hasattr(circuit, "tau_ms") and not isinstance(circuit, type | SpikingInhibition):
        raise ValueError(
            f"circuit is a {type(circuit).__name__}, whose cells have rates: give "
            f"{example}, or run it with neurodyn.simulate"
        )
    checks.instance("circuit", circuit, SpikingInhibition, example)


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
    highest = bank.max() * stimulus.highest_hz
    if highest * dt_ms / 1000 > LARGEST_CHANCE * (1 + 1e-9):
        shorter = f"give dt_ms up to {1000 * LARGEST_CHANCE / highest:.3g}"
        raise ValueError(
            f"pixels fire at up to {highest:g} Hz (value {bank.max():g} times "
            f"{stimulus.highest_hz:g} Hz), {highest * dt_ms / 1000:.3g} spikes in a time "
            f"step of {dt_ms:g} ms: at most {LARGEST_CHANCE:g} are allowed, so "
            + ("divide images by 255" if bank.max() > 100 else shorter)
            + ", or lower the rates"
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


def check_decayed(circuit: SpikingInhibition, theta: NDArray[np.float64]) -> None:
    """Refuse θ (unit) [mV] that has decayed until cells fire without input."""
    silent_below = max(circuit.rest_exc_mv, circuit.reset_exc_mv)
    firing = circuit.threshold_exc_mv + theta <= silent_below
    if firing.any():
        raise ValueError(
            f"θ of {np.count_nonzero(firing)} of {theta.size} cells has decayed, the "
            f"lowest to {theta.min():.3g} mV: they fire without input, so give a longer "
            f"tau_theta_ms (it is {circuit.tau_theta_ms:g}) or a higher threshold_exc_mv"
        )


def warn_of_decay(circuit: SpikingInhibition, theta: NDArray[np.float64]) -> None:
    """Warn of θ that `check_decayed` refuses."""
    try:
        check_decayed(circuit, theta)
    except ValueError as error:
        checks.warn(str(error))


def warn_of_silence(
    silent: NDArray[np.intp], number: int, stimulus: PoissonPresentation
) -> None:
    """Warn of presentations to which no E cell fired."""
    if len(silent):
        listed = ", ".join(map(str, silent[:10])) + ", ..." * (len(silent) > 10)
        checks.warn(
            f"{len(silent)} of {number} presentations had no spike of an E cell even at "
            f"the highest rate ({stimulus.highest_hz:g} Hz): numbers {listed}. Raise the "
            "weights or rates, or leave dark images out"
        )


def check_files(out: Path | None, checkpoint: Path | None) -> None:
    """Refuse one file for traces and network."""
    if out is not None and checkpoint is not None and out.resolve() == checkpoint.resolve():
        raise ValueError(
            f"checkpoint and out are both {out}: give them different files, one for the "
            "network and one for the traces"
        )


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
        stride = times.steps("samples_ms", recording.samples_ms, dt_ms)
        _, period = stimulus.steps(dt_ms)
        if period % stride:  # or samples would depend on where the simulation is cut
            raise ValueError(
                f"samples_ms is {recording.samples_ms:g}, which does not divide the "
                f"{stimulus.period_ms:g} ms from one image to the next: give an interval "
                "that does"
            )
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
