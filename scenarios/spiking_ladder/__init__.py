"""What does the rate circuit leave out, compared with one of spiking cells?

Puts the same non-negative weights into the spiking and the rate circuit, and asks:

- winners: how often is the cell that fires first, or most, the one of the largest drive?
- changes: is the weight change of one presentation under spike-timing-dependent plasticity
  that of eq. 3 and 9?
- transfer: how well do spikes classify images with weights that `fastpath` trained in
  seconds, and what does it cost against the same weights in `fastpath`?
- cost: the time of each level for an image.
"""

from dataclasses import dataclass

import xarray as xr

from fastpath.data import datasets
from neurodyn import SpikingInhibition
from scenarios.spiking_ladder.figure import draw, table
from scenarios.spiking_ladder.parts import Changes, Cost, Part, Transfer, Winners
from scenarios.spiking_ladder.weights import LEARNED, RANDOM, Weights
from scenarios.support import study
from scenarios.support.checks import check_counts
from scenarios.support.study import CircuitStudy
from scenarios.support.trials import Source

LABELLED, LABELLED_QUICK = 20_000, 500  # training images from which cells get labels
PROTOCOL = (
    "{data}; non-negative weights trained by ranking from raw pixels, rows of norm 1. "
    "Spiking circuit of Diehl & Cook (2015), each image from rest for 350 ms. Winners and "
    "changes: {units} units, θ = 40 mV, {shown} test images. Transfer: {many} units, θ = "
    "{theta:g} mV, one shared I cell, images with fewer than 5 spikes shown again at a "
    "higher rate, labels from {labelled} training images; θ and the scale of weights were "
    "chosen on images held out of training."
)


@dataclass(frozen=True, kw_only=True)
class Config(CircuitStudy):
    """Which parts to compute. Results already on record are plotted too."""

    usual_data = "mnist"

    units: int | None = None
    """Number of units where winners, changes and cost are compared [100; quick: 20]."""
    many: int | None = None
    """Number of units of the transfer [2000; quick: 50]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units", "many")


def main(config: Config) -> xr.Dataset:
    """Compute missing parts, print the tables, draw the figure; return the results."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "spiking_ladder")
    made = trials(config, Source.of(config.sets[0], config.data_root))
    sizes = {type(trial).__name__: trial for trial in made}
    transfer = sizes["Transfer"]
    assert isinstance(transfer, Transfer)
    result = study.filled(
        config,
        where,
        made,
        title="The same weights in circuits of spikes and of rates",
        protocol=PROTOCOL.format(
            data=transfer.weights.source.name,
            units=sizes["Winners"].weights.num_units,
            shown=sizes["Winners"].num_images,
            many=transfer.weights.num_units,
            theta=transfer.theta_mv,
            labelled=transfer.labelled,
        ),
    )
    result = result.sel(data=transfer.weights.source.label)
    print(table(result))
    study.save(draw(result), where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def trials(config: Config, source: Source) -> list[Part]:
    """Return the parts of all seeds."""
    quick = config.quick
    few = config.units or (20 if quick else 100)
    many = config.many or (50 if quick else 2000)
    images = source.load()
    num_train, num_test = len(images.x_train), len(images.x_test)
    backend = "cuda" if config.device == "cuda" else config.backend or "cpp"

    def weights(network: str, num_units: int, seed: int, p: float) -> Weights:
        return Weights(
            network=network,
            source=source,
            num_units=num_units,
            seed=seed,
            p=p,
            epochs=10 if quick else 15,
            head_epochs=5 if quick else 20,
            device=config.device,
        )

    made: list[Part] = []
    for seed in config.seeds_of(few):
        small = weights(LEARNED, few, seed, 2.0)
        shown = min(num_test, 20 if quick else 300)
        common = {"weights": small, "num_images": shown, "backend": backend}
        knobs = ("w_ie",) if quick else tuple(Winners.__dataclass_fields__["knobs"].default)
        made += [Winners(**common, knobs=knobs), Changes(**common)]
        if seed == 0:
            made.append(Cost(**common))
        made += [
            Transfer(
                weights=weights(network, many, seed, 3.0),
                num_images=min(num_test, 10_000),
                labelled=min(num_train, LABELLED_QUICK if quick else LABELLED),
                circuit=SpikingInhibition(num_inh=1),
                theta_mv=53.0,
                backend=backend,
            )
            for network in (LEARNED, RANDOM)
        ]
    return made
