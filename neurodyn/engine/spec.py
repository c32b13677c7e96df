"""The specification of a simulation, validated before anything is built."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks
from neurodyn.checks import instance, whole
from neurodyn.circuits.base import Circuit
from neurodyn.circuits.spiking import SpikingInhibition
from neurodyn.engine import backends, learning_rate, rules, time_step
from neurodyn.engine.backends import Backend
from neurodyn.engine.feedforward import drive as drive_of
from neurodyn.engine.feedforward import pairs
from neurodyn.engine.random import seeds
from neurodyn.engine.rules import Rule
from neurodyn.plasticity.protocols import FEEDFORWARD, FeedforwardRule, RecurrentRule
from neurodyn.recording import Recording
from neurodyn.stimulus import PoissonPresentation, Presentation, Stimulus, checked_order


@dataclass(frozen=True, kw_only=True, eq=False)
class Spec:
    """A validated simulation."""

    circuit: Circuit
    bank: NDArray[np.float64]
    """The images (image, pixel)."""
    images: NDArray[np.float64]
    """The pictures (image and frame, pixel)."""
    weights: NDArray[np.float64]
    connected: NDArray[np.bool_] | None
    """Which synapses from the pixels exist (unit, pixel); None: all."""
    order: NDArray[np.intp]
    feedforward: FeedforwardRule | None
    """Rule of the weights from the pixels."""
    recurrent: Mapping[str, RecurrentRule]
    """Rules of the weights between cells, by the synapses' names."""
    stimulus: Stimulus
    recording: Recording
    backend: str
    threads: int
    weight_dtype: str
    dt_ms: float
    batch_size: int
    seed: int
    drive: NDArray[np.float64]
    """Drive of each picture by the initial weights (image and frame, unit)."""

    def check_size(self, *, trials: int = 1) -> int:
        """Return the size of the traces [bytes]; errors as in `Recording.check_size`."""
        return self.recording.check_size(
            num_presentations=trials * len(self.order),
            period_ms=self.stimulus.period_ms,
            num_units=len(self.weights),
            others={
                name: self.circuit.populations[trace.dims[-1]]
                for name, trace in self.circuit.traces.items()
                if trace.dims[0] == "time" and trace.dims[-1] in self.circuit.populations
            },
            num_synapses=self.weights.size,
        )

    @property
    def settings(self) -> dict[str, str]:
        """The settings in words, but for those of the circuit, which its equations have."""
        config = self.config
        rest, period = self.stimulus.steps(self.dt_ms)
        found = {
            "circuit": config["circuit"]["name"],
            "units, pixels": "{}, {}".format(*self.weights.shape),
            "method": f"Euler, dt = {self.dt_ms:.6g} ms",
            "presentation": f"{period} steps, of them {rest} without input",
            "reset": str(self.stimulus.reset),
            "backend": f"{self.backend}, {self.weight_dtype}",
        }
        for name, rule in config["plasticity"].items():
            found[f"rule of {name}"] = _in_words(rule)
        return found

    @property
    def how(self) -> Backend:
        """The backend with its settings."""
        return Backend(
            name=self.backend, threads=self.threads, weight_dtype=self.weight_dtype
        )

    @property
    def synapses(self) -> NDArray[np.bool_]:
        """Which synapses from the pixels exist (unit, pixel)."""
        return (
            np.ones(self.weights.shape, bool) if self.connected is None else self.connected
        )

    @property
    def given_weights(self) -> Any:
        """The weights as they were given: sparse if not all synapses exist."""
        from scipy import sparse

        if self.connected is None:
            return self.weights
        unit, pixel = self.pairs
        entries = self.weights[unit, pixel], (unit, pixel)
        return sparse.coo_array(entries, shape=self.weights.shape)

    @property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The (unit, pixel) of each synapse from the pixels."""
        return pairs(self.weights, self.connected)

    @property
    def window_ms(self) -> float:
        """How long before the end of a presentation feed-forward learning starts [ms]."""
        return _window_ms(self.feedforward, self.stimulus)

    @property
    def config(self) -> dict[str, Any]:
        """All settings."""
        rules = {name: described(rule) for name, rule in self.recurrent.items()}
        if self.feedforward is not None:
            rules[FEEDFORWARD] = described(self.feedforward)
            rules[FEEDFORWARD]["timing"] = described(self.feedforward.timing)
        return {
            "circuit": described(self.circuit),
            "plasticity": rules,
            "stimulus": described(self.stimulus),
            "recording": asdict(self.recording),
            "backend": self.backend,
            "threads": self.threads,
            "weight_dtype": self.weight_dtype,
            "dt_ms": self.dt_ms,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }


def described(settings: Any) -> dict[str, Any]:
    """Return the class name and the settings of an object."""
    values = asdict(settings) if is_dataclass(settings) else vars(settings)
    return {"name": type(settings).__name__, **values}


def rounded(weights: NDArray[np.float64], dtype: str) -> NDArray[np.float64]:
    """Return weights as they are held in memory."""
    return weights.astype(dtype).astype(np.float64)


def _in_words(described: Mapping[str, Any]) -> str:
    """Return what `described` returns as Class(setting=value, ...)."""
    values = (
        f"{key}={_in_words(value) if isinstance(value, Mapping) else value}"
        for key, value in described.items()
        if key != "name"
    )
    return f"{described['name']}({', '.join(values)})"


def validate(
    circuit: Circuit,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None,
    stimulus: Stimulus | None,
    order: ArrayLike | None,
    recording: Recording | None,
    backend: str | Backend,
    dt_ms: float | None,
    batch_size: int,
    seed: int,
) -> Spec:
    """Return the simulation with defaults filled in; ValueError as in `simulate`."""
    stimulus = Presentation() if stimulus is None else stimulus
    recording = Recording() if recording is None else recording
    if isinstance(circuit, SpikingInhibition):
        raise ValueError(
            f"circuit is a {type(circuit).__name__}, whose cells spike: give it to "
            "neurodyn.SpikingNetwork, or give LateralInhibition() or DaleInhibition()"
        )
    checks.satisfies("circuit", circuit, Circuit, "LateralInhibition(), DaleInhibition()")
    checks.satisfies("stimulus", stimulus, Stimulus, "Presentation()")
    if isinstance(stimulus, PoissonPresentation):
        raise ValueError(
            "stimulus is a PoissonPresentation, of spike trains, but the cells of this "
            "circuit have rates: give Presentation(), or use neurodyn.SpikingNetwork"
        )
    instance("recording", recording, Recording, "Recording()")
    batch_size, seed = whole("batch_size", batch_size), whole("seed", seed)
    seeds(seed)
    how = backend if isinstance(backend, Backend) else Backend(name=backend)
    bank, matrix = _arrays(images, weights)
    matrix = rounded(matrix, how.weight_dtype)
    circuit.check_size(len(matrix))
    _check_signs(matrix, circuit.input_sign)
    feedforward, recurrent = rules.checked(plasticity, circuit)
    pictures = _frames(stimulus, bank)
    drive = drive_of(pictures, matrix, p=circuit.p)
    dt_ms = time_step.choose(
        circuit, stimulus, drive, dt_ms, recording, _window_ms(feedforward, stimulus)
    )
    learns = feedforward is not None or bool(recurrent)
    _check_recording(recording, circuit, learns=learns)
    _check_samples(recording, stimulus, dt_ms, batch_size)
    _check_batch(batch_size, learns, stimulus, recording)
    setting = circuit, stimulus, drive, dt_ms
    if feedforward is not None:
        learning_rate.check_feedforward(feedforward, *setting)
    for name, rule in recurrent.items():
        learning_rate.check_recurrent(name, rule, *setting)
    spec = Spec(
        circuit=circuit,
        bank=bank,
        images=pictures,
        weights=matrix,
        connected=_connected(weights),
        order=checked_order(order, len(bank)),
        feedforward=feedforward,
        recurrent=recurrent,
        stimulus=stimulus,
        recording=recording,
        backend=backends.resolve(how.name),
        threads=how.threads,
        weight_dtype=how.weight_dtype,
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


def _frames(stimulus: Stimulus, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pictures (image and frame, pixel) of images."""
    number = whole("num_frames", stimulus.num_frames)
    checks.at_least_one("num_frames", number, "picture is shown for each image")
    pictures = checks.array("frames", stimulus.frames(images), ("image", "frame", "pixel"))
    shape = len(images), number, images.shape[1]
    if pictures.shape != shape:
        raise ValueError(
            f"frames of {type(stimulus).__name__} have shape {pictures.shape}: (image, "
            f"frame, pixel) is needed, which is {shape}"
        )
    return checks.rates("frames", pictures.reshape(-1, images.shape[1]))


