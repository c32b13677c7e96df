"""What the ladder compares, and with how much of it."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import neurodyn
from scenarios.support.checks import check_counts, check_increasing, check_sharing


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared. The defaults take about 45 minutes on one core."""

    data: str = "mnist"
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    data_root: Path | None = None
    """Where data sets lie [$NEURODYN_DATA, else the user's cache]."""
    units: tuple[int, ...] = (100, 500)
    """Sizes of networks. The circuit is trained, and timed, at the first."""
    trained: tuple[int, ...] | None = None
    """Those sizes that are trained in mini-batches and timed [all]."""
    seeds: int = 3
    """Networks of each kind."""
    num_images: tuple[int, ...] = (20, 20)
    """Images shown to the circuit for one step of learning, for each size of network."""
    w_inh: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.2)
    """Strengths of lateral inhibition of one step; larger networks than the first have
    every second of them."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100, 300)
    """Presentation times T of one step, in time constants τ. Those above 100 are for the
    first size of network only, and for w_inh of 0.9 or more."""
    shares: tuple[float, ...] = (0.5, 0.7, 0.9, 0.99)
    """Thresholds h* that are a share of the winner's settled activity; one fixed h*, which
    most training images pass with one unit, is compared as well."""
    ks: tuple[int, ...] = (2, 3, 7)
    """Ranks k that unlearn."""
    deltas: tuple[float, ...] = (0.2, 0.4, 0.8)
    """Strengths Δ of unlearning."""
    epochs: int = 10
    """Passes of mini-batch learning over all images, until the weights are late. Larger
    networks than the first have half as many for one step of learning, and twice as many
    for whole trainings."""
    head_epochs: int = 10
    """Passes of the readout, and of back-propagation."""
    presentations: int = 20_000
    """Images shown one by one to networks that learn at batch 1, the circuit included."""
    train_duration: float = 50
    """T/τ of the circuit that learns continuously; settled learning takes twice as long."""
    rate: float = 0.05
    """Step ε of learning at batch 1, images of unit norm: T / τ_L of the circuit."""
    step_backend: str = "cython"
    """Backend of Brian2 for one step: numpy, or cython, which compiles once for all."""
    backend: str = "cpp"
    """Backend of Brian2 for whole trainings."""
    preset: Literal["full", "quick"] = "full"
    """quick: the digits, and little of everything that is not given: about a minute."""
    workers: int = 0
    """Processes among which the grid is shared; 0: none but this one."""
    scheduler: str | None = None
    """Address of a running dask scheduler that shares it (host:port)."""
    out: Path | None = None
    """Folder of results, where finished parts are kept [runs/ladder]."""
    figure: Path | None = None
    """File of the figure; its panels lie beside it [figures/ladder.png]."""
    overwrite: bool = False
    """Compute finished parts again."""

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
                f"num_images is {self.num_images}: for each of the sizes {self.units} one "
                "number, 2 or more, is needed"
            )
        if not (self.trained_units and set(self.trained_units) <= set(self.units)):
            raise ValueError(
                f"trained is {self.trained}: it must be some of the sizes {self.units}"
            )
        if not (self.shares[0] > 0 and self.shares[-1] < 1):
            raise ValueError(
                f"shares are {self.shares}: above 0 and below 1 are needed (at 1, rounding "
                "would decide who learns)"
            )
        if not (self.deltas[0] > 0 and math.isfinite(self.deltas[-1])):
            raise ValueError(f"deltas are {self.deltas}: they must be positive")
        if not (self.ks[0] >= 2 and self.ks[-1] <= self.units[0]):
            raise ValueError(
                f"ks are {self.ks}: ranks from 2 to the {self.units[0]} units of the "
                "smallest network can unlearn"
            )
        if not 0 < self.durations[0] <= 100:
            raise ValueError(
                f"durations are {self.durations}: positive times are needed, and one of at "
                "most 100, which all networks can afford"
            )

    def _check_training(self) -> None:
        for name in ("train_duration", "rate"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}: it must be positive and finite")
        if self.presentations < 10:
            raise ValueError(
                f"presentations is {self.presentations}: 10 or more are needed, for as "
                "many snapshots"
            )

    @property
    def quick(self) -> bool:
        """Whether this is the short version."""
        return self.preset == "quick"

    @property
    def trained_units(self) -> tuple[int, ...]:
        """Sizes that are trained in mini-batches and timed."""
        return self.units if self.trained is None else self.trained

    def is_first(self, num_units: int) -> bool:
        """Return whether this is the size of network of which most is computed."""
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
        """Return how often a size of network that is trained at full scale sees all images.

        More units need longer until their norms are 1.
        """
        return self.epochs if self.is_first(num_units) else 2 * self.epochs

    def passes_of(self, num_units: int, epochs: int) -> int:
        """Return how often a size of network sees all images."""
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
    step_backend="numpy",  # compiling would take longer than so little takes to run
    backend="numpy",
    trained=(20,),
)


def chosen(config: Config) -> Config:
    """Return the settings to use: QUICK, where a quick one has defaults."""
    if not config.quick:
        return config
    small = {
        field.name: getattr(QUICK, field.name)
        for field in fields(Config)
        if getattr(config, field.name) == field.default
    }
    return replace(config, **small)
