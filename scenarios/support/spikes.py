"""Shared by scenarios with spiking networks: readouts of counts, single presentations."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier

import neurodyn
from neurodyn import analysis

type Labels = NDArray[np.integer[Any]]
type Counts = NDArray[np.integer[Any]]

READOUTS = ("vote", "weighted vote", "linear")
STRENGTHS = (30.0, 300.0, 3000.0, 30_000.0)  # of the ridge, to choose from
HELD_OUT = 5  # one in so many labelled images chooses it


def rates(images: torch.Tensor) -> NDArray[np.float64]:
    """Return images (image, pixel) as input rates from 0 to 1."""
    flat = images.cpu().double().flatten(1).numpy()
    return flat / 255


@contextmanager
def silence_expected() -> Iterator[None]:
    """Do not warn of images without a spike: they count as errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ of [0-9]+ presentations had no spike")
        yield


def scored(
    observed: xr.Dataset,
    labels: Labels,
    tested: xr.Dataset,
    truth: Labels,
    num_classes: int,
) -> xr.Dataset:
    """Return the accuracy by each readout [%], and the confusion matrix of the vote.

    Labels of cells and the linear readout come from the observed training images only.
    """
    counts, seen = tested["counts"], observed["counts"]
    of_image = xr.DataArray(labels, dims="image", coords={"image": seen["image"]})
    of_test = xr.DataArray(truth, dims="image", coords={"image": counts["image"]})
    responses = analysis.class_responses(seen, of_image, num_classes=num_classes)
    assigned = analysis.assign_labels(responses)
    voted = analysis.vote(counts, assigned)
    predicted = {
        "vote": voted.values,
        "weighted vote": analysis.weighted_vote(counts, responses).values,
        "linear": Linear.of(seen.values, labels).predict(counts.values),
    }
    accuracy = [100 * float((predicted[name] == truth).mean()) for name in READOUTS]
    confused = analysis.confusion_matrix(of_test, voted, num_classes=num_classes)
    return xr.Dataset(
        {
            "accuracy": ("readout", accuracy),
            "confusion": confused.astype(float),
            "silent": float((counts.sum("unit") == 0).mean()),
            "spikes_per_image": float(counts.sum("unit").mean()),
            "unassigned": float((assigned < 0).mean()),
        },
        coords={"readout": list(READOUTS)},
    )


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A ridge classifier of counts; held-out images choose its strength."""

    scale: NDArray[np.float64]
    """Spread of each cell's count; cells that seldom fire get no larger weights for it."""
    model: RidgeClassifier

    @classmethod
    def of(cls, counts: Counts, labels: Labels) -> Self:
        """Return the classifier of labelled counts (image, unit)."""
        spread = counts.std(axis=0)
        scale = spread + 0.1 * counts.std() + 1e-12
        x, held_out = counts / scale, np.arange(len(counts)) % HELD_OUT == 0

        def fitted(strength: float, chosen: NDArray[np.bool_]) -> RidgeClassifier:
            return RidgeClassifier(alpha=strength).fit(x[chosen], labels[chosen])

        best = max(
            STRENGTHS,
            key=lambda a: fitted(a, ~held_out).score(x[held_out], labels[held_out]),
        )
        return cls(scale=scale, model=fitted(best, np.ones(len(x), bool)))

    def predict(self, counts: Counts) -> Labels:
        """Return the class of each image."""
        return self.model.predict(counts / self.scale)


def each_alone(
    network: neurodyn.SpikingNetwork, images: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return weights (image, unit, pixel) after each image, each from the same start."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "start.nc")
        network.save(start)
        for image in images:
            network.train(image[None], progress=False)
            found.append(network.weights)
            network.restore(start)
    return np.stack(found)