def _connected(weights: Any) -> NDArray[np.bool_] | None:
    """Return which synapses (unit, pixel) exist: the stored entries of a sparse array."""
    from scipy import sparse

    if not sparse.issparse(weights):
        return None
    stored = weights.tocoo()
    if not stored.nnz:
        raise ValueError("weights have no stored entry: without synapses nothing is driven")
    connected = np.zeros(stored.shape, bool)
    connected[stored.coords] = True
    return None if connected.all() else connected


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


def _window_ms(rule: FeedforwardRule | None, stimulus: Stimulus) -> float:
    return 0.0 if rule is None else rule.timing.window_ms(stimulus.image_ms)


def _check_recording(recording: Recording, circuit: Circuit, *, learns: bool) -> None:
    """Refuse to record static weights, or inhibition that the circuit does not have."""
    if recording.weights_every and not learns:
        raise ValueError(
            "weights_every is given, but no rule moves the weights: give plasticity"
        )
    if recording.inhibition and "inhibition" not in circuit.traces:
        raise ValueError(
            f"a {type(circuit).__name__} has no trace of inhibition: leave "
            "Recording(inhibition=True) out"
        )


def _check_samples(
    recording: Recording, stimulus: Stimulus, dt_ms: float, batch_size: int
) -> None:
    """Refuse sampling times that differ between presentations, if they must not."""
    sample_steps = recording.sample_steps(dt_ms)
    if not sample_steps or stimulus.steps(dt_ms)[1] % sample_steps == 0:
        return
    if recording.by_image or batch_size > 1:
        advice = "one by one (batch_size=1), and " if batch_size > 1 else ""
        raise ValueError(
            f"activity_ms is {recording.activity_ms:g}: it must divide a presentation, "
            f"{stimulus.period_ms:g} ms; or record images {advice}with by_image=False, "
            "along one time axis"
        )


def _check_batch(
    batch_size: int,
    learns: bool,
    stimulus: Stimulus,
    recording: Recording,
) -> None:
    checks.at_least_one("batch_size", batch_size, "image is shown at a time")
    if batch_size == 1:
        return
    if stimulus.num_frames > 1:
        raise ValueError(
            f"batch_size is {batch_size}, but each image is shown as {stimulus.num_frames} "
            "pictures: images side by side are still (batch_size=1)"
        )
    if learns:
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
            f"batch_size is {batch_size}, so weights are static and cannot be recorded: "
            "leave norms and weights_every out, or give batch_size=1"
        )
