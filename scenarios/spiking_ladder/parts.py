"""The parts of the comparison: who fires, what is learned, how well spikes classify."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath.competition import Equilibrium, Ranking
from neurodyn import SpikingInhibition, equilibrium
from neurodyn.stimulus import PoissonPresentation
from scenarios.spiking_ladder.weights import Matrix, Weights, spiking
from scenarios.support import spikes
from scenarios.support.spikes import rates

# Each image alone, from rest, and once: what a knob changes is not made up for by repeats.
ALONE = PoissonPresentation(rest_ms=0.0, reset=True, raise_hz=0.0, max_rate_hz=63.75)
REPEATED = replace(ALONE, raise_hz=31.875, max_rate_hz=191.25)
# Values of a knob; the others are at those of `base`.
KNOBS: dict[str, tuple[float, ...]] = {
    "rate_hz": (8.0, 16.0, 32.0, 63.75, 127.5, 190.0),
    "image_ms": (25.0, 50.0, 100.0, 350.0, 1000.0),
    "w_ie": (0.0, 1.0, 4.0, 17.0, 60.0),
    "noise_mv": (0.0, 1.0, 3.0, 10.0),
}
RANKING = Ranking(k=2, delta=0.4)
RULES = {
    "ranking": RANKING,
    "Hebb only": replace(RANKING, delta=0.0),
    "equilibrium": Equilibrium(w_inh=0.9, h_star=0.3, delta=0.4),
}
FIRST, MOST, TOP_3 = "first spike", "most spikes", "first spike among the 3 largest"


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """A part of the comparison, with weights that `fastpath` trained."""

    weights: Weights
    num_images: int
    """Number of images that are shown, of those that are scored on."""
    backend: str = field(default="cpp", repr=False, compare=False)
    """Backend of Brian2 on the CPU."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {"part": type(self).__name__, **self.weights.coords}

    @property
    def needs(self) -> tuple[Weights, ...]:
        """The trial whose weights are used."""
        return (self.weights,)

    @abstractmethod
    def compute(self, learned: xr.Dataset) -> xr.Dataset:
        """Return the result of the part with these weights."""

    def images(self) -> Matrix:
        """Return the images to show (image, pixel)."""
        split, _ = self.weights.split()
        return rates(split.x_eval)[: self.num_images]


@dataclass(frozen=True, kw_only=True)
class Winners(Part):
    """How often the cell that fires first, or most, is the one with the largest drive."""

    knobs: tuple[str, ...] = tuple(KNOBS)

    def compute(self, learned: xr.Dataset) -> xr.Dataset:
        """Return shares of images for each value of each knob, and the number of spikes."""
        weights, images = learned["weights"].values, self.images()
        drive = images @ weights.T
        names = [(knob, value) for knob in self.knobs for value in KNOBS[knob]]
        rows = [self.shares(learned, images, drive, *name) for name in names]
        return xr.Dataset(
            {name: ("setting", np.array([row[name] for row in rows])) for name in rows[0]},
            coords={"setting": [f"{knob} {value:g}" for knob, value in names]},
        )

    def shares(
        self, learned: xr.Dataset, images: Matrix, drive: Matrix, knob: str, value: float
    ) -> dict[str, float]:
        """Return the shares at one value of a knob."""
        circuit, stimulus = SpikingInhibition(), ALONE
        if knob == "rate_hz":
            stimulus = replace(ALONE, rate_hz=value, max_rate_hz=value)
        elif knob == "image_ms":
            stimulus = replace(ALONE, image_ms=value)
        else:
            changed: dict[str, Any] = {knob: value}
            circuit = replace(circuit, **changed)
        network = spiking(
            learned,
            circuit=circuit,
            stimulus=stimulus,
            backend=self.backend,
            seed=self.weights.seed,
        )
        with spikes.silence_expected():
            traces = network.test(
                images,
                recording=neurodyn.SpikeRecording(spikes=("exc",)),
                progress=False,
            )
        network.close()
        largest = np.argsort(-drive, axis=1)
        first = first_cells(traces, len(images))
        counts = traces["counts"].values
        most = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
        return {
            FIRST: float((first == largest[:, 0]).mean()),
            TOP_3: float((first[:, None] == largest[:, :3]).any(axis=1).mean()),
            MOST: float((most == largest[:, 0]).mean()),
            "spikes per image": float(counts.sum(axis=1).mean()),
            "cells per image": float((counts > 0).sum(axis=1).mean()),
        }


def first_cells(traces: xr.Dataset, num_images: int) -> NDArray[np.int64]:
    """Return the cell that fires first in each image, −1 if none does.

    Of cells that fire in the same time step, the one with more spikes in all is first.
    """
    image, cell = (traces[f"spike_{name}"].values for name in ("image", "unit"))
    more = traces["counts"].values[image, cell]
    order = np.lexsort((-more, traces["spikes"].values, image))
    found = np.full(num_images, -1)
    shown, at = np.unique(image[order], return_index=True)
    found[shown] = cell[order][at]
    return found


