"""Every entry point of fastpath that computes, called on a few digits."""

import functools

import matplotlib as mpl
import numpy as np
import torch
import xarray as xr

from fastpath import baselines, competition, experiment, plots, readout
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings, constraints
from fastpath.plasticity import delta_w
from fastpath.readout import Readout, Streamed
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, snapshot_moments

PREPROCESS = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)
HEAD = Readout(epochs=2)


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float32, device="cpu")


@functools.cache
def digits():
    found = datasets.load("digits")
    return datasets.Images(
        found.x_train[:300],
        found.y_train[:300],
        found.x_test[:60],
        found.y_test[:60],
        "digits",
        found.classes,
    )


def digits_split():
    return experiment.split(digits(), validation=40, generator=seeded())


def learned(rule=None, **settings):
    return experiment.learn(
        digits_split(),
        layer=DenseSettings(num_units=12, p=3.0),
        num_classes=10,
        competition=rule or Ranking(),
        training=Training(epochs=2),
        preprocess=PREPROCESS,
        readout=HEAD,
        generator=seeded(),
        progress=False,
        **settings,
    )


def results(run):
    errors = [run.metrics["validation_error"], run.metrics["train_error"]]
    history = [run.history[name].values for name in ("norm_mean", "learning", "head_loss")]
    return [run.weights, run.preprocess.mean, *vars(run.head).values(), *errors, *history]


def features():
    split = digits_split()
    return split, Dense(normal(12, 64)), PREPROCESS.fit(split.x_train)


def held(how):
    """Call with a split, a layer, fitted preprocessing, and the features."""

    def entry():
        split, layer, preprocess = features()
        x = experiment.features(layer, split.x_train, preprocess, HEAD)
        return how(split, layer, preprocess, x)

    return entry


def fitted(split, x, **settings):
    return readout.fit(
        x,
        split.y_train,
        num_classes=10,
        readout=Readout(epochs=2, **settings),
        generator=seeded(),
        progress=False,
    )


def own_loop(kernels="pytorch", rule=None):
    """A loop of the user's own through Dense.learn."""
    split = digits_split()
    preprocess = PREPROCESS.fit(split.x_train)
    layer = Dense.random(12, 64, p=3.0, kernels=kernels, generator=seeded())
    order = torch.arange(len(split.x_train), device="cpu")
    for batch in order.split(50):
        images = layer.prepare(split.x_train, batch, preprocess)
        layer.learn(images, rule or Ranking(), lr=0.02)
    return [layer.weights, layer._signed_power, layer.drive(images)]


def trained():
    split = digits_split()
    layer = Dense.random(12, 64, generator=seeded())
    snapshots = Snapshots(snapshot_moments(5, 2, 3))
    history = train(
        layer,
        split.x_train,
        competition=Soft(),
        training=Training(epochs=2),
        preprocess=PREPROCESS.fit(split.x_train),
        generator=seeded(),
        progress=False,
        callbacks=[snapshots],
    )
    return [layer.weights, history.norm_max.values, snapshots.as_dataset().weights.values]


def back_propagated(**settings):
    split, watched = digits_split(), []
    trained = baselines.backprop(
        split,
        num_units=12,
        num_classes=10,
        backprop=baselines.Backprop(epochs=2),
        preprocess=PREPROCESS,
        generator=seeded(),
        progress=False,
        on_epoch_end=lambda _, network: watched.extend(network.state_dict().values()),
        **settings,
    )
    return [*trained.errors.values(), *watched]


def clustered():
    split = digits_split()
    return [
        baselines.kmeans(
            split.x_train,
            num_units=12,
            kmeans=baselines.KMeans(),
            preprocess=PREPROCESS.fit(split.x_train),
            seed=0,
        )
    ]


def of_pixels():
    errors = baselines.linear(
        digits_split(),
        num_classes=10,
        preprocess=PREPROCESS,
        readout=HEAD,
        generator=seeded(),
        progress=False,
    )
    return [*errors.values()]


def constrained():
    rows, signs = normal(6, 8), torch.tensor([1, -1] * 4, device="cpu")
    kept = constraints.column_signs(signs)
    same = constraints.same_sign(-1)
    return [kept(rows), kept.mirrored(rows), same(rows), kept.violations(rows)]


def user_rule(drive):
    """A rule of the user's own, with tensors of its own."""
    return (drive > torch.tensor([0.5])).to(drive.dtype) - torch.full((1,), 0.25)


def pure():
    g, drive, images, weights = (normal(6, 9, seed=i) for i in range(4))
    return [
        competition.ranking(drive, k=3, delta=0.4),
        competition.settle(drive, w_inh=0.6),
        competition.equilibrium(drive, w_inh=0.6, h_star=0.5, delta=0.4),
        competition.soft(drive, temperature=0.3, anti=True),
        delta_w(g, drive, images, normal(9, 9, seed=4)),
        PREPROCESS(images, weights[0]),
        PREPROCESS.fit(images.abs()).mean,
        readout.features(Dense(weights), images, HEAD),
    ]


def drawn():
    """What is drawn, as numbers."""
    weights = xr.DataArray((normal(4, 9) * 1e-38).numpy(), dims=("unit", "pixel"))
    weights[:, 0] = 1
    counts = np.arange(9).reshape(3, 3)
    shown = xr.DataArray(counts, dims=("label", "answer"), attrs={"units": "1"})
    figure = mpl.figure.Figure()
    axes = figure.subplots(2)
    plots.confusion(shown, axes[0])
    plots.receptive_fields(weights, (3, 3), axes[1])
    images = [np.asarray(image.get_array()) for ax in axes for image in ax.images]
    ends = [image.origin for ax in axes for image in ax.images]
    return [plots.mosaic(weights, (3, 3)), *images, *ends]


ENTRIES = {
    "learn": lambda: results(learned()),
    "learn, pytorch": lambda: results(learned(kernels="pytorch")),
    "learn, equilibrium": lambda: results(learned(Equilibrium(), kernels="pytorch")),
    "learn, a rule of one's own": lambda: results(learned(user_rule)),
    "train": trained,
    "own loop": own_loop,
    "own loop, soft": lambda: own_loop(rule=Soft()),
    "own loop, fastest": lambda: own_loop(None),
    "fit": held(lambda s, w, m, x: [*vars(fitted(s, x)).values()]),
    "fit, cross-entropy": held(
        lambda s, w, m, x: [
            *vars(fitted(s, x, loss="cross-entropy", smoothing=0.1, scaling="set")).values()
        ]
    ),
    "fit, streamed": held(
        lambda s, w, m, x: [
            *vars(fitted(s, Streamed(w, s.x_train, m, HEAD), scaling="unit")).values()
        ]
    ),
    "features": held(lambda s, w, m, x: [x]),
    "head": held(
        lambda s, w, m, x: [(h := fitted(s, x))(x), readout.error(h, x, s.y_train)]
    ),
    "confusion": held(lambda s, w, m, x: [readout.confusion(fitted(s, x), x, s.y_train)]),
    "backprop": back_propagated,
    "backprop, frozen": lambda: back_propagated(first=normal(12, 64), frozen=True),
    "kmeans": clustered,
    "linear": of_pixels,
    "constraints": constrained,
    "functions": pure,
    "plots": drawn,
}


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, torch.Tensor):
            assert one.device == other.device
            assert not one.requires_grad
            one, other = one.numpy(), other.numpy()
        np.testing.assert_array_equal(one, other, strict=True)
