"""Labels and the features that go with them: converted, or refused in a sentence."""

import numpy as np
import pytest
import torch

from fastpath import baselines, experiment, readout
from fastpath.data.preprocess import Preprocess
from fastpath.readout import LinearHead, Readout
from tests.fastpath.doors.valid_calls import (
    DIGITS,
    back_propagate,
    fit,
    learn,
    normal,
    seeded,
)


def test_labels_of_any_whole_number_format():
    x, y = normal(30, 5).abs(), torch.arange(30) % 3
    expected = fit(x, y)
    for same in (y.int(), y.byte(), y.numpy(), y.numpy().astype(np.uint8), y.short()):
        head = fit(x, same, num_classes=3.0)
        assert torch.equal(head.weights, expected.weights)
        counts = readout.confusion(head, x.numpy(), same)
        assert torch.equal(counts, readout.confusion(expected, x, y))
        assert counts.sum() == 30
        assert readout.error(head, x, same) == readout.error(expected, x, y)


WRONG_LABELS = [
    (torch.arange(30) % 4, "from 0 to 3, but there are 3 classes: 0 to 2 is needed"),
    (torch.arange(30) % 3 - 1, "from -1 to 1, but there are 3 classes"),
    ((torch.arange(30) % 3).float(), "labels is torch.float32: labels must be integers"),
    (torch.arange(30) % 3 == 0, "labels is torch.bool: labels must be integers"),
    (torch.nn.functional.one_hot(torch.arange(30) % 3), "one-hot labels: argmax"),
    ((torch.arange(30) % 3)[:, None], r"has shape \(30, 1\): one label per image, \(30,\)"),
    (torch.arange(29) % 3, r"has shape \(29,\): one label per image, \(30,\)"),
    (["a"] * 30, "labels is list"),
    (np.array(["a"] * 30), "numbers are needed"),
    (None, "labels is None"),
]


@pytest.mark.parametrize(("y", "message"), WRONG_LABELS)
def test_other_labels_are_refused(y, message):
    x = normal(30, 5).abs()
    with pytest.raises(ValueError, match=message):
        fit(x, y)
    head = fit(x, torch.arange(30) % 3)
    for call in (lambda: readout.error(head, x, y), lambda: readout.confusion(head, x, y)):
        with pytest.raises(ValueError, match=message):
            call()


def test_labels_are_looked_at_before_anything_is_learned():
    split = experiment.split(DIGITS, validation=0, generator=seeded())
    asked = []
    pixels = {"preprocess": Preprocess(), "readout": Readout(), "generator": seeded()}
    for num_classes in (9, 0, "10", 10.5, True):
        refused = pytest.raises(ValueError, match=r"y_train holds labels|num_classes is")
        with refused:
            learn(split, num_classes=num_classes, competition=asked.append)
        with refused:
            back_propagate(split, num_classes=num_classes)
        with refused:
            baselines.linear(split, num_classes=num_classes, **pixels)
    assert asked == []


def test_features_of_other_layers_are_refused():
    head = fit(normal(30, 5).abs(), torch.arange(30) % 3)
    with pytest.raises(ValueError, match="of 6 units, but the head reads 5"):
        head(normal(3, 6))
    with pytest.raises(ValueError, match=r"features has shape \(5,\)"):
        head(normal(5))
    with pytest.raises(ValueError, match="head is the class LinearHead"):
        readout.error(LinearHead, normal(3, 5), torch.zeros(3).long())
    with pytest.raises(ValueError, match="labels is empty"):
        fit(normal(0, 5), torch.zeros(0).long())
    with pytest.raises(ValueError, match=r"features is torch\.int64: floating point"):
        fit(torch.ones(3, 5).long(), torch.zeros(3).long())
