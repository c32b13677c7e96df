"""ZCA whitening of what units see: against NumPy, folded into filters, learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpath import experiment
from fastpath.competition import Ranking
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.bank import Bank
from fastpath.layers.stages import Convolution, FullyConnected, MaxPool
from fastpath.layers.stages.whitening import Whitening, zca
from fastpath.readout import Readout
from fastpath.training.loop import Training, train
from tests.fastpath.stage_loops import images_of, normal, patches, seeded, started

RIDGE = 0.05
WINDOW = {"stride": 2, "padding": 1}
FILTERS = Convolution(
    num_units=6, kernel_size=3, padding_mode="reflect", whiten=RIDGE, **WINDOW
)
SHAPE = (7, 6, 2)
STEPS = Preprocess()


def mixed(number, size, seed=0):
    """Return correlated rows with a mean."""
    return normal(number, size, seed=seed) @ normal(size, size, seed=1) + 3


def in_double(x):
    return Preprocess().fit(x).to(torch.float64)


def whitened(rows, ridge):
    """Return Z (v - m) in NumPy, by the singular values of the deviations."""
    deviations = rows - rows.mean(axis=0)
    _, values, vectors = np.linalg.svd(deviations, full_matrices=False)
    mean = (deviations**2).mean()  # of all pixels: some directions may have no variance
    scales = 1 / np.sqrt(values**2 / len(rows) / mean + ridge)
    return deviations @ vectors.T @ np.diag(scales) @ vectors


def test_whitening_is_that_of_numpy_and_leaves_what_ridge_leaves():
    rows = mixed(500, 6)
    mean, matrix = zca(rows, RIDGE)
    found = (rows - mean) @ matrix
    # Measured 1e-13.
    np.testing.assert_allclose(found, whitened(rows.numpy(), RIDGE), rtol=0, atol=1e-11)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    before, after = (torch.cov(each.T, correction=0) for each in (rows, found))
    variances = torch.linalg.eigvalsh(before)
    expected = variances / (variances / variances.mean() + RIDGE)
    torch.testing.assert_close(torch.linalg.eigvalsh(after), expected, rtol=1e-9, atol=1e-9)


def test_patches_that_never_vary_stay_finite():
    mean, matrix = zca(torch.ones(5, 3), 0.1)
    assert mean.isfinite().all()
    assert matrix.isfinite().all()


def test_folded_filters_see_patches_as_filters_see_whitened_ones():
    rows, weights = mixed(50, 6), normal(4, 6, seed=2)
    whitening = Whitening(6, RIDGE).double()
    whitening.fit(rows)
    filters, bias = whitening.folded(weights)
    expected = whitening(rows) @ weights.T
    torch.testing.assert_close(rows @ filters.T + bias, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("stage", [FILTERS, FullyConnected(num_units=6, whiten=RIDGE)])
def test_a_stage_answers_and_learns_from_whitened_rows(stage):
    x = images_of(40, *SHAPE)
    stack = started((stage,), SHAPE)
    fitted = in_double(x)
    images = stack._shaped(fitted(x))
    stack.begin_phase(0, x, fitted, resumed=False)
    part = stack.first
    raw = images.flatten(1).numpy()
    if isinstance(stage, Convolution):
        raw, _ = patches(images.numpy(), size=3, mode="reflect", **WINDOW)
    rows = whitened(raw, RIDGE)  # fewer rows than are sampled: all of them
    outputs = part(images).flatten(0, -2)
    weights = part.weights.numpy().copy()
    np.testing.assert_allclose(outputs, rows @ weights.T, rtol=0, atol=1e-9)
    bank = Bank(part.weights.clone(), p=2.0)
    bank.step(torch.from_numpy(rows), Ranking(), lr=0.1, normalize="max", team=None)
    stack.learn(images.flatten(1), Ranking(), lr=0.1)
    torch.testing.assert_close(part.weights, bank.weights, rtol=0, atol=1e-9)
    assert not np.allclose(part.weights, weights, atol=1e-3)
    drive = stack.drive(images.flatten(1)).flatten(0, -2)
    np.testing.assert_allclose(drive, rows @ part.weights.numpy().T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("start", ["patches", "kmeans"])
def test_filters_can_start_from_whitened_patches(start):
    """Little is left to whiten for the start: filters are near whitened patches."""
    stage = replace(FILTERS, start_from=start, whiten=1e-3)
    x = images_of(60, *SHAPE)
    stack = started((stage,), SHAPE)
    stack.begin_phase(0, x, in_double(x), resumed=False)
    part = stack.first
    rows, _ = part.rows(stack._shaped(in_double(x)(x)))
    cosine = torch.nn.functional.normalize(rows, dim=1) @ part.weights.T
    assert cosine.amax(dim=0).min() > (0.95 if start == "patches" else 0.3)


def test_a_whitening_layer_above_another_needs_greedy_learning():
    stages = FILTERS, MaxPool(size=2), Convolution(num_units=4, kernel_size=1, whiten=0.1)
    with pytest.raises(ValueError, match="Convolution stands on a layer that learns"):
        StackSettings(stages=stages)
    settings = StackSettings(stages=stages, greedy=True)
    x = images_of(30, *SHAPE)
    stack = settings.start(SHAPE, generator=seeded())
    training = Training(epochs=1, batch_size=10)
    train(
        stack,
        x,
        competition=Ranking(),
        training=training,
        preprocess=STEPS.fit(x),
        generator=seeded(),
        progress=False,
    )
    names = settings.shapes(SHAPE)
    assert set(names) == set(stack.state) - {"0.power", "2.power"}
    assert names["2.whitening.matrix"] == (6, 6)
    assert not torch.allclose(stack.state["2.whitening.matrix"], torch.eye(6), atol=0.1)
    loaded = settings.load(stack.state, input_shape=SHAPE)
    v = STEPS.fit(x)(x)
    expected = stack.features(v, power=1.0)
    assert torch.equal(loaded.features(v, power=1.0), expected)
    assert torch.equal(stack.to_module(power=1.0)(v), expected)


def test_an_experiment_whitens_once():
    x = images_of(60, *SHAPE)
    split = experiment.Split(x, torch.arange(60) % 3, x[:20], torch.arange(20) % 3, "test")
    trained = experiment.learn(
        split,
        layer=StackSettings(stages=(FILTERS,)),
        num_classes=3,
        competition=Ranking(),
        training=Training(epochs=2, batch_size=20),
        preprocess=STEPS,
        readout=Readout(epochs=1),
        generator=seeded(),
        progress=False,
    )
    raw, _ = patches((x / 255).numpy(), size=3, mode="reflect", **WINDOW)
    mean, matrix = zca(torch.from_numpy(raw).double(), RIDGE)
    state = trained.layer.state
    torch.testing.assert_close(state["0.whitening.mean"].double(), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        state["0.whitening.matrix"].double(), matrix, rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"whiten": 0.0}, "whiten is 0.0: "),
        ({"whiten": -1.0}, "whiten is -1.0: "),
        (
            {"whiten": 0.1, "response": "cosine"},
            "whiten is 0.1 and response 'cosine': whitened inputs need response 'product'",
        ),
    ],
)
def test_bad_settings_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        Convolution(num_units=3, kernel_size=2, **settings)
