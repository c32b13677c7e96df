"""Networks of spiking cells: train, observe and test them on spike trains of images."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks
from neurodyn.circuits.spiking import SpikingInhibition, random_weights
from neurodyn.engine import (
    backends,
    spiking_checks,
    spiking_rules,
    spiking_runs,
    spiking_traces,
)
from neurodyn.engine.ambient import usual_errors
from neurodyn.engine.backends import Backend
from neurodyn.engine.random import seeds
from neurodyn.engine.spec import described, rounded
from neurodyn.engine.spiking import Layout, Network, Slots
from neurodyn.engine.spiking_runs import State
from neurodyn.plasticity.protocols import FEEDFORWARD, SpikeRule
from neurodyn.progress import progress_bar
from neurodyn.recording import SpikeRecording
from neurodyn.stimulus import PoissonPresentation, checked_order

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SpikingNetwork", "random_weights"]

ROWS = 1024  # most images of one run, of which a network has a table
WEIGHTS, THETA = (FEEDFORWARD, "W"), ("exc", "theta")


class SpikingNetwork:
    """A circuit of spiking cells with its weights from the input, and its state.

    `train` shows images to it with plasticity, `observe` and `test` with weights and
    thresholds frozen: to find out what cells respond to, and to classify. In all three,
    each image is shown again at a higher rate if it causes too few spikes.

    Results depend on the seed and on the arguments: not on where a training is interrupted
    and continued, nor on `batch_size`, and on the backend by rounding only.
    """

    def __init__(
        self,
        circuit: SpikingInhibition,
        weights: ArrayLike,
        *,
        plasticity: SpikeRule | None = None,
        stimulus: PoissonPresentation | None = None,
        theta_mv: ArrayLike | None = None,
        backend: str | Backend = "cpp",
        dt_ms: float = 0.5,
        seed: int = 0,
    ) -> None:
        """Check the parts of the network; it is built when it first runs.

        Parameters
        ----------
        circuit, weights
            The circuit; weights (unit, pixel) from the input at the start, 0 or more.
        plasticity
            Rule of these weights in training; None: they are static, and only θ adapts.
        stimulus
            Timing and rates of presentations.
        theta_mv
            θ at the start [mV], one number or (unit); default: the circuit's.
        backend, dt_ms
            "numpy", "cython", "cpp", "cuda" or "auto", or `Backend` with its settings; time
            step [ms].
        seed
            Seed of the input's spikes, and of the noise.

        Raises
        ------
        ValueError
            If arguments do not fit each other, or the backend cannot run here.
        """
        self._stimulus = PoissonPresentation() if stimulus is None else stimulus
        spiking_checks.check_circuit(circuit)
        example = "PoissonPresentation()"
        checks.instance("stimulus", self._stimulus, PoissonPresentation, example)
        self._dt_ms = checks.time_ms("dt_ms", dt_ms)
        checks.positive("dt_ms", self._dt_ms, "the time step")
        self._stimulus.steps(self._dt_ms)
        circuit.check_step(self._dt_ms)
        with usual_errors():
            spiking_rules.check_rule(plasticity)
        self._circuit, self._rule = circuit, plasticity
        how = backend if isinstance(backend, Backend) else Backend(name=backend)
        self._backend = Backend(
            name=backends.resolve(how.name),
            threads=how.threads,
            weight_dtype=how.weight_dtype,
        )
        self._seed = checks.whole("seed", seed)
        seeds(self._seed)
        matrix = spiking_checks.weights(circuit, weights, plasticity)
        matrix = rounded(matrix, how.weight_dtype)
        self._shape = matrix.shape
        self._state = _at_rest(circuit, copies=1)
        self._state[WEIGHTS] = matrix.T.ravel()
        given = circuit.theta_start_mv if theta_mv is None else theta_mv
        theta = spiking_checks.theta_mv(given, len(matrix))
        circuit.check_thresholds(theta)
        self._state[THETA] = 1e-3 * theta
        self._num_trained = self._num_slots = 0
        self._networks: dict[tuple[Any, ...], Network] = {}

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights (unit, pixel) from the input, as they are now."""
        return self._state[WEIGHTS].reshape(self._shape[::-1]).T.copy()

    @property
    def theta_mv(self) -> NDArray[np.float64]:
        """θ (unit) as it is now [mV]."""
        return 1e3 * self._state[THETA]

    @property
    def num_trained(self) -> int:
        """Number of images that training has finished."""
        return self._num_trained

    def train(
        self,
        images: ArrayLike,
        *,
        order: ArrayLike | None = None,
        recording: SpikeRecording | None = None,
        checkpoint: Path | str | None = None,
        out: Path | str | None = None,
        progress: bool = True,
    ) -> "xr.Dataset":
        """Show images one after another, while weights learn and thresholds adapt.

        Parameters
        ----------
        images
            Input rates (image, pixel) or (image, height, width[, channel]), 0 or more.
        order
            Indices of the images, in order (default: each once): see `stimulus.epochs`.
        recording
            What to record besides counts.
        checkpoint
            File to `save` the network to, every 20 s or so. A network that was restored
            from it continues to the same end with `order[n:]`, where n is `num_trained`,
            less what it was before this training.
        out, progress
            netCDF file to write traces to as they are computed, in place of an earlier one;
            whether to show progress.

        Returns
        -------
        xr.Dataset
            counts (image, unit), attempts, input_spikes, inh_spikes and synaptic_events
            (image) of the last presentation of each image; weights (unit, pixel) and theta
            (unit) at the end. By `recording`: spikes (spike); potential, excitation and
            inhibition (time, unit); weights_snapshots and theta_snapshots.

        Raises
        ------
        ValueError
            If images or order do not fit the network, rates are too high for the time step,
            or a file cannot be written.
        """
        saved = None if checkpoint is None else checks.path("checkpoint", checkpoint)
        return self._present("train", images, order, recording, 1, out, progress, saved)

    def observe(
        self,
        images: ArrayLike,
        *,
        order: ArrayLike | None = None,
        recording: SpikeRecording | None = None,
        batch_size: int = 1,
        out: Path | str | None = None,
        progress: bool = True,
    ) -> "xr.Dataset":
        """Count the spikes to images with weights and thresholds frozen, to label cells.

        It starts from rest, and does not change the network. Arguments, traces and errors
        are those of `train`, and `batch_size`: the number of images shown side by side, in
        copies of the circuit, which needs a stimulus with reset=True.
        """
        given = recording, batch_size, out, progress
        return self._present("observe", images, order, *given)

    def test(
        self,
        images: ArrayLike,
        *,
        order: ArrayLike | None = None,
        recording: SpikeRecording | None = None,
        batch_size: int = 1,
        out: Path | str | None = None,
        progress: bool = True,
    ) -> "xr.Dataset":
        """Count the spikes to images, as `observe` does, with other random numbers."""
        return self._present("test", images, order, recording, batch_size, out, progress)

    def _present(
        self,
        phase: str,
        images: ArrayLike,
        order: ArrayLike | None,
        recording: SpikeRecording | None,
        batch_size: int,
        out: Path | str | None,
        progress: bool,
        checkpoint: Path | None = None,
    ) -> "xr.Dataset":
        from neurodyn import traces

        if checkpoint is not None:
            traces.check_writable(checkpoint)
        if phase != "train":
            spiking_checks.check_decayed(self._circuit, self.theta_mv)
        recording = SpikeRecording() if recording is None else recording
        checks.instance("recording", recording, SpikeRecording, "SpikeRecording()")
        bank = spiking_checks.images(images, self._shape[1], self._stimulus, self._dt_ms)
        indices = checked_order(order, len(bank))
        copies = checks.whole("batch_size", batch_size)
        spiking_checks.check_copies(copies, self._stimulus, recording)
        spiking_checks.check_recording(
            recording, self._stimulus, self._dt_ms, phase, len(indices), self._shape
        )
        copies = min(copies, len(indices))
        path = None if out is None else checks.path("out", out)
        spiking_checks.check_files(path, checkpoint)
        show = checks.flag("progress", progress)
        with usual_errors(), ExitStack() as stack:
            layout = self._layout(phase, recording, copies)
            writer = None
            if path is not None:
                writer = stack.enter_context(traces.Writer(path))
            bar = progress_bar(len(indices), what=phase, unit=" images", show=show)
            advance = stack.enter_context(bar)
            found = spiking_traces.Collected(
                layout=layout,
                order=indices,
                phase=phase,
                config=self._config(phase, recording, copies),
                weights_every=recording.weights_every,
                writer=writer,
            )
            found.begin(self.weights, self.theta_mv)
            every = recording.weights_every
            for state, slots, finished in self._runs(layout, phase, bank, indices, every):
                if phase == "train":
                    self._advance_to(state, len(slots.position), finished)
                    if checkpoint is not None:
                        self.save(checkpoint)
                found.add(slots, finished, self.weights, self.theta_mv)
                advance(finished)
            result = found.end()
        silent = found.silent()
        spiking_checks.warn_of_silence(silent, len(indices), self._stimulus)
        if phase == "train":
            spiking_checks.warn_of_decay(self._circuit, self.theta_mv)
        if result is None:
            assert path is not None
            return traces.open_lazily(path)
        return result

    def _runs(
        self,
        layout: Layout,
        phase: str,
        bank: NDArray[np.float64],
        order: NDArray[np.intp],
        every: int | None,
    ) -> Iterator[tuple[State, Slots, int]]:
        """Run the network; yield states, records and the number of finished images."""
        if layout.key not in self._networks:
            self._networks[layout.key] = Network(layout)
        trains = phase == "train"
        start = self._state if trains else self._frozen(layout.copies)
        return spiking_runs.runs(
            self._networks[layout.key],
            start,
            bank,
            order,
            phase=phase,
            seed=self._seed,
            first_number=self._num_trained if trains else 0,
            first_slot=self._num_slots if trains else 0,
            every=every,
        )

    def _frozen(self, copies: int) -> State:
        """Return the state of copies at rest, with the weights and thresholds of now."""
        state = _at_rest(self._circuit, copies)
        return state | {key: np.tile(self._state[key], copies) for key in (WEIGHTS, THETA)}

    def _advance_to(self, state: State, num_slots: int, num_finished: int) -> None:
        """Keep a state of training, to go on from."""
        spiking_rules.check_learned(state[WEIGHTS], self._rule)
        unfinished = not spiking_runs.is_finished(state, self._stimulus)[0]
        self._state = state | spiking_runs.waiting(state if unfinished else None)
        self._num_slots += num_slots
        self._num_trained += num_finished

    def save(self, path: Path | str) -> None:
        """Write weights, θ and the whole state to a netCDF file, whole or not at all.

        Raises
        ------
        ValueError
            If the file cannot be written.
        """
        spiking_runs.save(
            checks.path("path", path),
            self._state,
            settings=self._settings,
            num_trained=self._num_trained,
            num_slots=self._num_slots,
        )

    def restore(self, path: Path | str) -> None:
        """Continue from the state that `save` wrote, of a network with these settings.

        Raises
        ------
        ValueError
            If the file is missing or damaged, or of a network with other settings.
        """
        self._state, self._num_trained, self._num_slots = spiking_runs.restored(
            checks.path("path", path),
            self._settings,
            sizes=spiking_runs.sizes(self._circuit, *self._shape),
            needed=(WEIGHTS, THETA, *spiking_runs.waiting(None)),
        )

    def close(self) -> None:
        """Remove what compiled programs have on disk, as happens when Python ends."""
        for network in self._networks.values():
            network.close()
        self._networks.clear()

    @property
    def _settings(self) -> dict[str, Any]:
        """All settings on which the course of training depends, and the sizes."""
        return {
            "circuit": described(self._circuit),
            "plasticity": spiking_rules.described_rule(self._rule),
            "stimulus": described(self._stimulus),
            "num_units": self._shape[0],
            "num_pixels": self._shape[1],
            "weight_dtype": self._backend.weight_dtype,
            "dt_ms": self._dt_ms,
            "seed": self._seed,
        }

    def _config(self, phase: str, recording: SpikeRecording, copies: int) -> dict[str, Any]:
        """All settings of a run."""
        return self._settings | {
            "phase": phase,
            "recording": asdict(recording),
            "backend": self._backend.name,
            "threads": self._backend.threads,
            "batch_size": copies,
        }

    def _layout(self, phase: str, recording: SpikeRecording, copies: int) -> Layout:
        trains = phase == "train"
        return Layout(
            circuit=self._circuit,
            rule=self._rule if trains else None,
            adapts=trains,
            stimulus=self._stimulus,
            num_units=self._shape[0],
            num_pixels=self._shape[1],
            copies=copies,
            rows=max(1, ROWS // copies),
            spikes=recording.spikes,
            samples_ms=recording.samples_ms,
            backend=self._backend,
            dt_ms=self._dt_ms,
        )


def _at_rest(circuit: SpikingInhibition, copies: int) -> State:
    """Return the state before the first image, without weights and thresholds."""
    return {
        ("exc", "v"): np.float64(circuit.rest_exc_mv * 1e-3),
        ("inh", "v"): np.float64(circuit.rest_inh_mv * 1e-3),
        **spiking_runs.waiting(None, copies=copies),
    }
