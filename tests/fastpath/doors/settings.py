"""Numbers, flags and choices in settings: converted, or refused in a sentence."""

import json
import math
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch

from fastpath import baselines, competition, experiment
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.compute import Compute
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense
from fastpath.readout import Readout
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training
from fastpath.training.snapshots import Snapshots, check_number, snapshot_moments
from tests.fastpath.doors.valid_calls import (
    DIGITS,
    normal,
    seeded,
)


def test_quantities_are_refused_where_their_unit_would_be_dropped():
    import brian2 as b2

    for given in (normal(2, 4).numpy() * b2.nA, [1.0, 2.0] * b2.mV):
        with pytest.raises(ValueError, match="here nothing has a unit, so divide by it"):
            competition.settle(given, w_inh=0.5)
    with pytest.raises(ValueError, match=r"delta is 0\.4 nA: here nothing has a unit"):
        Ranking(delta=0.4 * b2.nA)
    with pytest.raises(ValueError, match=r"p is 2\. ms: here nothing has a unit"):
        Dense(normal(3, 4), p=2 * b2.ms)
    assert Ranking(delta=(0.4 * b2.nA) / b2.nA).delta == 0.4


COUNTS = [
    (Ranking, "k"),
    (RunnersUp, "k"),
    (Training, "epochs"),
    (Training, "batch_size"),
    (Readout, "epochs"),
    (Readout, "batch_size"),
    (Backprop, "epochs"),
    (Backprop, "batch_size"),
    (KMeans, "passes"),
    (KMeans, "batch_size"),
]
NUMBERS = [
    (Ranking, "delta"),
    (RunnersUp, "delta"),
    (Equilibrium, "w_inh"),
    (Equilibrium, "h_star"),
    (Equilibrium, "delta"),
    (Soft, "temperature"),
    (Soft, "delta"),
    (Training, "lr"),
    (Readout, "power"),
    (Readout, "m"),
    (Readout, "beta"),
    (Readout, "smoothing"),
    (Readout, "lr"),
    (Backprop, "lr"),
]
FLAGS = [
    (Soft, "anti"),
    (Preprocess, "subtract_mean"),
    (Preprocess, "center_images"),
    (Preprocess, "unit_norm"),
]
CHOICES = [
    (Training, "normalize", ["mean", "none", True, 1]),
    (Readout, "loss", ["mse", "Tanh", None, 0]),
    (Readout, "scaling", ["x", None]),
    (Readout, "schedule", ["linear", None, ["cosine"]]),
]
NO_NUMBERS = ["3", None, True, np.True_, 3j, [3], np.array([3, 3]), torch.ones(2), int]


@pytest.mark.parametrize(("kind", "name"), COUNTS)
@pytest.mark.parametrize(
    "value", [7.0, np.int64(7), np.uint8(7), np.float32(7), np.array(7), torch.tensor(7)]
)
def test_counts_become_int(kind, name, value):
    made, expected = kind(**{name: value}), kind(**{name: 7})
    assert repr(made) == repr(expected)
    assert json.loads(json.dumps(asdict(made))) == asdict(expected)


@pytest.mark.parametrize(("kind", "name"), COUNTS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, 7.5, np.float64(7.5), np.nan, np.inf])
def test_what_is_no_count_is_refused(kind, name, value):
    with pytest.raises(ValueError, match=rf"{name} is .*number is needed"):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.float32(0.5), np.array(0.5), torch.tensor(0.5)]
)
def test_numbers_become_float(kind, name, value):
    made, expected = kind(**{name: value}), kind(**{name: 0.5})
    assert repr(made) == repr(expected)
    assert json.loads(json.dumps(asdict(made))) == asdict(expected)
    assert repr(kind(**{name: Fraction(1, 2)})) == repr(expected)


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, np.nan])
def test_what_is_no_number_is_refused(kind, name, value):
    with pytest.raises(ValueError, match=rf"{name} is "):
        kind(**{name: value})


def test_a_whole_number_stays_one():
    """Committed results are found by the repr of their settings."""
    assert repr(Readout(m=4)) == repr(Readout(m=np.int64(4))) != repr(Readout(m=4.0))
    assert (
        repr(Training(lr=1))
        == "Training(epochs=100, batch_size=100, lr=1, normalize='max')"
    )


