"""Values of other types, at every door of fastpath: run by `test_doors.py`."""

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from fastpath import baselines, competition, experiment, readout
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense, DenseSettings, constraints
from fastpath.plasticity import delta_w
from fastpath.readout import LinearHead, Readout, Streamed
from fastpath.runs.config import RunConfig
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, check_number, snapshot_epochs

DIGITS = datasets.load("digits")


def seeded():
    return torch.Generator().manual_seed(0)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Units.


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


# Settings.

COUNTS = [
    (Ranking, "k"),
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
    (Equilibrium, "w_inh"),
    (Equilibrium, "h_star"),
    (Equilibrium, "delta"),
    (Soft, "temperature"),
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
    assert snapshot_epochs(5.0, np.int64(10)) == snapshot_epochs(5, 10)
    for wrong in ("5", 2.5, True, None):
        with pytest.raises(ValueError, match="snapshots is"):
            check_number(wrong)
    assert Snapshots(np.arange(3)).epochs == {0, 1, 2}
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


# Tensors.


def test_arrays_are_taken_for_tensors():
    weights, images = normal(5, 9), normal(20, 9, seed=1).abs()
    grown = []
    for convert in (
        lambda x: x,
        lambda x: x.numpy(),
        lambda x: x.numpy()[::-1].copy()[::-1],  # which PyTorch cannot share
        lambda x: np.asfortranarray(x.numpy()),
        lambda x: x.numpy().astype(x.numpy().dtype.newbyteorder()),
        lambda x: np.ma.masked_invalid(x.numpy()),  # masks nothing
        torch.nn.Parameter,
        lambda x: x.clone().requires_grad_(),
    ):
        layer = Dense(convert(weights), kernels="pytorch")
        layer.learn(convert(images), Ranking(), lr=np.float64(0.02))
        features = readout.features(layer, convert(images), Readout())
        grown.append([layer.weights, layer.drive(convert(images)), features])
    for one in grown:
        for found, expected in zip(one, grown[0], strict=True):
            assert torch.equal(found, expected)


def test_arrays_that_may_not_be_written_to():
    fixed = normal(5, 9).numpy()
    fixed.flags.writeable = False
    assert torch.equal(Dense(fixed).weights, normal(5, 9))


WRONG_ARRAYS = [
    (np.ma.masked_less(normal(5, 9).numpy(), 0), "masked values"),
    (normal(5, 9).numpy() * 1j, "complex64: numbers are needed"),
    (normal(5, 9) * 1j, "complex64: a dense tensor"),
    (normal(5, 9).numpy().astype(str), "numbers are needed"),
    (normal(5, 9).numpy().astype(object), "numbers are needed"),
    (normal(5, 9).tolist(), "a tensor or a NumPy array is needed"),
    (normal(5, 9).to_sparse(), "a dense tensor"),
    ("weights", "a tensor or a NumPy array is needed"),
    (None, "a tensor or a NumPy array is needed"),
    (Dense, "is the class Dense"),
]


@pytest.mark.parametrize(("value", "message"), WRONG_ARRAYS)
def test_other_arrays_are_refused(value, message):
    layer = Dense(normal(5, 9))
    for call in (
        lambda: Dense(value),
        lambda: layer.learn(value, Ranking(), lr=0.1),
        lambda: layer.drive(value),
        lambda: layer.prepare(value, torch.arange(2), Preprocess().fit(torch.ones(1, 9))),
        lambda: layer.features(value, power=2.0),
        lambda: readout.features(layer, value, Readout()),
        lambda: competition.ranking(value, k=2, delta=0.4),
        lambda: Preprocess().fit(value),
        lambda: Preprocess()(value, torch.zeros(9)),
        lambda: constraints.Constraint(value),
        lambda: experiment.Split(value, torch.zeros(5).long(), normal(2, 9), [0], "test"),
        lambda: fit(value, torch.zeros(5).long()),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.uint8, torch.bool])
def test_weights_of_formats_that_cannot_learn_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"weights are {dtype}: float32 or float64"):
        Dense(torch.ones(3, 4, dtype=dtype))


