import numpy as np
import pytest
import torch

from fastpath.data.defaults import defaults_for
from fastpath.data.preprocess import Preprocess

X = torch.randint(
    0, 256, (7, 4, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def by_hand(x, *, subtract_mean, center_images, unit_norm):
    v = x.numpy().reshape(len(x), -1) / 255
    if subtract_mean:
        v = v - v.mean(axis=0)
    if center_images:
        v = v - v.mean(axis=1, keepdims=True)
    if unit_norm:
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
    return v


@pytest.mark.parametrize("unit_norm", [False, True])
@pytest.mark.parametrize("center_images", [False, True])
@pytest.mark.parametrize("subtract_mean", [False, True])
def test_every_combination_of_steps(subtract_mean, center_images, unit_norm):
    steps = {
        "subtract_mean": subtract_mean,
        "center_images": center_images,
        "unit_norm": unit_norm,
    }
    v = Preprocess(**steps).fit(X)(X)
    # float32: measured 1.0e-7.
    np.testing.assert_allclose(v, by_hand(X, **steps), atol=1e-6)


def test_the_mean_is_that_of_the_training_images_only():
    preprocess = Preprocess(subtract_mean=True).fit(X)
    torch.testing.assert_close(preprocess(X[:2]), preprocess(X)[:2])


def test_the_mean_of_a_large_set_does_not_overflow():
    white = torch.full((10_000, 2, 2, 1), 255, dtype=torch.uint8)
    assert torch.equal(Preprocess(subtract_mean=True).fit(white).mean, torch.ones(4))


def test_a_blank_image_stays_blank():
    preprocess = Preprocess(unit_norm=True).fit(X)
    blank = torch.zeros(1, 4, 3, 3, dtype=torch.uint8)
    assert torch.equal(preprocess(blank), torch.zeros(1, 36))


def test_images_are_not_changed():
    before = X.clone()
    preprocess = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)
    preprocess.fit(X)(X)
    assert torch.equal(X, before)


def test_defaults_centre_all_sets_but_the_digits():
    assert defaults_for("digits").preprocess == Preprocess()
    centred = Preprocess(subtract_mean=True, unit_norm=True)
    assert defaults_for("mnist").preprocess == centred
    assert defaults_for("fashion_mnist").preprocess.subtract_mean
    assert defaults_for("cifar10").preprocess.center_images
    assert defaults_for("my_own_set").preprocess.unit_norm


def test_rates_of_a_layer_below_are_not_scaled_and_stay_as_they_were():
    rates = torch.rand(7, 5, generator=torch.Generator().manual_seed(1))
    kept = rates.clone()
    preprocess = Preprocess(subtract_mean=True, unit_norm=True).fit(rates)
    torch.testing.assert_close(preprocess.mean, rates.mean(dim=0))
    v = rates - rates.mean(dim=0)
    torch.testing.assert_close(preprocess(rates), v / v.norm(dim=1, keepdim=True))
    assert torch.equal(rates, kept)
