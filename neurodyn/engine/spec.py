"""What a simulation is asked to do, checked before anything is built."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks, times
from neurodyn.checks import instance, time_ms, whole
from neurodyn.circuits.dale import DaleInhibition
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.circuits.noise import seeds
from neurodyn.engine import backends
from neurodyn.engine.feedforward import drive as drive_of
from neurodyn.engine.hebbian import InputRule
from neurodyn.engine.network import INPUT, AnyCircuit, Rules
from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.plasticity.krotov_hopfield import KrotovHopfield
from neurodyn.plasticity.timing import Continuous, Gated, Settled
from neurodyn.recording import Recording
from neurodyn.stimulus import Presentation, checked_order

SHORT = 100  # a chosen time step that is so many times shorter than need be is told of


@dataclass(frozen=True, kw_only=True, eq=False)
class Spec:
    """A simulation as it will be run."""

    circuit: AnyCircuit
    images: NDArray[np.float64]
    weights: NDArray[np.float64]
    order: NDArray[np.intp]
    rules: Rules
    stimulus: Presentation
    recording: Recording
    backend: str
    dt_ms: float
    batch_size: int
    seed: int
    drive: NDArray[np.float64]
    """Of each image of the bank, with the weights given (image, unit)."""

    def check_size(self, *, trials: int = 1) -> int:
        """Return the bytes of the traces; as `Recording.check_size`."""
        return self.recording.check_size(
            num_presentations=trials * len(self.order),
            period_ms=self.stimulus.period_ms,
            num_units=len(self.weights),
            num_inh=self.circuit.num_inh,
            num_synapses=self.weights.size,
        )

    @property
    def config(self) -> dict[str, Any]:
        """All settings."""
        rules = {name: _described(rule) for name, rule in self.rules.items()}
        for name, rule in self.rules.items():
            if not isinstance(rule, Homeostatic):
                rules[name]["timing"] = _described(rule.timing)
        return {
            "circuit": _described(self.circuit),
            "plasticity": rules,
            "stimulus": asdict(self.stimulus),
            "recording": asdict(self.recording),
            "backend": self.backend,
            "dt_ms": self.dt_ms,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def _described(settings: Any) -> dict[str, Any]:
    """Return an object's settings, and its name."""
    values = asdict(settings) if is_dataclass(settings) else vars(settings)
    return {"name": type(settings).__name__, **values}


def validate(
    circuit: AnyCircuit,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: "InputRule | Mapping[str, InputRule | Homeostatic] | None",
    stimulus: Presentation | None,
    order: ArrayLike | None,
    recording: Recording | None,
    backend: str,
    dt_ms: float | None,
    batch_size: int,
    seed: int,
) -> Spec:
    """Return what is asked for, with defaults filled in.

    Raises
    ------
    ValueError
        As `simulate`.
    """
    stimulus = Presentation() if stimulus is None else stimulus
    recording = Recording() if recording is None else recording
    circuits = LateralInhibition | DaleInhibition
    instance("circuit", circuit, circuits, "LateralInhibition() or DaleInhibition()")
    instance("stimulus", stimulus, Presentation, "Presentation()")
    instance("recording", recording, Recording, "Recording()")
    batch_size, seed = whole("batch_size", batch_size), whole("seed", seed)
    seeds(seed)
    bank, matrix = _arrays(images, weights)
    circuit.check_size(len(matrix))
    _check_signs(matrix, circuit.input_sign)
    shown = checked_order(order, len(bank))
    rules = _rules(plasticity, circuit)
    backend = backends.resolve(backend)
    drive = drive_of(bank, matrix, p=circuit.p)
    if dt_ms is not None:
        dt_ms = time_ms("dt_ms", dt_ms)
        checks.positive("dt_ms", dt_ms, "the time step")
    dt_ms = _time_step(circuit, stimulus, drive, dt_ms, recording, rules)
    if recording.weights_every and not rules:
        raise ValueError(
            "weights_every is given, but no rule moves the weights: give plasticity"
        )
    for rule in rules.values():
        _check_rate(rule, circuit, stimulus, drive, dt_ms)
    _check_batch(batch_size, rules, stimulus, recording, dt_ms)
    spec = Spec(
        circuit=circuit,
        images=bank,
        weights=matrix,
        order=shown,
        rules=rules,
        stimulus=stimulus,
        recording=recording,
        backend=backend,
        dt_ms=dt_ms,
        batch_size=batch_size,
        seed=seed,
        drive=drive,
    )
    spec.check_size()
    return spec


