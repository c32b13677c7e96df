"""Does one choice of settings serve CIFAR-100, MNIST and Fashion-MNIST?

Searches settings for each data set, and settings for all three at once: the smallest mean
error on held-out training images. Then it trains with each choice on all training images
and scores the test set. Beside them: the defaults, the network of a joint search by others,
random weights and back-propagation.
"""

from dataclasses import dataclass
from typing import Any

import xarray as xr

from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.search.objective import Objective
from scenarios.joint_search.figure import draw, table
from scenarios.joint_search.published import NUM_UNITS, Published
from scenarios.support import searches, study
from scenarios.support.searches import SearchStudy, Tuned, as_texts, found
from scenarios.support.trials import EndToEnd, Network, Source

JOINT = "all at once"
SPACE = (
    *("lr=0.02:0.5:log", "p=2,3", "k=2:12", "delta=0:0.6", "epochs=10:30"),
    *("center_images=true,false", "power=1:6", "head_loss=tanh,cross-entropy"),
    *("head_smoothing=0:0.3", "head_lr=0.001:0.03:log", "head_epochs=10:40"),
)
QUICK_SPACE = ("lr=0.02:0.5:log", "delta=0:0.6", "epochs=2", "head_epochs=2")
PROTOCOL = (
    "Test error of the last epoch. Settings by Optuna's multivariate TPE on a sixth of the "
    "training images, held out, one seed; the test set was used once, for this figure. "
    "Random weights have the defaults' readout, tuned for them. Back-propagation has the "
    "settings of scenarios.hidden_size. The published search: its own rule, 744 units."
)


@dataclass(frozen=True, kw_only=True)
class Config(SearchStudy):
    """How much to search. Searches and networks on record are not computed again."""

    usual_sets = ("cifar100", "mnist", "fashion_mnist")
    usual_trials = (60, 5)


def main(config: Config) -> xr.Dataset:
    """Search, train what is missing, print the table, draw the figure."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "joint_search")
    sources = [Source.of(path, config.data_root) for path in config.sets]
    results = search(config, where)
    result = study.filled(
        config,
        where,
        [trial for source in sources for trial in networks(config, source, results)],
        title="Settings searched for each data set, and for all at once",
        protocol=PROTOCOL,
    )
    print(table(result, results))
    study.save(draw(result, results), where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def search(config: Config, where: study.Paths) -> dict[str, searches.Found]:
    """Return what each search found, by the name of its data set, or `JOINT`."""
    space = (*(QUICK_SPACE if config.quick else SPACE), f"units={config.num_units}")
    asked: dict[str, tuple[str, ...]] = {
        Source.of(path, config.data_root).label: (path,) for path in config.sets
    }
    if len(config.sets) > 1:
        asked[JOINT] = config.sets
    return {
        name: found(config, where, name, Objective(data=data, settings=space))
        for name, data in asked.items()
    }


def networks(
    config: Config, source: Source, results: dict[str, searches.Found]
) -> list[Network]:
    """Return the networks of a data set: one for each choice of settings and seed."""
    units = (f"units={config.num_units}",)
    chosen = {
        "its own search": as_texts(results[source.label]["best"]),
        "defaults": units,
        "random weights": ("control=random", *units),
    }
    if JOINT in results:
        chosen["search over all"] = as_texts(results[JOINT]["best"])
    defaults = defaults_for(source.origin, config.num_units)
    trials: list[Network] = []
    units_of = {"num_units": config.num_units}
    for seed in config.seeds_of(config.num_units):
        common: dict[str, Any] = {"source": source, "seed": seed, "device": config.device}
        trials += [
            Tuned.of(settings, network=name, **units_of, **common)
            for name, settings in chosen.items()
        ]
        trials += [
            Published(network="published search", num_units=NUM_UNITS, **common),
            EndToEnd(
                network="back-propagation",
                preprocess=defaults.backprop_preprocess,
                backprop=defaults.backprop,
                **units_of,
                **common,
            ),
        ]
    return trials
