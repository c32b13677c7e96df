"""Do balanced, decorrelated fields emerge where inhibition learns too?

Simulates excitatory (E) and inhibitory (I) cells that see patches of photographs. Pixels
excite E cells through synapses that learn by a Hebbian rule. E→I and I→E synapses learn as
well, each type with its own norm (Eckmann et al. 2024), I→I synapses too in one circuit.
Controls: random synapses between the cells that do not learn, one pool of inhibition, and
random receptive fields.

Inhibition that learns gives more cells a field of their own than static inhibition does.
It decorrelates no better, and a pool decorrelates twice as well. Where I→I synapses learn
as well, all cells end with the same field.
"""

from dataclasses import dataclass

import xarray as xr

from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from scenarios.inhibition_learns.circuits import EXCHANGE, POOLED, Fields
from scenarios.inhibition_learns.figure import draw, table
from scenarios.support import study
from scenarios.support.checks import check_counts
from scenarios.support.study import CircuitStudy
from scenarios.support.trials import Source

# Synapses that learn, by network. POOLED has no inhibitory cells of its own.
NETWORKS = {
    "E→I and I→E learn": ("feedforward", *EXCHANGE),
    "I→I learn too": ("feedforward", *EXCHANGE, "inh_to_inh"),
    "static inhibition": ("feedforward",),
    POOLED: ("feedforward",),
    "random fields": EXCHANGE,
}
NORM_II = 0.3  # of the network in which they learn; the others have no I→I synapses
PROTOCOL = (
    "Patches of {side} x {side} pixels of {data}, gray, of the half with more contrast: "
    "less their mean, of unit norm, whitened (ε = 0.02), as ON and OFF rates of unit norm. "
    "{units} E and {inh} I cells; {shown} patches, each for {ms:g} ms from rest. Measures: "
    "rates at the end of {scored} patches of training images that were held out; "
    "dimension of rates of equal variance. Settings were chosen by such measures and by "
    "eye, on CIFAR-10 and one seed, the pool for a mean rate like that of inhibition that "
    "learns."
)


@dataclass(frozen=True, kw_only=True)
class Config(CircuitStudy):
    """Which circuits to simulate. Results already on record are plotted too."""

    usual_data = "cifar10"

    units: int | None = None
    """Number of E cells, four times that of I cells [80; quick: 20]."""
    presentations: int | None = None
    """Number of patches that circuits learn from [40000; quick: 100]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "units", "presentations")
        if self.num_units < 8:
            raise ValueError(f"units is {self.units}: at least 8 are needed, for 2 I cells")

    @property
    def num_units(self) -> int:
        """Number of E cells."""
        return self.units or (20 if self.quick else 80)

    @property
    def num_patches(self) -> int:
        """Number of patches that circuits learn from."""
        return self.presentations or (100 if self.quick else 40_000)


def main(config: Config) -> xr.Dataset:
    """Simulate missing circuits, print the table, draw the figure; return its results."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "inhibition_learns")
    made = trials(config, Source.of(config.sets[0], config.data_root, gray=True))
    one = made[0]
    recorded = study.filled(
        config,
        where,
        made,
        title="Receptive fields where inhibition learns",
        protocol=PROTOCOL.format(
            side=one.side,
            data=one.source.name,
            units=one.num_units,
            inh=one.num_inh,
            shown=one.presentations,
            scored=one.scored,
            ms=one.image_ms,
        ),
    )
    result = recorded.sel(data=one.source.label, num_units=one.num_units)
    print(table(result, list(NETWORKS)))
    study.save(draw(result, list(NETWORKS)), where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def trials(config: Config, source: Source) -> list[Fields]:
    """Return the circuits."""
    units, quick = config.num_units, config.quick
    held_out = len(source.load().x_train) // 10
    return [
        Fields(
            network=name,
            source=source,
            num_units=units,
            seed=seed,
            preprocess=Preprocess(),
            validation=held_out,
            device=config.device,
            backend=config.backend or ("cython" if quick else "cpp"),
            num_inh=units // 4,
            side=6 if quick else 12,
            presentations=config.num_patches,
            scored=50 if quick else 1000,
            image_ms=50.0 if quick else 100.0,
            dt_ms=0.5 if quick else 0.25,
            learns=learns,
            norm_ii=NORM_II if "inh_to_inh" in learns else 0.0,
        )
        for name, learns in NETWORKS.items()
        for seed in config.seeds_of(units)
    ]