def _arrays(
    images: ArrayLike, weights: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bank = checks.rates("images", images)
    matrix = checks.array("weights", weights, ("unit", "pixel"))
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"weights have shape {matrix.shape}: (unit, pixel) is needed")
    if matrix.shape[1] != bank.shape[1]:
        raise ValueError(
            f"the weights have {matrix.shape[1]} pixels per unit, the images "
            f"{bank.shape[1]}: use weights that were trained on images of this size"
        )
    return bank, matrix


def _check_signs(weights: NDArray[np.float64], sign: int) -> None:
    wrong = weights * sign < 0
    if wrong.any():
        unit, pixel = np.argwhere(wrong)[0]
        kind = "excitatory" if sign > 0 else "inhibitory"
        raise ValueError(
            f"{np.count_nonzero(wrong)} of {weights.size} weights have the wrong sign, the "
            f"first of unit {unit} from pixel {pixel} ({weights[unit, pixel]:g}): this "
            f"circuit's inputs are {kind} (input_sign={sign}). Train with that constraint, "
            "or give the circuit input_sign=0"
        )


def _rules(
    plasticity: "InputRule | Mapping[str, InputRule | Homeostatic] | None",
    circuit: AnyCircuit,
) -> dict[str, InputRule | Homeostatic]:
    if plasticity is None:
        return {}
    rules = dict(plasticity) if isinstance(plasticity, Mapping) else {INPUT: plasticity}
    for name, rule in rules.items():
        instance(
            f"the rule for '{name}'",
            rule,
            InputRule | Homeostatic,
            "KrotovHopfield(), Oja(), Homeostatic(), or a rule with what "
            "`synapses.hebbian.InputRule` lists",
        )
        allowed = circuit.learning_names if isinstance(rule, Homeostatic) else (INPUT,)
        if name not in allowed:
            raise ValueError(
                f"{type(rule).__name__} cannot learn the synapses '{name}' of a "
                f"{type(circuit).__name__}; it learns "
                f"{' or '.join(allowed) or 'none of them'} (give plasticity={{name: rule}})"
            )
        if not isinstance(rule, Homeostatic) and rule.p != circuit.p:
            raise ValueError(
                f"the rule has p = {rule.p:g}, the circuit p = {circuit.p:g}: drive and "
                "weights have one metric, so give both the same"
            )
    return rules


def _time_step(
    circuit: AnyCircuit,
    stimulus: Presentation,
    drive: NDArray[np.float64],
    dt_ms: float | None,
    recording: Recording,
    rules: Rules,
) -> float:
    windows = _windows_ms(rules, stimulus)
    others = [*windows]
    if recording.activity_ms is not None:
        others.append(recording.activity_ms)
    reset = stimulus.reset
    if dt_ms is None:
        bound = circuit.default_step_ms(drive, reset=reset)
        if any(isinstance(getattr(r, "timing", None), Continuous) for r in rules.values()):
            # What is learned in the first steps depends on who overshoots in them.
            bound = min(bound, circuit.safe_step_ms(drive, reset=reset))
        dt_ms = stimulus.fitting_step(bound, *others)
        while dt_ms < 0.999 * bound and not circuit.is_stable(drive, dt_ms, reset=reset):
            dt_ms = stimulus.fitting_step(dt_ms / 2, *others)
        if dt_ms < bound / SHORT:
            checks.warn(
                f"the time step is {dt_ms:.3g} ms, {bound / dt_ms:.0f} times shorter than "
                "this circuit needs, since no longer one divides all times: choose times "
                "in simple ratios, such as an activity_ms that divides image_ms",
            )
    elif not circuit.is_stable(drive, dt_ms, reset=reset):
        safe = float(f"{0.995 * circuit.safe_step_ms(drive, reset=reset):.3g}")
        while not circuit.is_stable(drive, safe, reset=reset):
            safe = float(f"{safe / 2:.3g}")
        raise ValueError(
            f"dt_ms is {dt_ms:g}: Euler's method is not stable with that step for this "
            f"circuit and these images; one of {safe:g} ms is. Leave it out to have one "
            "chosen"
        )
    stimulus.steps(dt_ms)
    recording.sample_steps(dt_ms)
    for window_ms in windows:
        times.steps("last_ms", window_ms, dt_ms)
    return dt_ms


def _windows_ms(rules: Rules, stimulus: Presentation) -> list[float]:
    """Return how long gated rules learn in each presentation [ms]."""
    timings = [getattr(rule, "timing", None) for rule in rules.values()]
    return [t.window_ms(stimulus.image_ms) for t in timings if isinstance(t, Gated)]


