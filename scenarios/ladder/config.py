"""Settings of the ladder."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import neurodyn
from scenarios.support.checks import check_counts, check_increasing, check_sharing


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the comparison. The defaults take about an hour on one core."""

    data: str = "mnist"
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    data_root: Path | None = None
    """Folder of the data sets [$NEURODYN_DATA, else the user's cache]."""
    units: tuple[int, ...] = (100, 500)
    """Sizes of networks. The circuit is trained at the first size only."""
    trained: tuple[int, ...] | None = None
    """Sizes that are trained in mini-batches and timed [all]."""
    seeds: int = 3
    """Seeds of each network, from 0."""
    num_images: tuple[int, ...] = (20, 20)
    """Images shown to the circuit for one step of learning, a number for each size."""
    w_inh: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.2)
    """Strengths of lateral inhibition for one step of learning. Networks larger than the
    first use every second strength."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100, 300)
    """Presentation times T for one step of learning, in time constants τ. Times above 100
    are used for the first size of network only, and for w_inh of 0.9 or more."""
    shares: tuple[float, ...] = (0.5, 0.7, 0.9, 0.99)
    """Thresholds h*, as shares of the winner's settled activity. A fixed h* is compared
    too: the one that exactly one unit reaches on most training images."""
    ks: tuple[int, ...] = (2, 3, 7)
    """Ranks k of the unit that learns anti-Hebbian."""
    deltas: tuple[float, ...] = (0.2, 0.4, 0.8)
    """Strengths Δ of anti-Hebbian learning."""
    epochs: int = 10
    """Epochs of mini-batch learning. Networks larger than the first have half as many
    before one step of learning, and twice as many in whole trainings."""
    head_epochs: int = 10
    """Epochs of the readout, and of back-propagation."""
    presentations: int = 20_000
    """Presentations in a training at batch 1, the circuit included."""
    train_duration: float = 50
    """T/τ of the circuit with continuous learning; settled learning uses twice this T."""
    rate: float = 0.05
    """Learning rate ε at batch 1 with images of unit norm; in the circuit ε = T / τ_L."""
    step_backend: str = "cython"
    """Backend of Brian2 for one step of learning: numpy, or cython, which compiles once."""
    backend: str = "cpp"
    """Backend of Brian2 for whole trainings."""
    preset: Literal["full", "quick"] = "full"
    """quick: the digits and small networks, one to two minutes; other flags override it."""
    workers: int = 0
    """Worker processes that compute trials, one thread each; 0: only this process."""
    scheduler: str | None = None
    """Address of a running dask scheduler that distributes the trials (host:port)."""
    out: Path | None = None
    """Folder of results and finished trials [runs/ladder]."""
    figure: Path | None = None
    """File of the figure; its panels go to a folder beside it [figures/ladder.png]."""
    overwrite: bool = False
    """Compute finished trials again."""

    def __post_init__(self) -> None:
        check_counts(self, "seeds", "epochs", "head_epochs")
        check_increasing(
            units=self.units,
            w_inh=self.w_inh,
            durations=self.durations,
            shares=self.shares,
            ks=self.ks,
            deltas=self.deltas,
        )
        for w_inh in self.w_inh:
            neurodyn.LateralInhibition(w_inh=w_inh)
        self._check_grid()
        self._check_training()
        check_sharing(self)

    def _check_grid(self) -> None:
        if len(self.num_images) != len(self.units) or min(self.num_images) < 2:
            raise ValueError(
                f"num_images is {self.num_images}: give one number, 2 or more, for each of "
                f"the sizes {self.units}"
            )
        if not (self.trained_units and set(self.trained_units) <= set(self.units)):
            raise ValueError(
                f"trained is {self.trained}: give one or some of the sizes {self.units}"
            )
        if not (self.shares[0] > 0 and self.shares[-1] < 1):
            raise ValueError(
                f"shares are {self.shares}: they must be above 0 and below 1 (at 1, "
                "rounding would decide which units learn)"
            )
        if not (self.deltas[0] > 0 and math.isfinite(self.deltas[-1])):
            raise ValueError(f"deltas are {self.deltas}: they must be positive")
        if not (self.ks[0] >= 2 and self.ks[-1] <= self.units[0]):
            raise ValueError(
                f"ks are {self.ks}: give ranks from 2 to {self.units[0]}, the number of "
                "units of the smallest network"
            )
        if not 0 < self.durations[0] <= 100:
            raise ValueError(
                f"durations are {self.durations}: give positive times, the first of them "
                "at most 100, which all sizes of network use"
            )

    def _check_training(self) -> None:
        for name in ("train_duration", "rate"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}: it must be positive and finite")
        if self.presentations < 10:
            raise ValueError(
                f"presentations is {self.presentations}: 10 or more are needed, for 10 "
                "snapshots"
            )

    @property
    def quick(self) -> bool:
        """Whether this is the quick preset."""
        return self.preset == "quick"

    @property
    def trained_units(self) -> tuple[int, ...]:
        """Sizes that are trained in mini-batches and timed."""
        return self.units if self.trained is None else self.trained

    def is_first(self, num_units: int) -> bool:
        """Return whether this is the first size of network, which has most trials."""
        return num_units == self.units[0]

    def has_all(self, num_units: int) -> bool:
        """Return whether a size of network has all stages and kinds of images."""
        return self.is_first(num_units) or not self.quick

    def strengths_of(self, num_units: int) -> tuple[float, ...]:
        """Return the strengths of inhibition of one step for a size of network."""
        every = 1 if self.is_first(num_units) or len(self.w_inh) < 4 else 2
        return self.w_inh[every - 1 :: every]

    def durations_of(self, num_units: int, w_inh: float) -> tuple[float, ...]:
        """Return the presentation times of one step for a size of network."""
        slow = self.is_first(num_units) and w_inh >= 0.9
        return tuple(t for t in self.durations if slow or t <= 100)

    def full_passes_of(self, num_units: int) -> int:
        """Return the number of epochs of a whole training in mini-batches.

        Larger networks need more epochs until the weights of all units have norm 1.
        """
        return self.epochs if self.is_first(num_units) else 2 * self.epochs

    def passes_of(self, num_units: int, epochs: int) -> int:
        """Return the number of epochs before one step of learning."""
        return epochs if self.is_first(num_units) else max(1, epochs // 2)


QUICK = Config(
    data="digits",
    units=(20, 40),
    seeds=2,
    num_images=(8, 4),
    w_inh=(0.5, 0.9),
    durations=(5, 20, 50),
    shares=(0.99,),
    deltas=(0.4,),
    epochs=20,
    head_epochs=20,
    presentations=50,
    train_duration=10,
    step_backend="numpy",  # compiling would take longer than these short simulations
    backend="numpy",
    trained=(20,),
)


def chosen(config: Config) -> Config:
    """Return the settings to use: with the quick preset, QUICK in place of defaults."""
    if not config.quick:
        return config
    small = {
        field.name: getattr(QUICK, field.name)
        for field in fields(Config)
        if getattr(config, field.name) == field.default
    }
    return replace(config, **small)
