"""Calls with valid arguments, of which a test replaces one."""

import torch

from fastpath import baselines, experiment, readout
from fastpath.baselines import Backprop
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig
from fastpath.training.loop import Training

DIGITS = datasets.load("digits")


def seeded():
    return torch.Generator().manual_seed(0)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fit(x, y, num_classes=3, **settings):
    return readout.fit(
        x,
        y,
        num_classes=num_classes,
        readout=Readout(epochs=1),
        generator=seeded(),
        progress=False,
        **settings,
    )


def learn(split, *, num_classes=10, num_units=5, p=2.0, **other):
    settings = {
        "layer": DenseSettings(num_units=num_units, p=p),
        "competition": Ranking(),
        "training": Training(epochs=1),
        "preprocess": Preprocess(),
        "readout": Readout(epochs=1),
        "generator": seeded(),
    }
    return experiment.learn(
        split, num_classes=num_classes, progress=False, **settings | other
    )


def back_propagate(split, **other):
    settings = {
        "num_units": 5,
        "num_classes": 10,
        "backprop": Backprop(epochs=1),
        "preprocess": Preprocess(),
        "generator": seeded(),
    }
    return baselines.backprop(split, progress=False, **settings | other)


def configured(*, units=5, p=2.0, **other):
    settings = {
        "data": "digits",
        "layer": DenseSettings(num_units=units, p=p),
        "seed": 0,
        "validation": 0,
        "competition": Ranking(),
        "training": Training(),
        "preprocess": Preprocess(),
        "readout": Readout(),
    }
    return RunConfig(**settings | other)
