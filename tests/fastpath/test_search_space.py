"""The settings of a search: ranges, lists, names, and what is refused at the door."""

import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fastpath.commands.flags import Train
from fastpath.data import datasets
from fastpath.runs.execute import begin
from fastpath.search import objective as objectives
from fastpath.search.objective import Objective
from fastpath.search.space import NAMES, OF_PLACE, Space

DIGITS = datasets.load("digits")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(objectives, "DRAWS", 5)


def test_ranges_lists_and_single_values():
    space = Space.parsed(
        (
            *("units=20", "lr=0.01:1:log", "p=2:3", "k=2:7", "batch-size=50:200:log"),
            *("competition=ranking,soft", "anti=true,false", "head_dropout=0,0.5"),
            *("layer.stages.2.num_units=10:20", "readout.beta=0.5:2", "readout.x=null"),
        )
    )
    assert space.fixed == {"units": 20, "readout.x": None}
    assert space.searched == {
        "lr": FloatDistribution(0.01, 1, log=True),
        "p": FloatDistribution(2, 3),
        "k": IntDistribution(2, 7),
        "batch_size": IntDistribution(50, 200, log=True),
        "competition": CategoricalDistribution(("ranking", "soft")),
        "anti": CategoricalDistribution((True, False)),
        "head_dropout": CategoricalDistribution((0.0, 0.5)),
        "layer.stages.2.num_units": IntDistribution(10, 20),
        "readout.beta": FloatDistribution(0.5, 2),
    }
    assert space.size is None


def test_every_setting_of_train_is_searched_or_says_where_or_how():
    flags = {field.name for field in fields(Train)}
    assert {*NAMES} | OF_PLACE == flags
    assert {"lr", "preset", "head_smoothing", "temperature", "control"} <= {*NAMES}


def test_the_size_of_a_finite_space():
    space = Space.parsed(("k=2:4", "head_loss=tanh,cross-entropy", "units=10"))
    assert space.size == 6
    assert len({tuple(each.items()) for each in space.each()}) == 6


def test_settings_become_those_of_the_command():
    space = Space.parsed(("units=20", "lr=0.1:1", "layer.stages.2.num_units=4:8"))
    command = space.command({"lr": 0.5, "layer.stages.2.num_units": 6}, data="digits")
    assert (command.units, command.lr, command.data) == (20, 0.5, "digits")
    assert command.set == ("layer.stages.2.num_units=6",)


