"""Run a simulation: build once, run chunk by chunk, or circuit by circuit."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn import times
from neurodyn.engine import backends, network
from neurodyn.engine.ambient import brian2_errors
from neurodyn.engine.network import BuiltNetwork
from neurodyn.engine.runtime import Report, Run
from neurodyn.engine.spec import Spec
from neurodyn.engine.timeline import Timeline
from neurodyn.plasticity.protocols import FEEDFORWARD

type Advance = Callable[[float], object]  # called with simulated milliseconds

CHUNK_BYTES = 2**26  # of traces, written to a file together
CHUNK_PRESENTATIONS = 1000
CHUNK_SECONDS = 5.0  # of computing time, lost at most when a run is stopped
# Guessed time of a step, and of each value that it changes [s]: the first chunk then takes
# CHUNK_SECONDS on the slowest backend. For later chunks, the time is measured.
STEP_SECONDS, VALUE_SECONDS = 5e-4, 1e-8
COMPLETE = (
    "the simulation has run, and its network is complete: add objects and operations "
    "before the first run"
)
DIVERGED = 10  # times the largest initial weight, or the norm R of the rule


@dataclass(frozen=True, kw_only=True)
class Records:
    """Traces and weights of consecutive presentations."""

    samples: dict[str, NDArray[np.float64]]
    """Traces over time or presentations."""
    snapshots: dict[str, NDArray[np.float64]]
    """Weights (snapshot, synapse), by the synapses' names."""
    weights: dict[str, NDArray[np.float64]]
    """Weights (synapse) at the end, of those that learn."""
    num_presentations: int
    seconds: float


