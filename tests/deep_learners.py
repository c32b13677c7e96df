"""Small networks of the deep study: see `learners`."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastpath.baselines import Backprop
from fastpath.competition import Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import BatchNorm, Convolution, Read, Triangle
from fastpath.readout import Readout
from fastpath.training.loop import Training
from scenarios.deep.networks import Accuracy, Filters, View
from scenarios.deep.robust import Robust
from scenarios.support import trials
from tests.watching import Learner


def convolutions(**filters: Any) -> StackSettings:
    """Return two layers for images of SIDE x SIDE pixels, both shown to readouts."""
    first = Convolution(
        **{"num_units": 4, "kernel_size": 3, "padding": 1, "initial_norm": 3.0}
        | {"competition": Soft(anti=True), "rate_power": 0.5}
        | filters
    )
    second = replace(first, num_units=5, kernel_size=2)
    layers = ((BatchNorm(), units, Triangle(), Read()) for units in (first, second))
    greedy = first.fitted_once
    return StackSettings(stages=tuple(itertools.chain(*layers)), greedy=greedy)


def networks(
    network: Callable[[Accuracy], Learner],
    training: Training,
    readout: Readout,
    backprop: Backprop,
) -> dict[str, Learner]:
    """Return networks of the deep study, of each kind, as `network` makes learners."""
    head = replace(readout, power=1.0, loss="cross-entropy", scaling="none", dropout=0.5)
    views = (
        View(name="layer 1", layers=(1,), readout=head),
        View(name="drawn", layers=(2,), mirrored="drawn", readout=head),
        View(name="mean", layers=(1, 2), mirrored="mean", readout=head),
    )

    def made(kind: type[Accuracy] = Accuracy, **changes: Any) -> Learner:
        common: dict[str, Any] = {
            "source": trials.Source(name="given", path="given"),
            "num_units": 5,
            "seed": 0,
            "preprocess": Preprocess(),
        }
        settings = {"stack": convolutions(), "training": training} | changes
        filters = Filters(**common, network="filters", **settings)
        return network(
            kind(**common, network="", question="", filters=filters, views=views)
        )

    random = {"training": replace(training, epochs=0)}
    return {
        "deep: learned": made(Robust, flips=True),
        "deep: random": made(**random),
        "deep: k-means": made(stack=convolutions(start_from="kmeans"), **random),
        "deep: patches": made(stack=convolutions(start_from="patches"), **random),
        "deep: back-propagation": made(backprop=backprop, **random),
    }
