"""Trained convolution layers in continuous time: one equilibrium, one weight update.

Each case has a window that neither transposing a patch nor another border leaves alike.
"""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import neurodyn
from fastpath import competition
from fastpath.competition import Equilibrium, Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers.stack_settings import StackSettings
from fastpath.layers.stages import Convolution
from fastpath.training.loop import Training, train
from neurodyn import backends, equilibrium
from neurodyn.convolution import Windows, local_inhibition
from tests.agreement.agreements import difference

W_INH = 0.5
IMAGE_MS = 600.0  # 60 tau
RATE = 0.05  # ε = T / τ_L
NUM_FILTERS = 6
NUM_IMAGES = 2
# Measured: at most 2e-14 (activity) and 8e-16 (ΔW), relative to the largest value. At
# T = 60 τ the slowest mode, τ / (1 − w), has fallen to exp(-30) = 1e-13; the margin is for
# other sums of the same numbers. A transposed patch, another border or another order of
# positions moves the activity by 0.4 or more, a mean in place of the sum ΔW by 0.9.
TOLERANCE = 1e-9

GEOMETRIES = {
    "digits, stride 1, zeros": ("digits", 2.0, {"padding": 1}),
    "digits, stride 2, reflect": (
        "digits",
        3.0,
        {"stride": 2, "padding": 1, "padding_mode": "reflect"},
    ),
    "colour, stride 1, reflect": (
        "colour",
        2.0,
        {"padding": 2, "padding_mode": "reflect"},
    ),
    "colour, stride 2, zeros": ("colour", 2.0, {"stride": 2, "padding": 1}),
}


@dataclass
class Trained:
    """A convolution layer in float64, and images (image, height, width, channel)."""

    part: torch.nn.Module
    windows: Windows
    images: torch.Tensor

    @property
    def p(self):
        return self.part.bank.p

    @property
    def filters(self):
        return self.part.weights.numpy()

    @property
    def drive(self):
        """The drive as fastpath computes it (image x position, filter)."""
        rows, _ = self.part.rows(self.images)
        return self.part.bank.product(rows).clone()

    @property
    def rule(self):
        """Thresholds with which filters learn, unlearn and rest."""
        h_star = 0.5 * float(competition.settle(self.drive, w_inh=W_INH).max())
        return Equilibrium(w_inh=W_INH, h_star=h_star, delta=0.4)


def trained_layer(name):
    kind, p, geometry = GEOMETRIES[name]
    if kind == "digits":
        x = torch.from_numpy(datasets.load("digits").x_train[:300])
        shape = 8, 8, 1
    else:
        shape = 6, 7, 3  # not square
        x = np.random.default_rng(0).integers(0, 256, (300, *shape), dtype=np.uint8)
        x = torch.from_numpy(x)
    preprocess = Preprocess().fit(x)
    stage = Convolution(num_units=NUM_FILTERS, kernel_size=3, p=p, **geometry)
    generator = torch.Generator().manual_seed(0)
    stack = StackSettings(stages=(stage,)).start(
        shape, generator=generator, kernels="pytorch"
    )
    train(
        stack,
        x,
        competition=Ranking(),
        training=Training(epochs=3),
        preprocess=preprocess,
        generator=generator,
        progress=False,
    )
    windows = Windows(image_shape=shape, kernel_size=3, **geometry)
    images = preprocess(x[:NUM_IMAGES]).double().unflatten(1, shape)
    return Trained(stack.first.double(), windows, images)


@pytest.fixture(scope="module", params=GEOMETRIES)
def trained(request):
    return trained_layer(request.param)


def simulate(circuit, images, weights, **settings):
    return neurodyn.simulate(
        circuit,
        images,
        weights,
        stimulus=neurodyn.Presentation(image_ms=IMAGE_MS),
        recording=neurodyn.Recording(activity_ms=None),
        **{"backend": "numpy"} | settings,
    )


def neighbourhood(trained, **inhibition):
    """Return the circuit of all positions."""
    between = local_inhibition(
        trained.windows.grid, trained.filters, w_inh=W_INH, **inhibition
    )
    return neurodyn.LateralInhibition(w_inh=between, p=trained.p)


def test_both_see_the_same_patches(trained):
    rows, (num_images, *grid) = trained.part.rows(trained.images)
    np.testing.assert_array_equal(trained.windows.patches(trained.images), rows)
    assert (num_images, tuple(grid)) == (NUM_IMAGES, trained.windows.grid)


def test_each_position_settles_where_fastpath_says(trained):
    patches = trained.windows.patches(trained.images)
    circuit = neurodyn.LateralInhibition(w_inh=W_INH, p=trained.p)
    run = simulate(circuit, patches, trained.filters, batch_size=len(patches))
    h = competition.settle(trained.drive, w_inh=W_INH).numpy()
    assert difference(run["final_activity"].values, h) < TOLERANCE


def test_positions_together_learn_what_the_layer_learns(trained):
    """Without a surround: activity, who learns, and ΔW, image by image."""
    windows, rule = trained.windows, trained.rule
    change, activity = np.zeros_like(trained.filters), []
    for image in range(NUM_IMAGES):
        run = simulate(
            neighbourhood(trained),
            windows.padded(trained.images),
            windows.weights(trained.filters),
            plasticity=neurodyn.KrotovHopfield(
                p=trained.p,
                delta=rule.delta,
                h_star=rule.h_star,
                tau_l_ms=IMAGE_MS / RATE,
                timing=neurodyn.Settled(),
            ),
            order=[image],
        )
        activity.append(run["final_activity"].values.reshape(-1, NUM_FILTERS))
        change += windows.shared(run["weights"], trained.filters) - trained.filters

    h = np.concatenate(activity)
    settled = competition.settle(trained.drive, w_inh=W_INH).numpy()
    assert difference(h, settled) < TOLERANCE
    g = np.where(h >= rule.h_star, 1.0, np.where(h >= 0, -rule.delta, 0.0))
    np.testing.assert_array_equal(g, rule(trained.drive).numpy())
    assert {-rule.delta, 0.0, 1.0} == set(np.unique(g))

    part = copy.deepcopy(trained.part)
    part.learn(trained.images, rule, lr=RATE, normalize=None, team=None)
    expected = part.weights.numpy() - trained.filters
    assert difference(change, expected) < TOLERANCE


@pytest.fixture(scope="module")
def small():
    """A layer with 4 x 4 positions."""
    return trained_layer("digits, stride 2, reflect")


@pytest.mark.parametrize("feature_sigma", [None, 0.8])
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            name,
            marks=[pytest.mark.gpu] if name == "cuda" else [pytest.mark.slow],
        )
        if name != "numpy"
        else name
        for name in backends.NAMES
    ],
)
def test_with_a_surround_the_circuit_settles_at_its_exact_equilibrium(
    small, backend, feature_sigma
):
    if reason := backends.why_not(backend):
        pytest.skip(reason)
    circuit = neighbourhood(small, space_sigma=1.2, feature_sigma=feature_sigma)
    run = simulate(
        circuit,
        small.windows.padded(small.images),
        small.windows.weights(small.filters),
        backend=backend,
    )
    h = run["final_activity"].values
    drive = small.drive.numpy().reshape(h.shape)
    expected = equilibrium.settle(drive, w_inh=circuit.w_inh)
    assert difference(h, expected) < TOLERANCE
    without = neighbourhood(small, feature_sigma=feature_sigma)
    alone = equilibrium.settle(drive, w_inh=without.w_inh)
    assert difference(h, alone) > 0.1  # measured: 0.28
    assert (h > 0).sum() < 0.8 * (alone > 0).sum()  # it silences units
