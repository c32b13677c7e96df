"""The drive of weights of both signs for any p (eq. 2), wherever it is computed."""

import itertools

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    DaleInhibition,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
)
from neurodyn.engine import feedforward

POWERS = (2.0, 2.5, 3.0, 4.0)


@pytest.fixture
def given():
    """Images (image, pixel) and weights (unit, pixel), each of both signs."""
    rng = np.random.default_rng(11)
    return rng.normal(0.4, 1.0, (3, 5)), rng.normal(0.0, 1.0, (4, 5))


def by_hand(images, weights, p):
    """Σ_i sign(W_ui) |W_ui|^(p−1) v_i, term by term."""
    drive = np.zeros((len(images), len(weights)))
    for (b, v), (u, w) in itertools.product(enumerate(images), enumerate(weights)):
        for pixel, weight in zip(v, w, strict=True):
            drive[b, u] += pixel * abs(weight) ** (p - 1) * (1 if weight > 0 else -1)
    return drive


@pytest.mark.parametrize("p", POWERS)
def test_the_drive_has_the_signs_of_the_weights(p, given):
    images, weights = given
    found = feedforward.drive(images, weights, p=p)
    np.testing.assert_allclose(found, by_hand(images, weights, p), rtol=0, atol=1e-13)


CIRCUITS = {
    "pooled": lambda p: LateralInhibition(w_inh=0.5, p=p),
    "matrix": lambda p: LateralInhibition(w_inh=0.3 * (1 - np.eye(4)), p=p),
    "dale": lambda p: DaleInhibition(p=p, input_sign=0),
}
SLOW = [
    pytest.param("pooled", p, 1, False, backend, marks=pytest.mark.slow)
    for p, backend in ((2.5, "cython"), (4.0, "cpp"))
]


@pytest.mark.parametrize(
    ("name", "p", "batch_size", "learns", "backend"),
    [
        # Synapses that rest, that learn, and images side by side, whose drive is a table.
        ("pooled", 4.0, 1, False, "numpy"),
        ("matrix", 4.0, 1, True, "numpy"),
        ("dale", 3.0, 2, False, "numpy"),
        *SLOW,
    ],
)
def test_circuits_are_driven_by_it(name, p, batch_size, learns, backend, given):
    images, weights = given
    traces = neurodyn.simulate(
        CIRCUITS[name](p),
        images,
        weights,
        plasticity=KrotovHopfield(p=p, tau_l_ms=1e12) if learns else None,
        stimulus=Presentation(image_ms=1.0),
        recording=Recording(activity_ms=None, norms=learns),
        backend=backend,
        dt_ms=0.25,
        batch_size=batch_size,
    )
    expected = by_hand(images, weights, p)
    assert (expected < 0).any()
    np.testing.assert_allclose(traces["drive"], expected, rtol=0, atol=1e-9)
    if learns:
        norms = (abs(weights) ** p).sum(axis=1) ** (1 / p)
        np.testing.assert_allclose(traces["weight_norm"][0], norms, rtol=1e-9)
