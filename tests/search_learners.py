"""Networks of the studies that search, small: see `learners`."""

from dataclasses import replace
from typing import Any

from scenarios import augmentation, joint_search
from scenarios.support.trials import Network, Source

SHORT = {"epochs": 2, "batch_size": 44, "head_epochs": 2}
PUBLISHED = "published search"
POLICY = {"augment_flip": 0.5, "augment_crop": 1}


def networks(source: Source, units: int) -> dict[str, list[Network]]:
    """Return one network of each kind, by the name of the study."""
    found = {name: {"best": {"units": units, **SHORT}} for name in ("given", "all at once")}
    quick: dict[str, Any] = {"preset": "quick", "units": units, "seeds": 1}
    joint = joint_search.networks(joint_search.Config(**quick), source, found)
    policies = {
        augmentation.search_name(source, name): {"best": POLICY}
        for name in augmentation.SEARCHES
    }
    augmented = augmentation.networks(augmentation.Config(**quick), source, policies)
    return {
        "joint_search": [
            replace(one, num_units=units, epochs=2) if one.network == PUBLISHED else one
            for one in joint
            if one.network in ("its own search", PUBLISHED)
        ],
        "augmentation": [one for one in augmented if one.network == "both (labels)"],
    }