REFUSED = [
    ("lrr=0.1:1", "there is no setting 'lrr': did you mean lr?"),
    ("learning_rate=0.1:1", "there is no setting 'learning_rate'"),
    ("data.x=1,2", "there is no setting 'data.x': There are preset"),
    ("units=1:99999999999999999999", "units is '99999999999999999999'"),
    ("readout.beta=1:Infinity", "one finite number, or a word, is needed"),
    ("readout.beta=NaN:1", "one finite number, or a word, is needed"),
    ("readout.beta=[1],[2]", "one finite number, or a word, is needed"),
    ("seed=0:3", "seed is no setting to search"),
    ("out=a,b", "out is no setting to search"),
    ("lr=1:0.1", "lr=1:0.1 is inverted: LOW must be below HIGH"),
    ("lr=0.1:0.1", "lr=0.1:0.1 is empty"),
    ("lr=0:1:log", "begins at 0.0: a log range must be above 0"),
    ("lr=0.1:1:linear", "no range of numbers"),
    ("lr=0.1:x", "lr is 'x': a number is needed"),
    ("lr=nan:1", "lr is 'nan': a number is needed"),
    ("k=2:3.5", "k is '3.5': a whole number is needed"),
    ("lr", "gives no value"),
    ("lr=", "gives no value"),
    ("lr=0.1,0.1", "has a value twice"),
    ("competition=a,b", "competition is 'a': give one of ranking"),
    ("competition=ranking:soft", "no range of numbers"),
    ("anti=yes", "anti is 'yes': give one of true, false"),
    ("layr.num_units=3:5", "there is no setting 'layr.num_units'"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_setting_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Space.parsed((text, "delta=0:1"))


def test_some_of_the_settings_may_be_impossible():
    objective("k=2:500", "units=10").check(None)
    objective("batch_size=1:10000000000").check(None)


def test_settings_are_given_once_and_some_are_searched():
    with pytest.raises(ValueError, match="lr is given twice"):
        Space.parsed(("lr=0.1:1", "lr=0.2,0.3"))
    with pytest.raises(ValueError, match="nothing to search"):
        Space.parsed(("lr=0.1", "units=10"))


def objective(*settings: str, **changes: object) -> Objective:
    return Objective(data=("digits",), settings=settings, **changes)


CHECKED = [
    (("k=20:30", "units=10"), "none of the settings can be trained: .*units"),
    (("temperature=1:2",), "temperature has no effect with any of the other settings"),
    (("head_loss=tanh", "head_smoothing=0:0.3"), "head_smoothing has no effect"),
    (("readout.btea=1:2",), "Did you mean 'readout.beta'"),
    (("lr=-1:-0.5",), "lr is .*: it must be positive"),
    (("preset=kh-mnist", "delta=0:1"), "with --preset, which says what learns"),
    (("preset=kh-mnits", "lr=0.1:1"), "did you mean kh-mnist"),
    (("batch_size=5000:6000",), "batch_size is .* only 1249 images"),
    (("augment_erase_size=0:1",), "augment_erase_size has no effect with any"),
    (("augment_affine=0:1", "augment_use=both,features"), "have no effect with any"),
    (("augment_crop=0:9",), "crop is 9, but images have"),
    (("training.lr=0.1:0.2",), "training.lr is the setting --lr: give it by this name"),
    (("augment.flip=0:1",), "augment.flip is the setting --augment-flip"),
]


@pytest.mark.parametrize(("settings", "message"), CHECKED)
def test_settings_that_cannot_work_are_refused_before_the_search(settings, message):
    with pytest.raises(ValueError, match=message):
        objective(*settings).check(None)


def test_a_search_without_labels_augments_the_features_only():
    for settings in (("augment_crop=0:2",), ("augment_crop=1", "lr=0.1:1")):
        with pytest.raises(ValueError, match="give augment_use=features"):
            objective(*settings, score="rotation").check(None)
    objective("augment_crop=0:2", "augment_use=features", score="rotation").check(None)
    with pytest.raises(ValueError, match="back-propagation learns from labels"):
        Objective(
            data=("digits",),
            settings=("preset=softhebb-mnist", "control=backprop", "head_lr=0.1:1"),
            score="rotation",
        ).check(None)


def test_the_numbers_of_held_out_images():
    assert objective("lr=0.1:1").held_out(DIGITS) == len(DIGITS.x_train) // 6
    for wrong in (len(DIGITS.x_train), 10**6):
        with pytest.raises(ValueError, match="can be held out"):
            objective("lr=0.1:1", validation=wrong).check(None)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="validation"):
            objective("lr=0.1:1", validation=wrong)


def test_settings_without_effect_are_left_out_of_a_run():
    found = objective("competition=ranking,soft", "temperature=0.5:2", "k=2:5")
    found.check(None)
    params = {"competition": "ranking", "temperature": 0.7, "k": 3}
    command, config = found.run(params, DIGITS, "digits", seed=0)
    assert (command.temperature, command.k, config.competition.k) == (None, 3, 3)
    same, other = params | {"temperature": 1.5}, params | {"k": 4}
    assert found.key(params, None) == found.key(same, None) != found.key(other, None)
    command, _ = found.run(params | {"competition": "soft"}, DIGITS, "digits", seed=0)
    assert (command.temperature, command.k) == (0.7, None)


def test_a_run_of_the_search_is_that_of_the_command():
    found = objective("lr=0.1:1")
    command, config = found.run({"lr": 0.5}, DIGITS, "digits", seed=3)
    assert (config.seed, config.validation, config.training.lr) == (3, 249, 0.5)
    _, final = found.run({"lr": 0.5}, DIGITS, "digits", seed=3, test=True)
    assert final.validation == 0
    assert command.validation == 249


def test_every_seed_holds_out_other_images_and_every_trial_the_same():
    found = objective("lr=0.1:1", seeds=2)
    assert found.instances == [("digits", 0), ("digits", 1)]
    orders = {tuple(found.order(number)) for number in range(20)}
    assert len(orders) == 2
    assert found.order(3) == found.order(3)
    held = []
    for seed in (0, 0, 1):
        _, config = found.run({}, DIGITS, "digits", seed=seed)
        held.append(begin(config, DIGITS, CPU)[0].x_eval.numpy())
    assert np.array_equal(held[0], held[1])
    assert not np.array_equal(held[0], held[2])
