"""Weights, images, drives, signs, means: converted to tensors, or refused in a sentence."""

import numpy as np
import pytest
import torch

from fastpath import competition, experiment, readout
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Dense, constraints
from fastpath.plasticity import delta_w
from fastpath.readout import Readout, Streamed
from tests.fastpath.doors.valid_calls import fit, normal, seeded


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
        ("ranking", r"competition is 'ranking': Ranking\(\), RunnersUp\(\), Equil"),
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
        lambda: competition.runners_up(drive, k=2, delta=0.4),
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
