"""Collect the records of a spiking network by image, and label them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import times
from neurodyn.engine.spiking import Layout, Slots

if TYPE_CHECKING:
    import xarray as xr

    from neurodyn import traces


@dataclass(kw_only=True, eq=False)
class Collected:
    """The traces of one phase, in memory, or written to a file run by run."""

    layout: Layout
    order: NDArray[np.intp]
    """Image of the bank that each presentation shows."""
    phase: str
    config: dict[str, Any]
    weights_every: int | None
    writer: "traces.Writer | None"
    _finished: int = field(default=0, init=False)
    _slots: int = field(default=0, init=False)
    _seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._by_image = ByImage(layout=self.layout, order=self.order)
        self._parts: list[tuple[int, Slots]] = []
        self._snapshots: list[tuple[int, NDArray[Any], NDArray[Any]]] = []

    def begin(self, weights: NDArray[np.float64], theta_mv: NDArray[np.float64]) -> None:
        """Note the weights (unit, pixel) and θ (unit) at the start."""
        self._weights, self._theta_mv = weights, theta_mv
        if self.weights_every is not None:
            self._snapshots.append((0, weights, theta_mv))

    def add(
        self,
        slots: Slots,
        finished: int,
        weights: NDArray[np.float64],
        theta_mv: NDArray[np.float64],
    ) -> None:
        """Add the records of a run that finished some images, and its end."""
        before, self._finished = self._finished, self._finished + finished
        self._weights, self._theta_mv = weights, theta_mv
        self._by_image.add(slots)
        if self.layout.spikes or self.layout.samples_ms is not None:
            self._parts.append((self._slots, slots))
        self._slots += len(slots.position)
        self._seconds += slots.seconds
        every = self.weights_every
        if every is not None and finished and self._finished % every == 0:
            self._snapshots.append((self._finished, weights, theta_mv))
        if self.layout.copies == 1:  # images side by side are not finished in turn
            self._write(before)

    def _write(self, first: int) -> None:
        """Append the traces of the images from `first` on to the file, if there is one."""
        if self.writer is not None:
            number = self._finished - first
            self.writer.append(self._labelled(first), num_presentations=number)
            self._parts, self._snapshots, self._seconds = [], [], 0.0

    def silent(self) -> NDArray[np.intp]:
        """Return the numbers of images to which no E cell fired at the full rate."""
        return self._by_image.silent()

    def end(self) -> "xr.Dataset | None":
        """Return all traces, or None if they have been written to a file."""
        if self.writer is None:
            return self._labelled(0)
        if self.layout.copies > 1:
            self._write(0)
        return None

    def _labelled(self, first: int) -> "xr.Dataset":
        """Return the traces of the images from `first` on, and all other records."""
        layout, end = self.layout, self._finished
        image = np.arange(first, end)
        variables = self._by_image.variables(first, end)
        coords: dict[str, ArrayLike] = {"image": image, "shown": self.order[image]}
        if layout.spikes:
            found = _spikes(layout, self._parts)
            variables["spikes"] = found.pop("spikes")
            coords |= found
        if layout.samples_ms is not None:
            sampled, times_of = _samples(layout, self._parts)
            variables, coords = variables | sampled, coords | times_of
        if self._snapshots:
            number, weights, theta = zip(*self._snapshots, strict=True)
            variables["weights_snapshots"] = np.stack(weights)
            variables["theta_snapshots"] = np.stack(theta)
            coords["snapshot"] = np.array(number)
        variables |= {"weights": self._weights, "theta": self._theta_mv}
        return _dataset(
            layout,
            variables,
            coords,
            phase=self.phase,
            config=self.config,
            seconds=self._seconds,
        )


@dataclass(kw_only=True, eq=False)
class ByImage:
    """What was recorded of each image: of its last presentation."""

    layout: Layout
    order: NDArray[np.intp]
    """Image of the bank that each presentation shows."""
    counts: NDArray[np.int32] = field(init=False)
    attempts: NDArray[np.int32] = field(init=False)
    inh_spikes: NDArray[np.int64] = field(init=False)
    input_spikes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        number = len(self.order)
        self.counts = np.zeros((number, self.layout.num_units), np.int32)
        self.attempts = np.zeros(number, np.int32)
        self.inh_spikes, self.input_spikes = np.zeros((2, number), np.int64)

    def add(self, slots: Slots) -> None:
        """Add consecutive presentations; a later one of an image replaces the earlier."""
        copies = self.layout.copies
        image = slots.position * copies + np.arange(copies)
        shown = image < len(self.order)  # copies that have finished go on without input
        for slot in range(len(image)):
            of, which = image[slot][shown[slot]], (slot, shown[slot])
            self.counts[of] = slots.counts[which]
            self.attempts[of] = slots.attempt[which]
            self.inh_spikes[of] = slots.inh_spikes[which]
            self.input_spikes[of] = slots.input_spikes[which]

    def variables(self, first: int, end: int) -> dict[str, ArrayLike]:
        """Return the traces of images `first` to `end`."""
        layout, part = self.layout, slice(first, end)
        of_exc, of_inh = layout.circuit.fan_out(layout.num_units)
        events = self.input_spikes * layout.num_units + self.inh_spikes * of_inh
        return {
            "counts": self.counts[part],
            "attempts": self.attempts[part],
            "input_spikes": self.input_spikes[part],
            "inh_spikes": self.inh_spikes[part],
            "synaptic_events": (events + of_exc * self.counts.sum(axis=1))[part],
        }

    def silent(self) -> NDArray[np.intp]:
        """Return the numbers of images to which no E cell fired at the full rate."""
        full = self.attempts >= self.layout.stimulus.last_attempt
        return np.flatnonzero(full & ~self.counts.any(axis=1))


def _spikes(layout: Layout, parts: Sequence[tuple[int, Slots]]) -> dict[str, NDArray[Any]]:
    """Return the spikes of consecutive runs, each after a number of presentations.

    One circuit only: of copies side by side, no spikes are recorded.
    """
    _, period = layout.stimulus.steps(layout.dt_ms)
    found: dict[str, list[NDArray[Any]]] = {
        name: []
        for name in (
            "spikes",
            "spike_unit",
            "spike_population",
            "spike_image",
            "spike_attempt",
        )
    }
    for before, slots in parts:
        steps = [step for step, _ in slots.spikes.values()]
        order = np.argsort(np.concatenate(steps), kind="stable")
        step = np.concatenate(steps)[order]
        names = np.repeat([*slots.spikes], [len(each) for each in steps])
        unit = np.concatenate([unit for _, unit in slots.spikes.values()])
        found["spikes"].append(times.multiples(layout.dt_ms, step + before * period))
        found["spike_unit"].append(unit[order])
        found["spike_population"].append(names.astype(object)[order])
        found["spike_image"].append(slots.position[step // period, 0])
        found["spike_attempt"].append(slots.attempt[step // period, 0])
    return {name: np.concatenate(each) for name, each in found.items()}


def _samples(
    layout: Layout, parts: Sequence[tuple[int, Slots]]
) -> tuple[dict[str, ArrayLike], dict[str, ArrayLike]]:
    """Return sampled traces (time, unit) of consecutive runs, and their coordinates."""
    assert layout.samples_ms is not None
    stride = round(layout.samples_ms / layout.dt_ms)
    _, period = layout.stimulus.steps(layout.dt_ms)
    step, image = [], []
    for before, slots in parts:
        within = stride * np.arange(len(next(iter(slots.samples.values()))))
        step.append(within + before * period)
        image.append(slots.position[within // period, 0])
    names = parts[0][1].samples
    return (
        {name: np.concatenate([each.samples[name] for _, each in parts]) for name in names},
        {
            "time": times.multiples(layout.dt_ms, np.concatenate(step)),
            "presentation": np.concatenate(image),
        },
    )


def _dataset(
    layout: Layout,
    variables: dict[str, ArrayLike],
    coords: dict[str, ArrayLike],
    *,
    phase: str,
    config: dict[str, Any],
    seconds: float,
) -> "xr.Dataset":
    """Return labelled traces."""
    from importlib.metadata import version

    from neurodyn import traces

    coords = coords | {
        "unit": np.arange(layout.num_units),
        "pixel": np.arange(layout.num_pixels),
    }
    made = traces.assemble(
        variables,
        coords,
        title="Spikes of competing excitatory cells",
        history=f"{phase}, neurodyn {version('neurodyn')}, Brian2 {version('brian2')}",
        references="Diehl & Cook 2015, Front. Comput. Neurosci. 9:99",
        config=config,
        own=layout.circuit.traces,
    )
    made.attrs["dt_ms"] = layout.dt_ms
    made.attrs["run_seconds"] = seconds
    return made