@dataclass(frozen=True, kw_only=True)
class Changes(Part):
    """Is the weight change of one presentation under STDP that of eq. 3 and 9?"""

    def compute(self, learned: xr.Dataset) -> xr.Dataset:
        """Return the cosine with each rule, mean over images, and of shuffled images."""
        weights, images = learned["weights"].values, self.images()
        network = spiking(
            learned,
            circuit=SpikingInhibition(),
            stimulus=REPEATED,
            rule=neurodyn.DiehlCook(total=None),
            backend=self.backend,
            seed=self.weights.seed,
        )
        before = network.weights
        with spikes.silence_expected():
            after = spikes.each_alone(network, images)
        network.close()
        total = before.sum(axis=1, keepdims=True)
        scaled = after * total / after.sum(axis=2, keepdims=True)
        changes = {"STDP": after - before, "STDP, sums restored": scaled - before}
        found = {
            (kind, rule): cosines(change, rate_change(competition, weights, images))
            for kind, change in changes.items()
            for rule, competition in RULES.items()
        }
        names = list(RULES)
        shape = (len(changes), len(names))
        same, shuffled = (
            np.reshape([pair[which] for pair in found.values()], shape) for which in (0, 1)
        )
        return xr.Dataset(
            {
                "cosine": (("change", "rule"), same),
                "shuffled_cosine": (("change", "rule"), shuffled),
            },
            coords={"change": list(changes), "rule": names},
        )


def rate_change(competition: Any, weights: Matrix, images: Matrix) -> Matrix:
    """Return ΔW (image, unit, pixel) by eq. 3 (p = 2, R = 1) with g of a competition.

    Images of unit norm, as the threshold h* needs them.
    """
    v = images / np.linalg.norm(images, axis=1, keepdims=True)
    drive = v @ weights.T
    g = competition(torch.from_numpy(drive)).numpy()
    return g[:, :, None] * (v[:, None] - drive[:, :, None] * weights)


def cosines(first: Matrix, second: Matrix) -> tuple[float, float]:
    """Return the mean cosine of the changes, and that with those of the next image."""
    one, other = (each.reshape(len(each), -1) for each in (first, second))

    def mean(a: Matrix, b: Matrix) -> float:
        sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(((a * b).sum(axis=1) / np.where(sizes > 0, sizes, 1)).mean())

    return mean(one, other), mean(one, np.roll(other, 1, axis=0))


@dataclass(frozen=True, kw_only=True)
class Transfer(Part):
    """What does it cost to classify by spikes, with weights that `fastpath` trained?"""

    labelled: int
    """Number of training images from which cells, and the linear readout, get labels."""
    circuit: SpikingInhibition
    theta_mv: float
    """θ of all cells [mV]."""

    def compute(self, learned: xr.Dataset) -> xr.Dataset:
        """Return the accuracy by each readout, and of the same weights in `fastpath`."""
        split, num_classes = self.weights.split()
        network = spiking(
            learned,
            circuit=self.circuit,
            stimulus=REPEATED,
            theta_mv=self.theta_mv,
            backend=self.backend,
            seed=self.weights.seed,
        )
        begin = time.perf_counter()
        with spikes.silence_expected():
            observed = network.observe(
                rates(split.x_train[: self.labelled]), progress=False
            )
            tested = network.test(self.images(), progress=False)
        spent = time.perf_counter() - begin
        network.close()
        scored = spikes.scored(
            observed,
            split.y_train[: self.labelled].numpy(),
            tested,
            split.y_eval[: self.num_images].numpy(),
            num_classes,
        )
        return scored.drop_vars("confusion").assign(
            fastpath_accuracy=float(learned["fastpath_accuracy"]),
            ms_per_image=1e3 * spent / (self.labelled + self.num_images),
            synaptic_events=float(tested["synaptic_events"].mean()),
        )


@dataclass(frozen=True, kw_only=True)
class Cost(Part):
    """Seconds of each level for 1000 images with the same weights, one thread."""

    def compute(self, learned: xr.Dataset) -> xr.Dataset:
        """Return ms per image of each level, without building and compiling."""
        weights, images = learned["weights"].values, self.images()
        tau_ms = 10.0
        circuit = neurodyn.simulate(
            neurodyn.LateralInhibition(tau_ms=tau_ms, w_inh=0.9),
            images,
            weights,
            plasticity=neurodyn.KrotovHopfield(),
            stimulus=neurodyn.Presentation(image_ms=100 * tau_ms),
            recording=neurodyn.Recording(activity_ms=None, images_every=None),
            backend=self.backend,
            progress=False,
        )
        found = {"circuit, T = 100 τ": circuit.attrs["run_seconds"]}
        for name, rule in (("STDP", neurodyn.DiehlCook()), ("frozen", None)):
            network = spiking(
                learned,
                circuit=SpikingInhibition(),
                stimulus=PoissonPresentation(),
                rule=rule,
                backend=self.backend,
                seed=self.weights.seed,
            )
            run = network.train if rule else network.test
            with spikes.silence_expected():
                traces = run(images, progress=False)
            found[f"spiking, {name}"] = traces.attrs["run_seconds"]
            network.close()
        found["equilibrium"] = median_seconds(
            lambda: equilibrium.settle(images @ weights.T, w_inh=0.9)
        )
        found["ranking"] = median_seconds(
            lambda: RANKING(torch.from_numpy(images @ weights.T))
        )
        ms = [1e3 * seconds / len(images) for seconds in found.values()]
        return xr.Dataset({"level_ms": ("level", ms)}, coords={"level": list(found)})


def median_seconds(call: Callable[[], Any], *, repeats: int = 11) -> float:
    """Return the median time of some calls, after a first one."""
    call()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))
