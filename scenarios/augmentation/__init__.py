"""Does augmentation help local learning, and can a policy be learned without labels?

Searches a policy of random changes for the training of the features, scored by how well
features tell the rotation of an image (no labels), or by the error on held-out images; and
a policy for the training of the readout alone, the control. Then it trains with each policy
on all training images, 3 seeds, and scores the test set.
"""

from dataclasses import dataclass

import xarray as xr

from fastpath.data import datasets
from fastpath.runs.config import RunConfig
from fastpath.search.objective import Objective
from scenarios.augmentation.figure import draw, table
from scenarios.support import study
from scenarios.support.searches import Found, SearchStudy, Tuned, as_texts, found
from scenarios.support.trials import Network, Source

# Each kind of change may be left out: a range of its probability would hardly ever be 0.
SPACE = (
    *("augment_flip=0,0.5", "augment_crop=0:4"),
    *("augment_affine=0,0.5,1", "augment_rotate=0:30", "augment_zoom=0:0.3"),
    "augment_shear=0:0.3",
    *("augment_jitter=0,0.5,1", "augment_contrast=0:0.5", "augment_brightness=0:0.3"),
    *("augment_erase=0,0.5,1", "augment_erase_size=0.1:0.5"),
)
QUICK_SPACE = ("augment_crop=0:1", "augment_rotate=0:20")
# A search of each data set: by what it is scored, and which training it augments.
WITHOUT_LABELS, LABELS, OF_READOUT = "rotation", "labels", "labels, readout"
SEARCHES = {
    WITHOUT_LABELS: ("rotation", "features"),
    LABELS: ("labels", "features"),
    OF_READOUT: ("labels", "readout"),
}
PROTOCOL = (
    "Test error of the last epoch, default settings. Policies by Optuna's multivariate TPE "
    "on a sixth of the training images, held out, one seed, in brackets by what they were "
    "scored: how well a readout tells four rotations, or the error. The test set was used "
    "once, for this figure."
)


@dataclass(frozen=True, kw_only=True)
class Config(SearchStudy):
    """How much to search. Searches and networks on record are not computed again."""

    usual_sets = ("mnist", "fashion_mnist", "cifar10")
    usual_trials = (30, 4)

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings of all networks."""
        few = ("epochs=2", "head_epochs=2") if self.quick else ()
        return (f"units={self.num_units}", *few)


def main(config: Config) -> xr.Dataset:
    """Search policies, train what is missing, print the table, draw the figure."""
    datasets.check_root(config, *config.sets)
    where = study.paths(config, "augmentation")
    sources = [Source.of(path, config.data_root) for path in config.sets]
    results = search(config, where)
    result = study.filled(
        config,
        where,
        [trial for source in sources for trial in networks(config, source, results)],
        title="Augmentation of the features, of the readout, of both",
        protocol=PROTOCOL,
    )
    print(table(result, results))
    study.save(draw(result), where.figure)
    print(f"wrote {where.record} and {where.figure}")
    return result


def search(config: Config, where: study.Paths) -> dict[str, Found]:
    """Return what each search found, by its name: see `search_name`."""
    space = QUICK_SPACE if config.quick else SPACE
    return {
        (called := search_name(Source.of(path, config.data_root), name)): found(
            config,
            where,
            called,
            Objective(
                data=(path,),
                settings=(*space, *config.settings, f"augment_use={use}"),
                score=score,
            ),
        )
        for path in config.sets
        for name, (score, use) in SEARCHES.items()
    }


def search_name(source: Source, name: str) -> str:
    """Return the name of a search of a data set; `name` is one of `SEARCHES`."""
    return f"{source.label} by {name}"


def networks(config: Config, source: Source, results: dict[str, Found]) -> list[Network]:
    """Return the networks of a data set: for each policy, what it augments, and seed.

    Of equal ones the first is made: where no policy was better than none, there is "none".
    """

    def policy(name: str, use: str) -> tuple[str, ...]:
        best = {**results[search_name(source, name)]["best"], "augment_use": use}
        return tuple(t for t in as_texts(best) if t.startswith("augment_"))

    chosen = {
        "none": (),
        "features (rotation)": policy(WITHOUT_LABELS, "features"),
        "features (labels)": policy(LABELS, "features"),
        "readout (labels)": policy(OF_READOUT, "readout"),
        "both (rotation)": policy(WITHOUT_LABELS, "both"),
        "both (labels)": policy(LABELS, "both"),
        "random weights, none": ("control=random",),
        "random weights, readout (labels)": (
            "control=random",
            *policy(OF_READOUT, "readout"),
        ),
    }
    by_settings: dict[RunConfig, list[Tuned]] = {}
    for name, settings in chosen.items():
        made = [
            Tuned.of(
                (*settings, *_fitting(config.settings, name)),
                network=name,
                source=source,
                num_units=config.num_units,
                seed=seed,
                device=config.device,
            )
            for seed in config.seeds_of(config.num_units)
        ]
        by_settings.setdefault(made[0].config, made)
    return [network for made in by_settings.values() for network in made]


def _fitting(settings: tuple[str, ...], network: str) -> tuple[str, ...]:
    """Return the settings that random weights have too: not the epochs of learning."""
    if not network.startswith("random"):
        return settings
    return tuple(text for text in settings if not text.startswith("epochs="))