class Execution:
    """A network that is built once, for simulations that differ in values only."""

    def __init__(self, spec: Spec, *, in_memory: bool = True) -> None:
        """Build the network of a simulation.

        `in_memory` says whether its records are kept in memory, or written to a file.
        """
        self._spec, self._in_memory = spec, in_memory
        self._loaded = spec  # whose images and weights are in the network
        self._length = chunk_length(spec, in_memory=in_memory)
        self._run: Run | None = None
        self._added: list[Any] = []
        self._states: list[tuple[Any, Any]] = []
        self._parts = 0
        timeline = timeline_of(spec, -(-self._length // spec.batch_size))
        self.session = backends.Session(spec.backend, threads=spec.threads)
        with self.session.active(), brian2_errors():
            self.built = network.build(spec, timeline, drive=_drive_side_by_side(spec))
        _in_a_network(self.built.objects, "to be run")

    def add(self, objects: Sequence[Any]) -> None:
        """Add Brian2 objects to the network.

        Raises
        ------
        ValueError
            If it has been compiled.
        """
        if self._run is not None:
            raise ValueError(COMPLETE)
        self.built.objects.extend(objects)
        self._added.extend(objects)
        _in_a_network(objects, "to be run")

    def records(self, spec: Spec, advance: Advance) -> Iterator[Records]:
        """Run a simulation from its start, chunk by chunk, and yield the records."""
        built = self.built
        with self.session.active():
            self._check(spec)
            parameters = built.parameters(spec)
            if not _same_inputs(spec, self._loaded):
                parameters |= built.inputs(spec, drive=_drive_side_by_side(spec))
            start: dict[Any, Any] = {}
            if self._run is None:
                self._states = self._states_of_added()
                _in_a_network(built.objects, None)
                with brian2_errors():
                    self._run = self.session.compile(built.objects)
                self._parts = self._number_of_parts()
            else:
                start = built.initial_state(spec.weights[spec.pairs])
                start = {key: start[key] for key in start.keys() - parameters.keys()}
                for item, state in self._states:
                    item._restore_from_full_state(state)
            if spec.backend not in backends.DEVICES:  # programs begin as they were built
                self._loaded = spec
            chunks = _side_by_side if spec.batch_size > 1 else _one_after_another
            pieces = _pieces(
                spec, self._length, in_memory=self._in_memory, timed=not self._added
            )
            yield from chunks(spec, built, self._run, pieces, parameters, start, advance)

    def _check(self, spec: Spec) -> None:
        """Refuse a run that objects which were added would not see, or not whole."""
        if self._run is not None and self._number_of_parts() != self._parts:
            raise ValueError(COMPLETE)
        if self._added and len(spec.order) > self._length:
            raise ValueError(
                f"there are {len(spec.order)} presentations, but a run with added objects "
                f"has at most {self._length}: show fewer in each run"
            )

    def _number_of_parts(self) -> int:
        """Return the number of objects with what belongs to them, such as operations."""
        parts = list(self.built.objects)
        for part in parts:
            parts += part.contained_objects
        return len(parts)

    def _states_of_added(self) -> list[tuple[Any, Any]]:
        """Return the added objects with their states, to start again from these.

        A compiled program does so itself.
        """
        if self._spec.backend in backends.DEVICES:
            return []
        own = [item for item in self._added if hasattr(item, "_full_state")]
        return [(item, item._full_state()) for item in own]

    def close(self) -> None:
        """Remove the folder of a compiled program."""
        self.session.close()


def _same_inputs(one: Spec, other: Spec) -> bool:
    """Return whether two simulations show the same images through the same weights."""
    if one is other or one.batch_size > 1:
        return one is other
    return np.array_equal(one.images, other.images) and np.array_equal(
        one.weights, other.weights
    )


def _in_a_network(objects: Sequence[Any], network_id: str | None) -> None:
    """Say what network objects are in: Brian2 warns of those that are in none."""
    for item in objects:
        item._network = network_id


def chunks(spec: Spec, advance: Advance, *, in_memory: bool) -> Iterator[Records]:
    """Build once, run chunk after chunk, and yield their records."""
    execution = Execution(spec, in_memory=in_memory)
    try:
        yield from execution.records(spec, advance)
    finally:
        execution.close()


def _one_after_another(
    spec: Spec,
    built: BuiltNetwork,
    run: Run,
    pieces: Iterator[tuple[int, int]],
    parameters: Mapping[Any, Any],
    start: Mapping[Any, Any],
    advance: Advance,
) -> Iterator[Records]:
    """Run chunks with these parameters: the first from `start`, the next from its end."""
    state = start
    for first, end in pieces:
        images = spec.order[first:end]
        values = {**parameters, **built.values(images, state, first=first, seed=spec.seed)}
        duration = built.timeline.duration(len(images))
        seconds = run(values, duration, _report(spec, len(images), advance))
        yield _finished(spec, built, len(images), seconds, first=first == 0)
        state = built.state() if end < len(spec.order) else {}


def _pieces(
    spec: Spec, length: int, *, in_memory: bool, timed: bool = True
) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the presentations of each chunk, at most `length`.

    If a run writes to a file, or its backend reports no progress, a chunk is as long as
    takes about CHUNK_SECONDS, estimated from the time of the previous chunk. With `timed`
    False it has the full length.
    """
    timed = timed and (not in_memory or spec.backend in backends.DEVICES)
    block, total, first = _block(spec), len(spec.order), 0
    count = CHUNK_SECONDS / _guessed_seconds(spec) if timed else length
    while first < total:
        end = min(first + min(max(int(count // block), 1) * block, length), total)
        begin = time.perf_counter()
        yield first, end
        if timed:
            spent = time.perf_counter() - begin
            count = min((end - first) * CHUNK_SECONDS / max(spent, 1e-6), length)
        first = end


def _guessed_seconds(spec: Spec) -> float:
    """Return a guess of the time that a presentation takes [s]."""
    values = len(spec.weights) + sum(
        matrix.size for matrix in spec.circuit.matrices(len(spec.weights)).values()
    )
    if spec.window_ms:
        values += spec.weights.size
    _, period_steps = spec.stimulus.steps(spec.dt_ms)
    return period_steps * (STEP_SECONDS / spec.batch_size + VALUE_SECONDS * values)


def _report(spec: Spec, num_presentations: int, advance: Advance) -> Report:
    """Return a function that turns the completed share of a run into calls of `advance`."""
    total, before = num_presentations * spec.stimulus.period_ms, 0.0

    def report(share: float) -> None:
        nonlocal before
        advance((share - before) * total)
        before = share

    return report


def timeline_of(spec: Spec, num_presentations: int) -> Timeline:
    """Return the clocks of a simulation with room for so many presentations."""
    rest_steps, period_steps = spec.stimulus.steps(spec.dt_ms)
    return Timeline(
        dt_ms=spec.dt_ms,
        rest_steps=rest_steps,
        period_steps=period_steps,
        num_presentations=num_presentations,
        num_frames=spec.stimulus.num_frames,
        weight_dtype=np.dtype(spec.weight_dtype).type,
    )


def _finished(
    spec: Spec,
    built: BuiltNetwork,
    num_presentations: int,
    seconds: float,
    *,
    first: bool,
) -> Records:
    """Return the records of the last run, after checks of its weights and activity."""
    samples, snapshots = built.records(num_presentations, first=first)
    weights = built.weights()
    for name, flat in weights.items():
        _check_weights(spec, name, flat)
    if not np.isfinite(network.read(built.circuit.units, "h")).all():
        raise ValueError(
            "activity grows without bound: self-excitation outruns inhibition (lower "
            "w_self or tau_inh_ms), or the time step is too long (lower dt_ms)"
        )
    return Records(
        samples=samples,
        snapshots=snapshots,
        weights=weights,
        num_presentations=num_presentations,
        seconds=seconds,
    )


def _check_weights(spec: Spec, name: str, weights: NDArray[np.float64]) -> None:
    """Refuse weights that left the scale of the initial weights and of the norm R."""
    if not np.isfinite(weights).all():
        raise ValueError(f"the weights '{name}' grew without bound: raise tau_l_ms")
    if name == FEEDFORWARD and spec.feedforward is not None:
        start = abs(spec.weights).max()
        bound = DIVERGED * max(start, spec.feedforward.radius)
        if (largest := abs(weights).max()) > bound:
            raise ValueError(
                f"the weights '{name}' diverge: the largest is {largest:.3g}, at the start "
                f"it was {start:.3g}. Units that unlearn are repelled from the norm R: "
                "lower delta, or raise tau_l_ms"
            )


def _drive_side_by_side(spec: Spec) -> NDArray[np.float64] | None:
    """Return the drive (round, copy and unit) of images that are shown side by side."""
    copies, num_units = spec.batch_size, len(spec.weights)
    if copies == 1:
        return None
    rounds = -(-len(spec.order) // copies)
    drive = np.zeros((rounds * copies, num_units))
    drive[: len(spec.order)] = spec.drive[spec.order]
    return drive.reshape(rounds, copies * num_units)


def _side_by_side(
    spec: Spec,
    built: BuiltNetwork,
    run: Run,
    pieces: Iterator[tuple[int, int]],
    parameters: Mapping[Any, Any],
    start: Mapping[Any, Any],
    advance: Advance,
) -> Iterator[Records]:
    """Run images in copies of the circuit; yield records as if one after another."""
    copies, stride = spec.batch_size, spec.recording.images_every
    for first, end in pieces:
        rounds, num_images = np.arange(first // copies, -(-end // copies)), end - first
        values = built.values(rounds, start, first=first, seed=spec.seed)
        seconds = run(
            {**parameters, **values},
            built.timeline.duration(len(rounds)),
            _report(spec, num_images, advance),
        )
        done = _finished(spec, built, len(rounds), seconds, first=True)
        samples = {}
        for trace, recorded in done.samples.items():
            if trace in network.IMAGE_TRACES:
                images = recorded.reshape(len(rounds) * copies, -1)[:num_images]
                samples[trace] = images[(stride or 1) - 1 :: stride or 1]
            else:
                samples[trace] = _in_turn(recorded, copies, num_images, first=first == 0)
        yield replace(done, samples=samples, num_presentations=num_images)


def _in_turn(
    values: NDArray[np.float64], copies: int, num_images: int, *, first: bool
) -> NDArray[np.float64]:
    """Return the samples (time, unit) of images side by side, as if one after another.

    The sample at time 0 is kept for the `first` chunk only.
    """
    num_units = values.shape[1] // copies
    start, rest = values[: int(first), :num_units], values[1:]
    rounds = -(-num_images // copies)
    by_image = rest.reshape(rounds, -1, copies, num_units).swapaxes(1, 2)
    by_image = by_image.reshape(rounds * copies, -1, num_units)[:num_images]
    return np.concatenate([start, by_image.reshape(-1, num_units)])


def chunk_length(spec: Spec, *, in_memory: bool) -> int:
    """Return the number of presentations that run, and are written to a file, together.

    Raises
    ------
    ValueError
        If those are more time steps than are allowed.
    """
    total, (_, period_steps) = len(spec.order), spec.stimulus.steps(spec.dt_ms)
    block = _block(spec)
    most = times.MOST_STEPS // period_steps * spec.batch_size
    if min(block, total) > most:
        raise ValueError(
            f"the strides of the recording meet after {block} presentations, "
            f"{block * period_steps} time steps: at most {times.MOST_STEPS} are "
            "allowed, so choose strides with a smaller common multiple"
        )
    if not in_memory:
        size = max(spec.check_size(), 1)
        most = min(most, CHUNK_PRESENTATIONS, int(total * CHUNK_BYTES / size))
    return min(max(most // block, 1) * block, total)


def _block(spec: Spec) -> int:
    """Return the smallest number of presentations in a chunk."""
    _, period_steps = spec.stimulus.steps(spec.dt_ms)
    block = spec.recording.block(
        period_steps=period_steps, sample_steps=spec.recording.sample_steps(spec.dt_ms)
    )
    return math.lcm(block, spec.batch_size)


def write_source(spec: Spec, folder: Path, *, make: bool) -> None:
    """Write the program of a compiled backend to a folder; also compile it with `make`."""
    timeline = timeline_of(spec, len(spec.order))
    with backends.activated(spec.backend, folder=folder, make=make) as compiler:
        compiler(network.build(spec, timeline).objects)
