"""Whole trainings from one start and one order of images, at every level of the ladder.

Circuit and closed forms can be compared at batch 1 without the max-normalisation: each
image moves the weights by ε ΔW, with ε = T / τ_L. At full scale the ranking is used in
mini-batches with the max-normalisation.
"""

import time
from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

import neurodyn
from fastpath import baselines, competition, experiment
from fastpath.competition import Equilibrium, Ranking
from fastpath.layers import Dense
from fastpath.readout import Readout
from neurodyn.stimulus import epochs as shuffled
from scenarios.ladder.networks import Source, mini_batch
from scenarios.support.circuit import RANKING, TAU_MS

SNAPSHOTS = 10
POWER = 4.5  # n of the readout's features, as published
RANDOM_POWER = 1.0  # n that is best for random weights
PROBES = 1000  # validation images on which activity is measured


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """Learning by simulation of the circuit in Brian2."""

    w_inh: float
    h_star: float
    delta: float
    duration: float
    """T/τ."""
    continuous: bool
    backend: str


type Level = Ranking | Equilibrium | Circuit


@dataclass(frozen=True, kw_only=True)
class OneByOne:
    """A network trained at batch 1 with a constant learning rate."""

    name: str
    level: Level
    source: Source
    num_units: int
    presentations: int
    rate: float
    head_epochs: int
    probe_w_inh: float
    """Strength of inhibition at which the activity of the trained network is measured."""
    validation: bool = False
    """Score on validation images instead of test images."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {"level": self.name, "seed": self.source.seed}

    def compute(self) -> xr.Dataset:
        """Return snapshots of the weights, and the measures of `judged`."""
        x = self.source.validation().x_train
        num_bank = min(len(x), self.presentations)
        bank = self.source.seen(x[:num_bank])
        order = shuffled(
            num_bank, -(-self.presentations // num_bank), seed=self.source.seed
        )[: self.presentations]
        start = self.source.start(self.num_units, bank.shape[1])
        if isinstance(self.level, Circuit):
            weights, seconds = in_the_circuit(
                self.level, start.weights, bank, order, rate=self.rate
            )
        else:
            weights, seconds = one_by_one(self.level, start, bank, order, rate=self.rate)
        every = self.presentations // SNAPSHOTS
        result = xr.Dataset(
            {"snapshots": (("snapshot", "unit", "pixel"), weights)},
            coords={"snapshot": every * np.arange(len(weights))},
        )
        return result.merge(
            judged(
                weights[-1],
                self.source,
                w_inh=self.probe_w_inh,
                head_epochs=self.head_epochs,
                validation=self.validation,
            )
        ).assign(learn_seconds=seconds)


def one_by_one(
    rule: Ranking | Equilibrium,
    layer: Dense,
    bank: Tensor,
    order: NDArray[np.intp],
    *,
    rate: float,
) -> tuple[NDArray[np.float64], float]:
    """Return weights (snapshot, unit, pixel) and the seconds spent on learning."""
    every = len(order) // SNAPSHOTS
    snapshots, seconds = [layer.weights.numpy().copy()], 0.0

    for first in range(0, every * SNAPSHOTS, every):
        begun = time.perf_counter()
        for image in order[first : first + every]:
            layer.learn(bank[image : image + 1], rule, lr=rate, normalize=None)
        seconds += time.perf_counter() - begun
        snapshots.append(layer.weights.numpy().copy())
    return np.stack(snapshots), seconds


def in_the_circuit(
    level: Circuit,
    weights: Tensor,
    bank: Tensor,
    order: NDArray[np.intp],
    *,
    rate: float,
) -> tuple[NDArray[np.float64], float]:
    """Return weights (snapshot, unit, pixel) and the run time of Brian2 in seconds."""
    image_ms = level.duration * TAU_MS
    every = len(order) // SNAPSHOTS
    timing = neurodyn.Continuous() if level.continuous else neurodyn.Settled()
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=level.w_inh),
        bank.numpy(),
        weights.numpy(),
        plasticity=neurodyn.KrotovHopfield(
            delta=level.delta,
            h_star=level.h_star,
            tau_l_ms=image_ms / rate,
            timing=timing,
        ),
        stimulus=neurodyn.Presentation(image_ms=image_ms),
        order=order[: every * SNAPSHOTS],
        recording=neurodyn.Recording(
            activity_ms=None, images_every=None, weights_every=every
        ),
        backend=level.backend,
    )
    return run["weights_snapshots"].values, run.attrs["run_seconds"]


@dataclass(frozen=True, kw_only=True)
class FullScale:
    """A network trained in mini-batches of 100, with the max-normalisation."""

    name: str
    level: Ranking | Equilibrium
    source: Source
    num_units: int
    epochs: int
    head_epochs: int
    probe_w_inh: float
    validation: bool = False

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "num_units": self.num_units,
            "level": self.name,
            "seed": self.source.seed,
        }

    def compute(self) -> xr.Dataset:
        """Return the weights and the measures of `judged`."""
        x = self.source.validation().x_train
        weights, seconds = experiment.timed(
            lambda: mini_batch(
                self.source, x, self.num_units, self.level, epochs=self.epochs
            )
        )
        result = judged(
            weights,
            self.source,
            w_inh=self.probe_w_inh,
            head_epochs=self.head_epochs,
            validation=self.validation,
            random=self.epochs == 0,
        )
        return result.assign(learn_seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class BackProp:
    """The control: the same network trained by back-propagation."""

    source: Source
    num_units: int
    epochs: int

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "num_units": self.num_units,
            "level": "back-propagation",
            "seed": self.source.seed,
        }

    def compute(self) -> xr.Dataset:
        """Return the test error."""
        split = self.source.test()
        trained, seconds = experiment.timed(
            lambda: baselines.backprop(
                split,
                num_units=self.num_units,
                num_classes=len(self.source.load().classes),
                backprop=baselines.Backprop(epochs=self.epochs),
                preprocess=self.source.preprocess,
                generator=torch.Generator().manual_seed(self.source.seed),
                progress=False,
            )
        )
        return xr.Dataset({"error": trained.errors["test_error"], "learn_seconds": seconds})


def judged(
    weights: NDArray,
    source: Source,
    *,
    w_inh: float,
    head_epochs: int,
    validation: bool,
    random: bool = False,
) -> xr.Dataset:
    """Return readout error, norms and activity of trained weights.

    A unit is winless if it has the largest drive on none of the PROBES validation images.
    `used` is the exponential of the entropy of wins: the number of units that would have
    this entropy if they won equally often.
    """
    split = source.validation() if validation else source.test()
    learned = torch.from_numpy(weights)
    _, errors = experiment.read_out(
        Dense(learned.float()),
        source.preprocess.fit(split.x_train),
        split,
        num_classes=len(source.load().classes),
        readout=Readout(epochs=head_epochs, power=RANDOM_POWER if random else POWER),
        generator=torch.Generator().manual_seed(source.seed),
        progress=False,
    )
    probes = source.seen(source.validation().x_eval[:PROBES])
    drive = probes @ learned.double().T
    settled = competition.settle(drive, w_inh=w_inh)
    wins = torch.bincount(drive.argmax(dim=1), minlength=len(learned)) / len(drive)
    won = wins[wins > 0]
    return xr.Dataset(
        {
            "weights": (("unit", "pixel"), weights),
            "error": errors[f"{split.scored_on}_error"],
            "weight_norm": ("unit", np.linalg.norm(weights, axis=1)),
            "winless": int((wins == 0).sum()),
            "used": float(torch.exp(-(won * won.log()).sum())),
            "active": float((settled > 0).double().sum(dim=1).mean()),
        }
    )


def controls(
    source: Source, num_units: int, *, head_epochs: int, probe_w_inh: float
) -> "list[FullScale | BackProp]":
    """Return the controls: random weights and back-propagation."""
    random = FullScale(
        name="random weights",
        level=RANKING,
        source=source,
        num_units=num_units,
        epochs=0,
        head_epochs=head_epochs,
        probe_w_inh=probe_w_inh,
    )
    # Back-propagation learns better from raw pixels: 5.6 % error with unit norm.
    raw = replace(source, unit_norm=False)
    return [random, BackProp(source=raw, num_units=num_units, epochs=head_epochs)]
