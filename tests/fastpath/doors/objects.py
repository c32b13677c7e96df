"""Objects with a role (split, settings, competition): taken, or refused in a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fastpath import baselines, experiment
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Ranking
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense, DenseSettings, constraints
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots
from tests.fastpath.doors.valid_calls import (
    DIGITS,
    back_propagate,
    configured,
    learn,
    normal,
    seeded,
)

ROLES = {
    "training": (Training, "training is"),
    "preprocess": (Preprocess, "preprocess is"),
    "readout": (Readout, "readout is"),
    "layer": (DenseSettings, "layer is"),
    "competition": (Ranking, "competition is"),
    "checkpoints": (Checkpoints, "checkpoints is"),
    "generator": (torch.Generator, "generator is"),
    "num_units": (int, "units is"),
    "p": (float, "p is"),
}


@pytest.mark.parametrize("name", ROLES)
def test_classes_and_strings_for_objects_are_refused(name):
    split = experiment.split(DIGITS, validation=0, generator=seeded())
    kind, message = ROLES[name]
    for wrong in (kind, "Ranking", {"k": 2}):
        with pytest.raises(ValueError, match=message):
            learn(split, **{name: wrong})


def test_other_roles():
    split = experiment.split(DIGITS, validation=0, generator=seeded())
    x = split.x_train
    layer = Dense.random(5, 64, generator=seeded())
    settings = {
        "competition": Ranking(),
        "training": Training(epochs=1),
        "preprocess": Preprocess().fit(x),
        "generator": seeded(),
        "progress": False,
    }
    for call, message in (
        (lambda: learn("digits"), "split is 'digits': a Split is needed"),
        (lambda: learn(experiment.Split), "split is the class Split"),
        (lambda: train(Dense, x, **settings), "layer is the class Dense"),
        (lambda: train(layer.weights, x, **settings), "layer is Tensor of shape"),
        (lambda: train(layer, x, callbacks=[25], **settings), "callback is int 25"),
        (lambda: train(layer, x, callbacks=None, **settings), "callbacks is None: a list"),
        (
            lambda: train(layer, x, callbacks=Snapshots([0]), **settings),
            "callbacks is Snapshots",
        ),
        (
            lambda: train(layer, x, callbacks=[Snapshots], **settings),
            "callback is the class Snapshots",
        ),
        (
            lambda: train(layer, x, callbacks=[Snapshots(), Snapshots()], **settings),
            "more than one Snapshots",
        ),
        (lambda: train(layer, DIGITS, **settings), "x is Images"),
        (lambda: back_propagate(split, backprop=Backprop), "backprop is the class"),
        (lambda: back_propagate(split, preprocess=Preprocess), "preprocess is the class"),
        (lambda: back_propagate(split, num_units=2.5), "units is 2.5"),
        (lambda: back_propagate(split, first=[[1.0]]), "first is list"),
        (
            lambda: experiment.split("digits", validation=0, generator=seeded()),
            "images is 'digits': an Images is needed",
        ),
        (
            lambda: experiment.split(DIGITS, validation=2.5, generator=seeded()),
            "validation is 2.5: a whole number",
        ),
        (
            lambda: baselines.kmeans(
                x,
                num_units=5,
                kmeans=KMeans,
                preprocess=FittedPreprocess(Preprocess(), torch.zeros(64)),
                seed=0,
            ),
            "kmeans is the class KMeans",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with_arrays = train(layer, x.numpy(), **settings)
    assert with_arrays.sizes["epoch"] == 1


def test_a_split_of_arrays_is_one_of_tensors():
    tensors = experiment.split(DIGITS, validation=0, generator=seeded())
    arrays = experiment.Split(
        DIGITS.x_train,
        DIGITS.y_train.astype(np.uint8),
        DIGITS.x_test,
        DIGITS.y_test.astype(np.int32),
        "test",
    )
    one, other = (
        learn(split, num_units=np.int64(5), num_classes=10.0, p=np.float64(2.0))
        for split in (tensors, arrays)
    )
    assert torch.equal(one.weights, other.weights)
    assert one.metrics["test_error"] == other.metrics["test_error"]
    with pytest.raises(ValueError, match=r"y_train has shape \(3,\): one label per image"):
        experiment.Split(DIGITS.x_train, DIGITS.y_train[:3], DIGITS.x_test, None, "test")
    with pytest.raises(ValueError, match="they must have one size"):
        experiment.Split(
            DIGITS.x_train, DIGITS.y_train, DIGITS.x_test[:, :4], DIGITS.y_test, "test"
        )


class Own(Ranking):
    def __call__(self, drive):
        return drive


class OwnPreprocess(Preprocess):
    pass


def test_configurations_can_be_written_down_and_read_again():
    config = configured(
        units=np.int64(5),
        p=np.float64(2.0),
        seed=np.int64(0),
        validation=0.0,
        snapshots=np.int64(25),
        competition=Ranking(k=np.int64(2), delta=np.float64(0.4)),
    )
    signed = DenseSettings(constraint=constraints.same_sign(1))
    assert repr(config) == repr(configured())
    written = json.loads(json.dumps(config.as_json()))
    assert repr(RunConfig.from_json(written, Path("config.json"))) == repr(configured())
    for other, message in (
        ({"competition": Own()}, "competition is Own.*can name only Ranking"),
        ({"competition": Ranking}, "a file can name only Ranking"),
        ({"layer": Dense(normal(5, 9))}, "a file can name only DenseSettings"),
        ({"layer": signed}, "its constraint is Constraint.*no file can hold"),
        ({"preprocess": OwnPreprocess()}, "a run that is saved"),
        ({"training": Training}, "the class Training"),
        ({"readout": "tanh"}, "a Readout is needed"),
        ({"units": 5.5}, "units is 5.5"),
        ({"seed": "0"}, "seed is '0'"),
        ({"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            configured(**other)
