"""What a simulation records, how often, and how large that will be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from neurodyn import checks, times
from neurodyn.checks import convert, flag, number, optional, time_ms, whole


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Which traces to record, and how often."""

    activity_ms: float | None = 1.0
    """Interval between samples of the activity [ms]; None: no activity over time."""
    by_image: bool = True
    """Record activity by presentation, (image, time, unit), with the time since its start.
    activity_ms must divide a presentation, and its last sample is the final activity.
    False: record it along the time of the whole run, (time, unit), from 0 on."""
    inhibition: bool = False
    """Also record the inhibitory current into each unit, at the same times. Where
    inhibitory synapses learn, it is the current of the time step before the sample."""
    images_every: int | None = 1
    """Record drive, final activity and activity by image of every n-th presentation. None:
    no drive and no final activity, and the activity of all presentations."""
    norms: bool = False
    """Also record the p-norm of each unit's weights, at the start of each of these
    presentations."""
    weights_every: int | None = None
    """Record all weights at the start and after every n-th presentation; None: never."""
    limit_gib: float = 2.0
    """Largest size of the traces [GiB]; larger ones are refused."""

    def __post_init__(self) -> None:
        convert(
            self,
            activity_ms=optional(time_ms),
            by_image=flag,
            inhibition=flag,
            images_every=optional(whole),
            norms=flag,
            weights_every=optional(whole),
            limit_gib=number,
        )
        if self.activity_ms is not None:
            checks.positive("activity_ms", self.activity_ms, "the interval")
        for name in ("images_every", "weights_every"):
            stride = getattr(self, name)
            if stride is not None and not 1 <= stride < 2**53:
                raise ValueError(
                    f"{name} is {stride}: a stride is a whole number from 1 on"
                )
        if self.inhibition and self.activity_ms is None:
            raise ValueError("inhibition is recorded with the activity: give activity_ms")
        if self.norms and self.images_every is None:
            raise ValueError("norms are recorded with the drive: give images_every")
        if not self.limit_gib > 0:
            raise ValueError(f"limit_gib is {self.limit_gib}: it must be positive")

    def sample_steps(self, dt_ms: float) -> int | None:
        """Return the number of time steps between samples of the activity.

        Raises
        ------
        ValueError
            If the interval is not a whole number of steps.
        """
        if self.activity_ms is None:
            return None
        return times.steps("activity_ms", self.activity_ms, dt_ms)

    def check_size(
        self,
        *,
        num_presentations: int,
        period_ms: float,
        num_units: int,
        others: Mapping[str, int],
        num_synapses: int,
    ) -> int:
        """Return the size of the traces of a run [bytes].

        Parameters
        ----------
        others
            Number of cells in each trace over time, except those of the hidden units.

        Raises
        ------
        ValueError
            If the traces exceed `limit_gib`; the message lists the size of each.
        """
        parts: dict[str, tuple[int, int]] = {}
        if self.activity_ms is not None:
            samples = int(num_presentations * period_ms / self.activity_ms) + 1
            parts["activity (samples x units)"] = samples, num_units
            for name, num_cells in others.items():
                parts[f"{name} (samples x cells)"] = samples, num_cells
            if self.inhibition:
                parts["inhibition (samples x units)"] = samples, num_units
        if self.images_every is not None:
            images = num_presentations // self.images_every
            parts["drive and final activity (images x units)"] = images, 2 * num_units
            if self.norms:
                parts["norms (images x units)"] = images, num_units
        if self.weights_every is not None:
            snapshots = num_presentations // self.weights_every + 1
            parts["weights (snapshots x synapses)"] = snapshots, num_synapses
        size = sum(8 * rows * columns for rows, columns in parts.values())
        if size > self.limit_gib * 2**30:
            sums = "; ".join(
                f"{name}: {rows} x {columns} x 8 bytes = {rows * columns / 2**27:.2f} GiB"
                for name, (rows, columns) in parts.items()
            )
            largest = max(parts, key=lambda name: parts[name][0] * parts[name][1])
            stride = {"weights": "weights_every", "drive": "images_every"}.get(
                largest.split()[0], "activity_ms"
            )
            raise ValueError(
                f"the traces would take {size / 2**30:.1f} GiB, the limit is "
                f"{self.limit_gib:g} GiB ({sums}): record less often ({stride}), show "
                "fewer images, or raise limit_gib"
            )
        return size

    def block(self, *, period_steps: int, sample_steps: int | None) -> int:
        """Return the smallest number of presentations that all strides divide."""
        strides = [self.images_every or 1, self.weights_every or 1]
        if sample_steps:
            strides.append(sample_steps // math.gcd(sample_steps, period_steps))
        return math.lcm(*strides)


POPULATIONS = ("input", "exc", "inh")  # of a spiking network


@dataclass(frozen=True, kw_only=True)
class SpikeRecording:
    """What to record besides the number of spikes of each E cell to each image."""

    spikes: tuple[str, ...] = ()
    """Populations whose spikes to record: "input", "exc", "inh"."""
    samples_ms: float | None = None
    """Interval between samples of the potential and the currents of E cells [ms]; None:
    none."""
    weights_every: int | None = None
    """Record weights and θ at the start, and after every n-th image; None: never."""
    limit_gib: float = 2.0
    """Largest size of the samples and recorded weights [GiB]; larger ones are refused."""

    def __post_init__(self) -> None:
        if not isinstance(self.spikes, str | tuple | list):
            raise ValueError(
                f"spikes is {self.spikes!r}: give populations, of {', '.join(POPULATIONS)}"
            )
        names = (self.spikes,) if isinstance(self.spikes, str) else tuple(self.spikes)
        if wrong := [name for name in names if name not in POPULATIONS]:
            raise ValueError(
                f"spikes names '{wrong[0]}': the populations are {', '.join(POPULATIONS)}"
            )
        object.__setattr__(self, "spikes", tuple(dict.fromkeys(names)))
        checks.convert(
            self,
            samples_ms=checks.optional(checks.time_ms),
            weights_every=checks.optional(checks.whole),
            limit_gib=checks.number,
        )
        if self.samples_ms is not None:
            checks.positive("samples_ms", self.samples_ms, "the interval")
        if self.weights_every is not None:
            checks.at_least_one("weights_every", self.weights_every, "image is needed")
        checks.positive("limit_gib", self.limit_gib, "the largest size")
