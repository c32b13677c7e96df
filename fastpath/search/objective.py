"""What a search minimises: the mean error on held-out training images."""

import functools
import hashlib
import json
import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fastpath import checks
from fastpath.commands.flags import Train
from fastpath.commands.train import check_alone, checked, ineffective
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.data.augment import Augment
from fastpath.data.images import Images
from fastpath.runs.config import RunConfig
from fastpath.runs.execute import begin, learn
from fastpath.search.probes import Probes
from fastpath.search.rotations import ANGLES, check_square, rotated
from fastpath.search.space import Space, Value

HELD_OUT = 6  # one of so many training images is held out, by default
DRAWS = 50  # random settings that are checked before a search begins

type Params = Mapping[str, Value]
# Called with the data set and the seed, the percentage of the training that is done, and
# the error so far.
type OnProbe = Callable[[str, int, int, float], None]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The data sets, the settings that are searched, and how each choice is scored."""

    data: tuple[str, ...]
    settings: tuple[str, ...]
    """Fixed and searched settings, as text: see `Space.parsed`."""
    seeds: int = 1
    """Seeds of each data set, from 0: of the weights, of the order of the images, and of
    the choice of those held out."""
    validation: int | None = None
    """Training images held out of each data set [a sixth]."""
    score: str = "labels"
    """"labels": the error of the readout; "rotation": that of a readout which tells by what
    angle images were rotated, for which no label is used: see `rotations`."""
    prune: bool = True
    """Stop trainings that are clearly worse than others."""

    def __post_init__(self) -> None:
        score = checks.one_of("labels", "rotation")
        checks.fields(self, seeds=checks.count, prune=checks.flag, score=score)
        if not self.data:
            raise ValueError("there is no data set: give --data")
        if len(set(self.data)) < len(self.data):
            raise ValueError("a data set is named twice: name each once")
        if self.validation is not None:
            checks.fields(self, validation=checks.count)
        object.__setattr__(self, "data", tuple(map(datasets.located, self.data)))
        # In one order, on which the proposals of the sampler depend.
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))
        Space.parsed(self.settings)  # refuses settings that are wrong

    @functools.cached_property
    def space(self) -> Space:
        """The settings that are searched."""
        return Space.parsed(self.settings)

    @property
    def instances(self) -> list[tuple[str, int]]:
        """Each data set with each seed: the error is the mean over them."""
        return [(data, seed) for data in self.data for seed in range(self.seeds)]

    def held_out(self, images: Images) -> int:
        """Return how many training images are held out."""
        if self.validation is not None:
            return self.validation
        return len(images.x_train) // HELD_OUT

    def check(self, root: Path | None) -> None:
        """Raise ValueError unless the data sets are there, and settings fit them.

        Tried are the ends of each range and the entries of each list, one by one, and
        random settings. Some may be refused: only if all are, the search is.
        """
        images = {data: load(data, root) for data in self.data}
        for each in images.values():
            self._check_images(each)
        has_effect, refused, allowed = set(), None, False
        for params in (*self.space.ends(), *self.space.drawn(DRAWS)):
            try:
                runs = [self.run(params, images[data], data, seed=0) for data in self.data]
            except ValueError as error:
                refused = error
                continue
            allowed = True
            for data, (command, config) in zip(self.data, runs, strict=True):
                has_effect |= {*_given(command)}
                self._check_augmentation(config.augment, images[data])
        if not allowed and refused is not None:
            raise ValueError(f"none of the settings can be trained: {refused}") from refused
        given = {*self.space.fixed, *self.space.searched}
        if without := sorted(given - has_effect):
            have, them = ("has", "it") if len(without) == 1 else ("have", "them")
            raise ValueError(
                f"{', '.join(without)} {have} no effect with any of the other settings: "
                f"leave {them} out"
            )

    def _check_images(self, images: Images) -> None:
        """Raise ValueError unless images can be held out, and scored."""
        if not 0 < self.held_out(images) < len(images.x_train):
            raise ValueError(
                f"validation is {self.validation}: 1 to {len(images.x_train) - 1} of the "
                f"training images of '{images.name}' can be held out"
            )
        if self.score == "rotation":
            check_square(images.shape)

    def _check_augmentation(self, policy: Augment, images: Images) -> None:
        """Raise ValueError unless a policy fits the images, and what is scored."""
        if policy.changes:
            policy.check(torch.from_numpy(images.x_train[:1]))
        if self.score == "rotation" and policy.of("readout"):
            raise ValueError(
                "the readout that tells rotations learns from images as they are: give "
                "augment_use=features"
            )

    def run(
        self, params: Params, images: Images, data: str, *, seed: int, test: bool = False
    ) -> tuple[Train, RunConfig]:
        """Return the run of these settings on a data set, without those of no effect.

        Parameters
        ----------
        test
            Learn from all training images, to be scored on the test set.

        Raises
        ------
        ValueError
            If the settings do not fit together, or not to the images.
        """
        held_out = 0 if test else self.held_out(images)
        place: dict[str, Any] = {"data": data, "seed": seed, "validation": held_out}
        place["snapshots"] = None if test else 0
        command, config = effective(self.space.command(params, **place), images)
        if self.score == "rotation" and config.backprop is not None:
            raise ValueError(
                "back-propagation learns from labels, and --score rotation is for searches "
                "without: leave control=backprop out"
            )
        return command, config

    def key(self, params: Params, root: Path | None) -> str:
        """Return a digest of the runs of these settings: equal ones need no second run."""
        runs = []
        for data in self.data:
            try:
                _, config = self.run(params, load(data, root), data, seed=0)
                runs.append(config.as_json())
            except ValueError:
                runs.append(dict(params))
        text = json.dumps(runs, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def order(self, number: int) -> list[tuple[str, int]]:
        """Return the instances in the random order in which a trial of this number runs."""
        instances = self.instances
        random.Random(number).shuffle(instances)
        return instances

    def error(
        self, params: Params, instance: tuple[str, int], compute: Compute, probe: OnProbe
    ) -> float:
        """Train and score these settings on a data set with a seed; return the error [%].

        `probe` is told the error so far and may raise an exception, which ends the run.

        Raises
        ------
        ValueError
            If the settings do not fit together, or the training diverges.
        """
        data, seed = instance
        images = load(data, compute.data_root)
        device = compute.ready()
        _, config = self.run(params, images, data, seed=seed)
        split, generator = begin(config, images, device)
        by_label = self.score == "labels"
        scored = split if by_label else rotated(split)
        num_classes = len(images.classes) if by_label else ANGLES
        probes = Probes(
            config,
            split,
            scored=scored,
            num_classes=num_classes,
            report=lambda percent, error: probe(data, seed, percent, error),
        )
        trained = learn(
            config,
            split,
            scored=scored,
            num_classes=num_classes,
            generator=generator,
            kernels=compute.kernels,
            callbacks=[probes] if self.prune else [],
            on_readout_epoch=probes.on_readout_epoch if self.prune else None,
            progress=False,
        )
        assert trained is not None
        error = float(trained.metrics["validation_error"])
        if not math.isfinite(error):
            raise ValueError("the training diverged: the error is not finite")
        return error


def effective(command: Train, images: Images) -> tuple[Train, RunConfig]:
    """Return a command without the settings that have no effect, and its configuration.

    Raises
    ------
    ValueError
        If the settings do not fit together, or not to the images.
    """
    check_alone(command)
    number = len(images.x_train) - command.validation
    config = checked(command, images.origin, number)
    without = {name for each in ineffective(command, config) for name in each.names}
    without -= {"snapshots"}
    if any(getattr(command, name) is not None for name in without):
        none: dict[str, Any] = dict.fromkeys(without)
        command = replace(command, **none)
        config = checked(command, images.origin, number)
    return command, config


@functools.lru_cache(maxsize=4)
def load(data: str, root: Path | None) -> Images:
    """Return a data set, kept for the next trials of this process."""
    return datasets.load(data, root)


def mean(errors: Mapping[str, float]) -> float:
    """Return the mean error of instances."""
    return statistics.fmean(errors.values())


def name_of(instance: tuple[str, int]) -> str:
    """Return the name of a data set and seed in the attributes of a trial."""
    data, seed = instance
    return f"{data}/{seed}"


def _given(command: Train) -> list[str]:
    """Return the settings that a command gives."""
    flags = [name for name, value in vars(command).items() if value is not None]
    return [*flags, *(change.partition("=")[0] for change in command.set)]


@functools.cache
def digests(data: tuple[str, ...], root: Path | None) -> dict[str, str]:
    """Return the digest of the training images of each data set."""
    return {name: load(name, root).digests["images"] for name in data}