@pytest.mark.parametrize(("kind", "name"), FLAGS)
def test_flags(kind, name):
    for value in (np.True_, 1, np.int64(1)):
        assert repr(kind(**{name: value})) == repr(kind(**{name: True}))
    for value in ("no", "", None, 2, 0.5, [], torch.ones(2)):
        with pytest.raises(ValueError, match=rf"{name} is .*True or False is needed"):
            kind(**{name: value})


@pytest.mark.parametrize(("kind", "name", "values"), CHOICES)
def test_choices_are_refused_at_once(kind, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"{name} is .*: give one of '"):
            kind(**{name: value})


def test_other_counts():
    check_number(np.int64(5))
    assert snapshot_moments(5.0, np.int64(2), 10.0) == snapshot_moments(5, 2, 10)
    for wrong in ("5", 2.5, True, None):
        with pytest.raises(ValueError, match="snapshots is"):
            check_number(wrong)
    for wrong in (0, 2.5, True, "5", None):
        with pytest.raises(ValueError, match="batches is"):
            snapshot_moments(5, 2, wrong)
    assert Snapshots(np.arange(3) / 2).moments == {0, 0.5, 1}
    for wrong in (-1, True, "5", None, torch.nan, math.inf):
        with pytest.raises(ValueError, match="epoch is"):
            Snapshots([wrong])
    same = Dense.random(np.int64(5), 9.0, generator=seeded(), p=np.float64(3.0))
    assert torch.equal(same.weights, Dense.random(5, 9, generator=seeded()).weights)
    assert type(same.p) is float
    for wrong in (5.5, True, "5", None, 0, -1, torch.nan):
        with pytest.raises(ValueError, match="units is"):
            Dense.random(wrong, 9, generator=seeded())
    for wrong in ("3", True, None, 1.5, 2j):
        with pytest.raises(ValueError, match="p is"):
            Dense.random(5, 9, generator=seeded(), p=wrong)


@pytest.mark.parametrize("wrong", [0, None, "0", np.random.default_rng(0), torch.Generator])
def test_generators(wrong):
    with pytest.raises(ValueError, match=r"generator is .*torch\.Generator\(\)\.manual_"):
        Dense.random(5, 9, generator=wrong)
    with pytest.raises(ValueError, match="generator is"):
        experiment.split(DIGITS, validation=5, generator=wrong)


def test_seeds():
    x = torch.from_numpy(DIGITS.x_train)
    found = [
        baselines.kmeans(
            x,
            num_units=units,
            kmeans=KMeans(),
            preprocess=FittedPreprocess(Preprocess(), torch.zeros(64)),
            seed=seed,
        )
        for units, seed in ((5, 3), (np.int64(5), np.int32(3)), (5.0, 3.0))
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_checkpoints(tmp_path):
    made = Checkpoints(folder=str(tmp_path), epochs=np.int64(2), minutes=np.float64(1.0))
    assert made == Checkpoints(folder=tmp_path, epochs=2, minutes=1.0)
    for other in ({"epochs": 1.5}, {"epochs": 0}, {"minutes": "5"}, {"minutes": np.nan}):
        with pytest.raises(ValueError, match=f"{next(iter(other))} is"):
            Checkpoints(folder=tmp_path, **other)


def test_machines_and_formats():
    for other, message in (
        ({"device": "gpu"}, "device is 'gpu': give one of 'cpu', 'cuda'"),
        ({"device": torch.device("cpu")}, "device is device"),
        ({"precision": "bf16"}, "precision is 'bf16'"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"threads": 0}, "threads is 0: at least 1 is needed"),
        ({"kernels": "fast"}, "kernels is 'fast': give one of"),
    ):
        with pytest.raises(ValueError, match=message):
            Compute(**other).ready()
    for dtype in (torch.int64, torch.float16, "float32", np.float32, None):
        with pytest.raises(ValueError, match="dtype is"):
            Dense.random(5, 9, generator=seeded(), dtype=dtype)
