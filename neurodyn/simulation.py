"""Simulate: build a network in Brian2, run it, and return its traces."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from neurodyn import checks
from neurodyn.circuits.base import Circuit
from neurodyn.engine import description, execute, to_xarray
from neurodyn.engine.ambient import usual_errors
from neurodyn.engine.backends import DEVICES, Backend
from neurodyn.engine.rules import Rule
from neurodyn.engine.spec import Spec, validate
from neurodyn.plasticity.protocols import FEEDFORWARD
from neurodyn.progress import progress_bar
from neurodyn.recording import Recording
from neurodyn.stimulus import Stimulus

if TYPE_CHECKING:
    import xarray as xr


def simulate(
    circuit: Circuit,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None = None,
    stimulus: Stimulus | None = None,
    order: ArrayLike | None = None,
    recording: Recording | None = None,
    backend: str | Backend = "cython",
    dt_ms: float | None = None,
    batch_size: int = 1,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool = True,
) -> "xr.Dataset":
    """Present images to a circuit, one after another, and return its traces.

    It is `build`, `Simulation.run` and `Simulation.traces` in one.

    Parameters
    ----------
    circuit, images, weights
        The circuit; input rates (image, pixel) or (image, height, width[, channel]),
        preprocessed as for training; feed-forward weights at the start (unit, pixel). Of a
        sparse array of SciPy, only the stored entries are synapses.
    plasticity
        Rule of the feed-forward weights, or rules by the synapses' names; None: static.
    stimulus, order
        Timing of presentations; indices of the images, in order (default: each once).
    recording
        Which traces to record, and how often.
    backend, dt_ms
        "numpy", "cython", "cpp", "cuda" or "auto", or `Backend` with its settings; time
        step of Euler's method [ms] (default: τ/20, or a shorter one that is stable and
        divides a presentation).
    batch_size, seed
        Number of images shown side by side, in copies of the circuit; seed of the noise.
    out, progress
        netCDF file to write traces to as they are computed; whether to show progress.

    Returns
    -------
    xr.Dataset
        activity (image, time, unit); final_activity and drive (image, unit); weights (unit,
        pixel) at the end; further traces by `recording`. docs/circuits.md has the details.

    Raises
    ------
    ValueError
        If arguments do not fit each other, a value is not finite, the time step is unstable
        or a rule overshoots, traces are too large, or the backend cannot run here.
    """
    path = None if out is None else checks.path("out", out)
    settings: dict[str, Any] = {"plasticity": plasticity, "stimulus": stimulus}
    settings |= {"order": order, "recording": recording, "backend": backend}
    settings |= {"dt_ms": dt_ms, "batch_size": batch_size, "seed": seed}
    show = checks.flag("progress", progress)
    with usual_errors():
        spec = validate(circuit, images, weights, **settings)
        if path is not None:
            with simulated_time([spec], show=show) as advance:
                return _in_file(spec, path, advance)
        simulation = Simulation(spec)
        try:
            simulation.run(progress=show)
            return simulation.traces()
        finally:
            simulation.close()


def _in_file(spec: Spec, path: Path, advance: execute.Advance) -> "xr.Dataset":
    from neurodyn import traces

    with traces.Writer(path) as writer:
        for part in execute.chunks(spec, advance, in_memory=False):
            chunk = to_xarray.dataset(spec, [part], start=writer.num_presentations)
            writer.append(chunk, num_presentations=part.num_presentations)
    return traces.open_lazily(path)


def simulated_time(specs: Sequence[Spec], *, show: bool) -> AbstractContextManager[Any]:
    """Return the progress bar of simulations, in simulated milliseconds."""
    total = sum(len(spec.order) * spec.stimulus.period_ms for spec in specs)
    return progress_bar(total, what="simulation", unit=" ms", show=show)


def build(
    circuit: Circuit,
    images: ArrayLike,
    weights: ArrayLike,
    *,
    plasticity: Rule | Mapping[str, Rule] | None = None,
    stimulus: Stimulus | None = None,
    order: ArrayLike | None = None,
    recording: Recording | None = None,
    backend: str | Backend = "cython",
    dt_ms: float | None = None,
    batch_size: int = 1,
    seed: int = 0,
) -> "Simulation":
    """Build a simulation in Brian2, to add objects of one's own, and to run several times.

    Parameters
    ----------
    circuit, images, weights
        The circuit; input rates (image, pixel) or (image, height, width[, channel]),
        preprocessed as for training; feed-forward weights at the start (unit, pixel). Of a
        sparse array of SciPy, only the stored entries are synapses.
    plasticity
        Rule of the feed-forward weights, or rules by the synapses' names; None: static.
    stimulus, order
        Timing of presentations; indices of the images, in order (default: each once).
    recording
        Which traces to record, and how often.
    backend, dt_ms
        "numpy", "cython", "cpp", "cuda" or "auto", or `Backend` with its settings; time
        step of Euler's method [ms] (default: τ/20, or a shorter one that is stable and
        divides a presentation).
    batch_size, seed
        Number of images shown side by side, in copies of the circuit; seed of the noise.

    Raises
    ------
    ValueError
        As `simulate`.
    """
    settings: dict[str, Any] = {"plasticity": plasticity, "stimulus": stimulus}
    settings |= {"order": order, "recording": recording, "backend": backend}
    settings |= {"dt_ms": dt_ms, "batch_size": batch_size, "seed": seed}
    with usual_errors():
        return Simulation(validate(circuit, images, weights, **settings))


class Simulation:
    """A circuit that was built in Brian2, by `build`.

    Its Brian2 objects are in `objects`, by name. In a block `with simulation:`, Brian2's
    device and preferences are those of the simulation: create monitors, inputs and
    operations there, and `add` them, before the first run.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = self._last = spec
        self._execution = execute.Execution(spec)
        self._records: list[execute.Records] | None = None
        self._inside: list[AbstractContextManager[Any]] = []

    @property
    def ms(self) -> Any:
        """The millisecond of the simulation, for the times of what is added.

        It is longer than Brian2's by up to 6e-8, so that all clocks tick together.
        """
        return self._execution.built.timeline.ms

    @property
    def objects(self) -> dict[str, Any]:
        """The Brian2 objects by name: groups, synapses, monitors, and what was added."""
        return {item.name: item for item in self._execution.built.objects}

    def __enter__(self) -> Self:
        active = self._execution.session.active()
        active.__enter__()
        self._inside.append(active)
        return self

    def __exit__(self, *error: Any) -> None:
        self._inside.pop().__exit__(*error)

    def add(self, *objects: Any) -> None:
        """Add Brian2 objects to the network, such as monitors, groups and synapses.

        They must have been created in a block `with simulation:`. What belongs to an object
        is added with it, such as an operation by `run_regularly`. In each run, all start
        from the state that they had before the first.

        Raises
        ------
        ValueError
            If one is no Brian2 object, was created elsewhere, has the name of another or
            cannot run on the backend, or if the simulation has run.
        """
        names = set(self.objects)
        for item in objects:
            self._check(item)
            if item.name in names:
                raise ValueError(
                    f"an object is named '{item.name}', as one of the simulation is: give "
                    "it another name (name=...), or do not add it twice"
                )
            names.add(item.name)
        self._execution.add(objects)

    def _check(self, item: Any) -> None:
        import brian2 as b2
        from brian2.core.variables import ArrayVariable

        if not isinstance(item, b2.BrianObject):
            raise ValueError(
                f"{item!r} was given to add: objects of Brian2 are needed, such as "
                "StateMonitor, NeuronGroup or Synapses"
            )
        if isinstance(item, b2.NetworkOperation) and self._spec.backend in DEVICES:
            raise ValueError(
                f"'{item.name}' is a function of Python, which backend "
                f"'{self._spec.backend}' cannot run: use equations or run_regularly, or "
                "backend 'cython'"
            )
        variables = getattr(item, "variables", {}).values()
        arrays = [one for one in variables if isinstance(one, ArrayVariable)]
        if any(not self._execution.session.owns(one) for one in arrays):
            raise ValueError(
                f"'{item.name}' was not created in a block `with simulation:`, where "
                "Brian2's device is that of the simulation"
            )

    def run(
        self,
        images: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        order: ArrayLike | None = None,
        seed: int | None = None,
        progress: bool = True,
    ) -> None:
        """Run from the start: activity 0, and weights as given.

        Parameters
        ----------
        images, weights, order, seed
            In place of those it was built with: at most as many images and presentations;
            weights of the same shape and synapses. With other images and no order, each is
            shown once.
        progress
            Whether to show progress.

        Raises
        ------
        ValueError
            As `simulate`, with the time step that was chosen when it was built.
        """
        show = checks.flag("progress", progress)
        self._records = None
        with usual_errors():
            spec = self._spec
            if not all(given is None for given in (images, weights, order, seed)):
                spec = self._changed(images, weights, order, seed)
            self._last = spec
            with simulated_time([spec], show=show) as advance:
                self._records = list(self._execution.records(spec, advance))

    def _changed(self, images: Any, weights: Any, order: Any, seed: int | None) -> Spec:
        """Return the specification of a run with other values."""
        spec = self._spec
        rules: dict[str, Rule] = {**spec.recurrent}
        if spec.feedforward is not None:
            rules[FEEDFORWARD] = spec.feedforward
        changed = validate(
            spec.circuit,
            spec.bank if images is None else images,
            spec.given_weights if weights is None else weights,
            plasticity=rules,
            stimulus=spec.stimulus,
            order=spec.order if order is None and images is None else order,
            recording=spec.recording,
            backend=spec.how,
            dt_ms=spec.dt_ms,
            batch_size=spec.batch_size,
            seed=spec.seed if seed is None else seed,
        )
        for what, have, built in (
            ("images", changed.bank, spec.bank),
            ("presentations", changed.order, spec.order),
        ):
            if len(have) > len(built):
                raise ValueError(
                    f"there are {len(have)} {what}, but the simulation was built for "
                    f"{len(built)}: build it with as many as its longest run has"
                )
        if changed.weights.shape != spec.weights.shape:
            raise ValueError(
                f"weights have shape {changed.weights.shape}, but the simulation was built "
                f"for {spec.weights.shape}"
            )
        if not np.array_equal(changed.synapses, spec.synapses):
            raise ValueError(
                "the weights have other synapses than those that the simulation was built "
                "with: give the same stored entries, or build another simulation"
            )
        return changed

    def traces(self) -> "xr.Dataset":
        """Return the traces of the last run, as `simulate` does.

        Raises
        ------
        ValueError
            If there was no run, or it failed.
        """
        if self._records is None:
            raise ValueError("the simulation has no traces: there was no complete run")
        with usual_errors():
            return to_xarray.dataset(self._last, self._records)

    def describe(self, form: str = "markdown") -> str:
        """Return the model as text: equations, parameters, sizes and rules, as built.

        Parameters
        ----------
        form
            "markdown", or "latex" (which needs the package amsmath).

        Raises
        ------
        ValueError
            If the form is another.
        """
        if form not in description.FORMS:
            raise ValueError(
                f"form is {form!r}: give one of {', '.join(description.FORMS)}"
            )
        built, spec = self._execution.built, self._spec
        with self:
            found = description.parts(built.objects, built.parameters(spec))
            return getattr(description, form)(found, spec.settings)

    def close(self) -> None:
        """Remove what a compiled program has on disk, as happens when Python ends.

        Records of monitors that were added cannot be read afterwards.
        """
        self._execution.close()
