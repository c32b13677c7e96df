"""How well do spiking cells classify digits that learn by spike timing, without labels?

Trains the network of Diehl & Cook (2015) on MNIST: excitatory cells that inhibit each
other, and learn by spike-timing-dependent plasticity from images as spike trains. Then
weights and thresholds are frozen, and each cell gets the label to which it responds most,
from training images only. Test images are classified by vote, by a vote that weighs cells
by their selectivity, and by a linear classifier of spike counts. Control: random weights,
with thresholds that adapt.
"""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

import neurodyn
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from scenarios.diehl_cook.experiment import RANDOM, STDP, Spiking
from scenarios.diehl_cook.figure import draw, movie, table
from scenarios.support import study
from scenarios.support.checks import check_counts
from scenarios.support.study import CircuitStudy
from scenarios.support.trials import Source

PUBLISHED = 400  # number of cells for which the settings are published
PER_PIXEL = 0.1  # mean weight of a cell, as the published sum of 78 for 784 pixels
PROTOCOL = (
    "{data}, circuit of Diehl & Cook (2015): each image for {image:g} ms after {rest:g} "
    "ms of rest, dt = {dt:g} ms; each pass over the training images in another order. Test "
    "images are scored after training, with weights and thresholds frozen; labels of "
    "cells, and the linear classifier of spike counts, from {labelled} training images. "
    "Published settings with 400 cells; with fewer, the step of θ and the learning rate "
    "are smaller, chosen on images held out of training."
)


@dataclass(frozen=True, kw_only=True)
class Config(CircuitStudy):
    """Which networks to train. Results already on record are plotted too."""

    usual_data = "mnist"

    units: tuple[int, ...] | None = None
    """Numbers of E cells [100 400; quick: 50]."""
    passes: int | None = None
    """Number of passes over the training images [3; quick, and below 400 units: 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units", "passes")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of E cells."""
        return self.units or ((50,) if self.quick else (100, 400))

    def passes_of(self, num_units: int) -> int:
        """Return the number of passes: few cells have learned what they can in one."""
        return self.passes or (1 if self.quick or num_units < PUBLISHED else 3)


def main(config: Config) -> xr.Dataset:
    """Train missing networks, print the table, draw the figure; return the results."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "diehl_cook")
    kept = None if config.overwrite else where.trials
    made = trials(config, Source.of(config.sets[0], config.data_root), kept)
    one = made[0]
    recorded = study.filled(
        config,
        where,
        made,
        title="Spiking cells that learn by spike timing",
        protocol=PROTOCOL.format(
            data=one.source.name,
            image=one.stimulus.image_ms,
            rest=one.stimulus.rest_ms,
            dt=one.dt_ms,
            labelled=one.labelled,
        ),
    )
    for trial in made:
        trial.tidy()
    result = recorded.sel(data=one.source.label)
    print(table(result))
    study.save(draw(result), where.figure)
    animation = movie(result, where.figure.with_suffix(".gif"))
    print(f"wrote {where.record}, {where.figure} and {animation}")
    return result


def trials(config: Config, source: Source, folder: Path | None = None) -> list[Spiking]:
    """Return the networks; a training that is stopped goes on from files in `folder`."""
    images = source.load()
    number, pixels = len(images.x_train), images.x_train[0].size
    stimulus = neurodyn.PoissonPresentation()
    if config.quick:
        stimulus = neurodyn.PoissonPresentation(rate_hz=127.5)
    first = 400 if config.quick else 20_000
    early = (first,) if first < number else ()
    adapting = min(number, 400 if config.quick else 10_000)

    def network(name: str, num_units: int, seed: int) -> Spiking:
        passes = range(1, 1 + config.passes_of(num_units))
        learned = (*early, *(number * each for each in passes))
        circuit, rule = settings(num_units, pixels, quick=config.quick)
        return Spiking(
            network=name,
            source=source,
            num_units=num_units,
            seed=seed,
            preprocess=Preprocess(),
            device=config.device,
            backend=config.backend or "cpp",
            folder=folder,
            circuit=circuit,
            rule=rule if name == STDP else None,
            stimulus=stimulus,
            seen=learned if name == STDP else (adapting,),
            labelled=min(number, 500 if config.quick else 10_000),
            fields=100 if name == STDP and seed == 0 else 0,
        )

    return [
        network(name, num_units, seed)
        for name in (STDP, RANDOM)
        for num_units in config.sizes
        for seed in config.seeds_of(num_units)
    ]


def settings(
    num_units: int, num_pixels: int, *, quick: bool
) -> tuple[neurodyn.SpikingInhibition, neurodyn.DiehlCook]:
    """Return circuit and rule: the published values with 400 cells.

    The fewer cells there are, the more often each one fires, and the faster θ grows: so the
    step of θ is in proportion to their number. With fewer cells half the learning rate was
    better, too. Both were chosen on images held out of training (100 cells, one seed).
    """
    total = PER_PIXEL * num_pixels
    if quick:  # with 64 pixels in place of 784, each one counts for more
        rule = neurodyn.DiehlCook(total=3 * total, eta_post=0.05)
        return neurodyn.SpikingInhibition(), rule
    circuit = neurodyn.SpikingInhibition(theta_plus_mv=0.05 * num_units / PUBLISHED)
    eta_post = 0.01 if num_units >= PUBLISHED else 0.005
    return circuit, neurodyn.DiehlCook(total=total, eta_post=eta_post)