def _check_rate(
    rule: InputRule | Homeostatic,
    circuit: AnyCircuit,
    stimulus: Presentation,
    drive: NDArray[np.float64],
    dt_ms: float,
) -> None:
    """Refuse weights that overshoot, warn of weights that move faster than activity."""
    speed, given = _learning_speed(rule, circuit, stimulus, drive)
    speed = max(speed, 1e-300)
    settled = isinstance(getattr(rule, "timing", None), Settled)
    step_ms = stimulus.image_ms if settled else dt_ms
    # Of inhibition, the weights themselves: r_i is what they move with.
    moves = speed**0.5 if isinstance(rule, Homeostatic) else speed
    ratio = float(np.max(circuit.tau_ms)) * moves / rule.tau_l_ms
    if step_ms * speed / rule.tau_l_ms > 1:
        raise ValueError(
            f"tau_l_ms is {rule.tau_l_ms:g}: with {given} the weights move within "
            f"{rule.tau_l_ms / speed:.3g} ms, and one step of {step_ms:g} ms overshoots; "
            f"give at least {step_ms * speed:.3g}"
        )
    if ratio > 1:
        checks.warn(
            f"tau_l_ms is {rule.tau_l_ms:g}: the weights move {ratio:.3g} times as fast as "
            "the activity, so that it never settles on them",
        )


def _learning_speed(
    rule: InputRule | Homeostatic,
    circuit: AnyCircuit,
    stimulus: Presentation,
    drive: NDArray[np.float64],
) -> tuple[float, str]:
    """Return how fast weights relax, in units of 1 / τ_L, and in words with what.

    Under eq. 3 with |g I|, where g depends on h. A unit of negative drive I is inhibited as
    well, so that |h| is above |I|; pooled inhibition at rest is at most the largest drive,
    or w_inh times it. With the g of `KrotovHopfield`, which is 0 for h < 0, such a unit
    learns nothing, unless it is excited or has not come to rest.

    Inhibition that is learned acts on the rate that it depends on: a change of W changes
    the receiving rate by −r_i times that, so the rate relaxes with r_i².
    """
    if isinstance(rule, Homeostatic):
        rate = circuit.largest_inhibiting_rate(drive, reset=stimulus.reset)
        return rate**2, f"inhibitory rates up to {rate:.3g}"
    above, below = np.maximum(drive, 0), np.maximum(-drive, 0)
    inhibited = above.max(axis=1, keepdims=True)
    if isinstance(circuit, LateralInhibition):
        strongest = max(1.0, float(np.max(circuit.w_inh)))
        inhibited = np.minimum(circuit.inhibition(above), strongest * inhibited)
    at_rest = stimulus.reset and isinstance(rule.timing, Settled)
    excited = np.any(getattr(circuit, "w_ee", 0.0))
    if isinstance(rule, KrotovHopfield) and at_rest and not excited:
        below = np.zeros_like(below)
    place = (below * (below + inhibited)).argmax()
    lowest, size = below.flat[place], (below + inhibited).flat[place]
    speed = max(rule.strongest(above.max()) * above.max(), rule.strongest(size) * lowest)
    low, high = (f"{end:.3g}" for end in (drive.min(), drive.max()))
    given = f"drives up to {high}" if drive.min() >= 0 else f"drives from {low} to {high}"
    return float(speed), given


def _check_batch(
    batch_size: int,
    rules: Rules,
    stimulus: Presentation,
    recording: Recording,
    dt_ms: float,
) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: at least 1 image is shown at a time")
    if batch_size == 1:
        return
    if rules:
        raise ValueError(
            f"batch_size is {batch_size}, but the weights learn: images side by side need "
            "static weights (batch_size=1)"
        )
    if not stimulus.reset:
        raise ValueError(
            f"batch_size is {batch_size}, but activity is carried over (reset=False): "
            "images side by side have no order (batch_size=1)"
        )
    if recording.norms or recording.weights_every:
        raise ValueError(
            "images side by side have static weights: nothing of them to record"
        )
    sample_steps = recording.sample_steps(dt_ms)
    if sample_steps and stimulus.steps(dt_ms)[1] % sample_steps:
        raise ValueError(
            f"activity_ms is {recording.activity_ms:g}: with batch_size {batch_size} it "
            f"must divide a presentation, {stimulus.period_ms:g} ms"
        )
