"""Controls: clusters and pixels, against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fastpath import baselines, experiment
from fastpath.baselines import KMeans
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.readout import Readout

CENTRED = Preprocess(subtract_mean=True, unit_norm=True)


@pytest.fixture(scope="module")
def split():
    return experiment.split(
        datasets.load("digits"), validation=0, generator=torch.Generator()
    )


def clusters(split, **changes):
    settings = {
        "num_units": 20,
        "kmeans": KMeans(passes=30, batch_size=300),
        "preprocess": CENTRED.fit(split.x_train),
        "seed": 0,
    }
    return baselines.kmeans(split.x_train, **settings | changes)


def distortion(v, centres):
    return float(torch.cdist(v, centres).amin(dim=1).square().mean())


def test_centres_are_means_of_their_clusters(split):
    v = CENTRED.fit(split.x_train)(split.x_train)
    centres = clusters(split)
    nearest = torch.cdist(v, centres).argmin(dim=1)
    means = torch.stack([v[nearest == c].mean(dim=0) for c in range(len(centres))])
    # Mini-batches come near Lloyd's fixed point; images themselves, the start, do not.
    assert distortion(v, centres) < 1.02 * distortion(v, means)
    assert distortion(v, centres) < 0.65 * distortion(v, v[:20])


def test_clusters_are_set_by_the_seed(split):
    assert torch.equal(clusters(split), clusters(split))
    assert not torch.allclose(clusters(split), clusters(split, seed=1))


def test_more_clusters_than_images_are_refused(split):
    with pytest.raises(ValueError, match=r"units is 1499: 1 to 1498"):
        clusters(split, num_units=1499)
    with pytest.raises(ValueError, match="passes is 0"):
        KMeans(passes=0)


def test_pixels_are_classified_as_by_logistic_regression(split):
    errors = baselines.linear(
        split,
        num_classes=10,
        preprocess=CENTRED,
        readout=Readout(epochs=60, loss="cross-entropy", lr=1e-2),
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    preprocess = CENTRED.fit(split.x_train)
    learn, score = (preprocess(x).numpy() for x in (split.x_train, split.x_eval))
    sd = learn.std(axis=0).clip(1e-8)
    known = LogisticRegression(C=10, max_iter=2000).fit(learn / sd, split.y_train)
    error = 100 * np.mean(known.predict(score / sd) != split.y_eval.numpy())
    assert errors["test_error"] == pytest.approx(error, abs=2.5)  # 299 images
    assert errors["train_error"] < 1