@pytest.mark.parametrize("shape", [(), (4,), (3, 2, 2), (0, 4), (3, 0)])
def test_weights_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"weights of shape .*\(unit, pixel\)"):
        Dense(torch.ones(shape))


def test_images_of_other_shapes_formats_and_places_are_refused():
    layer = Dense(normal(5, 9))
    index, mean = torch.arange(2), torch.zeros(9)
    x = torch.zeros(4, 9, dtype=torch.uint8)
    for images, message in (
        (normal(9), r"the images have shape \(9,\): \(image, pixel\) is needed"),
        (normal(2, 3, 3), r"\(2, 3, 3\): \(image, pixel\) is needed"),
        (normal(2, 8), "9 pixels per unit, the images 8"),
        (normal(2, 9).double(), "they must be alike"),
        (normal(2, 9).half(), "they must be alike"),
        (x, "they must be alike"),
        (normal(2, 9).to("meta"), "float32 on meta.*they must be alike"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.learn(images, Ranking(), lr=0.1)
        with pytest.raises(ValueError, match=message):
            layer.drive(images)
    steps = FittedPreprocess(Preprocess(), mean)
    for arguments, message in (
        ((x.int(), index, steps), "images are torch.int32: uint8 is needed"),
        ((x.bool(), index, steps), "images are torch.bool: uint8 is needed"),
        ((x[0], index, steps), r"x has shape \(9,\): \(image, pixel\)"),
        ((x.to("meta"), index, steps), "images: on 'meta', but the weights"),
        ((x, index.to("meta"), steps), "index: on 'meta'"),
        ((x, index, steps.to("meta")), "mean: on 'meta'"),
        ((x, index.float(), steps), "index is torch.float32: int64"),
        ((x, index[None], steps), "of one dim"),
        ((x, index, steps.to(torch.float64)), "is torch.float64"),
        ((x, index, FittedPreprocess(Preprocess(), mean[:4])), r"of shape \(4,\)"),
        ((x, index, lambda *_: x), "a FittedPreprocess is needed"),
        ((x, index, Preprocess()), "a FittedPreprocess is needed"),
        ((x, index, Preprocess), "the class Preprocess"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.prepare(*arguments)
    numpy_too = layer.prepare(
        x.numpy(), index.numpy(), FittedPreprocess(Preprocess(), mean.numpy())
    )
    assert torch.equal(numpy_too, layer.prepare(x, index, steps))


def test_steps_that_are_none_are_refused():
    layer, images = Dense(normal(5, 9)), normal(2, 9)
    before = layer.weights.clone()
    for settings, message in (
        ({"lr": "0.1"}, "lr is '0.1': a number is needed"),
        ({"lr": torch.nan}, "lr is nan"),
        ({"lr": None}, "lr is None"),
        ({"lr": 0.1, "normalize": "mean"}, "normalize is 'mean': give one of 'max', None"),
        ({"lr": 0.1, "normalize": False}, "normalize is False"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.learn(images, Ranking(), **settings)
    for rule, message in (
        (Ranking, r"competition is the class Ranking: an instance is needed, Ranking\("),
        (Soft, "the class Soft"),
        ("ranking", r"competition is 'ranking': Ranking\(\), Equilibrium\(\), Soft\(\)"),
        (None, "competition is None"),
        (3, "competition is int 3"),
        (lambda drive: drive.sum(dim=1, keepdim=True), "returned g of shape"),
        (lambda drive: drive.numpy().astype(str), "numbers are needed"),
        (lambda drive: None, "g is None"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.learn(images, rule, lr=0.1)
    assert torch.equal(layer.weights, before)


def test_drives_of_whole_numbers_are_refused():
    """Minus delta would be cut to 0."""
    drive = torch.tensor([[3, 2, 1]])
    for call in (
        lambda: competition.ranking(drive, k=2, delta=0.4),
        lambda: competition.settle(drive, w_inh=0.4),
        lambda: competition.soft(drive, temperature=1.0, anti=True),
        lambda: Equilibrium()(drive),
        lambda: Ranking()(normal(3)),
    ):
        with pytest.raises(ValueError, match=r"floating point is needed|unit\) is needed"):
            call()
    half = competition.ranking(drive.numpy().astype(np.float32), k=np.int64(2), delta=0.5)
    assert half.tolist() == [[1.0, -0.5, 0.0]]
    with pytest.raises(ValueError, match="one value for each image and unit"):
        delta_w(normal(3, 1), normal(3, 4), normal(3, 5), normal(4, 5))


def test_signs():
    for signs in (
        np.array([1, -1, 0]),
        np.array([1.0, -1.0, 0.0]),
        torch.tensor([1, -1, 0], dtype=torch.int8),
    ):
        kept = constraints.column_signs(signs)(-torch.ones(2, 3))
        assert kept.tolist() == [[0, -1, -1]] * 2
    assert constraints.same_sign(np.float64(1.0)).violations(-torch.ones(2, 3)) == 6
    assert constraints.column_signs(np.array([True])).violations(-torch.ones(2, 1)) == 2
    for wrong in ([0.5, 1.0], [2, 0], [np.nan, 1]):
        with pytest.raises(ValueError, match="each must be 1, -1 or 0"):
            constraints.row_signs(np.array(wrong))
    with pytest.raises(ValueError, match="each must be 1, -1 or 0"):
        constraints.row_signs(np.array([255, 1], dtype=np.uint8))
    with pytest.raises(ValueError, match="signs has shape"):
        constraints.column_signs(torch.ones(2, 3))
    with pytest.raises(ValueError, match="sign is True"):
        constraints.same_sign(True)
    for wrong in (constraints.Constraint, "column", torch.ones(1, 9)):
        for make in (
            lambda wrong: Dense(normal(5, 9), constraint=wrong),
            lambda wrong: Dense.random(5, 9, constraint=wrong, generator=seeded()),
        ):
            with pytest.raises(ValueError, match="constraint is"):
                make(wrong)


def test_means():
    x = torch.zeros(4, 9, dtype=torch.uint8)
    for mean, message in (
        (torch.zeros(9, dtype=torch.uint8), "mean image is torch.uint8"),
        (torch.zeros(8), r"of shape \(8,\): floating point of shape \(9,\)"),
        (torch.zeros(1, 9), r"of shape \(1, 9\)"),
        (torch.zeros(9).to("meta"), "the mean image: on 'meta', but the images on 'cpu'"),
        (0.5, "mean is float 0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            Preprocess()(x, mean)
    for mean, message in (
        (torch.zeros(9, dtype=torch.uint8), "mean image is torch.uint8"),
        (torch.zeros(1, 9), r"of shape \(1, 9\).*shape \(pixel,\)"),
        (None, "mean is None"),
        (0.5, "mean is float 0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            FittedPreprocess(Preprocess(), mean)
    for mean, message in (
        (torch.zeros(8), r"of shape \(8,\): floating point of shape \(9,\)"),
        (torch.zeros(9).to("meta"), "the mean image: on 'meta', but the images on 'cpu'"),
    ):
        fitted = FittedPreprocess(Preprocess(), mean)
        with pytest.raises(ValueError, match=message):
            Streamed(Dense(normal(5, 9)), x, fitted, Readout())
        with pytest.raises(ValueError, match=message):
            fitted(x)
    with pytest.raises(ValueError, match="none of them 0"):
        Preprocess(subtract_mean=True).fit(x[:0])
    numpy_too = Preprocess()(x.numpy(), np.zeros(9))
    assert torch.equal(numpy_too, torch.zeros(4, 9).double())


# Labels.


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


# Objects for a role.


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
        ({"competition": Own()}, "a run that is saved has one of Ranking"),
        ({"competition": Ranking}, "a run that is saved has one of Ranking"),
        ({"layer": Dense(normal(5, 9))}, "a run that is saved has one of DenseSettings"),
        ({"layer": signed}, "with plain values"),
        ({"preprocess": OwnPreprocess()}, "a run that is saved"),
        ({"training": Training}, "the class Training"),
        ({"readout": "tanh"}, "a Readout is needed"),
        ({"units": 5.5}, "units is 5.5"),
        ({"seed": "0"}, "seed is '0'"),
        ({"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            configured(**other)


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
