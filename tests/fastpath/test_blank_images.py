"""Images without content: refused where all are alike, harmless where some are blank."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpath import baselines, experiment, readout
from fastpath.cli import main
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.defaults import CENTRED, COLOUR
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.kernels.cpp import CppKernels, why_not
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.training.loop import Training

RAW = Preprocess()
CPU = torch.device("cpu")
NOISE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1), np.uint8))
LEVELS = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 6, 6, 1)
BLACK = torch.zeros(20, 6, 6, 1, dtype=torch.uint8)


def learn(split, preprocess, **changes):
    settings = {"readout": Readout(epochs=3, scaling="set"), "epochs": 3} | changes
    return experiment.learn(
        split,
        layer=DenseSettings(num_units=8),
        num_classes=10,
        competition=Ranking(),
        training=Training(epochs=settings["epochs"], batch_size=10),
        preprocess=preprocess,
        readout=settings["readout"],
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )


def by_local_rule(split, preprocess):
    learn(split, preprocess)


def by_backprop(split, preprocess):
    baselines.backprop(
        split,
        num_units=8,
        num_classes=10,
        backprop=baselines.Backprop(epochs=1, batch_size=10),
        preprocess=preprocess,
        generator=torch.Generator(),
        progress=False,
    )


def by_clusters(split, preprocess):
    baselines.kmeans(
        split.x_train,
        num_units=4,
        kmeans=baselines.KMeans(),
        preprocess=preprocess.fit(split.x_train),
        seed=0,
    )


def by_pixels(split, preprocess):
    baselines.linear(
        split,
        num_classes=10,
        preprocess=preprocess,
        readout=Readout(epochs=1),
        generator=torch.Generator(),
        progress=False,
    )


ALL = pytest.mark.parametrize("way", [by_local_rule, by_backprop, by_clusters, by_pixels])


@ALL
@pytest.mark.parametrize(
    ("x", "preprocess"),
    [
        (BLACK, RAW),
        (BLACK, CENTRED),
        (BLACK + 255, COLOUR),
        (NOISE[:1].repeat(20, 1, 1, 1), RAW),
        (LEVELS, COLOUR),  # each of one brightness, which is subtracted
        (NOISE[:1] // 2 + LEVELS, COLOUR),
        (LEVELS[:, :1, :1], COLOUR),  # one pixel
    ],
)
def test_images_that_nothing_tells_apart_are_refused(way, x, preprocess):
    y = torch.arange(20) % 2
    with pytest.raises(ValueError, match="the 20 training images are all alike"):
        way(Split(x, y, x, y, "test"), preprocess)


@ALL
@pytest.mark.parametrize("x", [LEVELS, NOISE, LEVELS[:, :1, :1]])
def test_brightness_is_enough_where_it_is_left(way, x):
    y = torch.arange(20) % 2
    way(Split(x, y, x, y, "test"), CENTRED)


def test_the_command_says_so_in_one_line(tmp_path, capsys):
    y = np.arange(100) % 3
    x = np.random.default_rng(0).random((100, 6, 6)).astype(np.uint8)  # all 0
    np.savez(tmp_path / "black.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = ["--data", str(tmp_path / "black.npz"), "--units", "8", "--batch-size", "20"]
    for command in (
        ["train", *data, "--k", "2", "--out", str(tmp_path / "run")],
        ["backprop", *data],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("fastpath: the 100 training images are all alike")
        assert said.err.count("\n") == 1


def test_where_most_images_are_blank_all_is_finite():
    digits = datasets.load("digits")
    x, y = torch.from_numpy(digits.x_train)[:300].clone(), torch.from_numpy(digits.y_train)
    x[::3], x[1::3] = 0, 255
    split = Split(x, y[:300], x, y[:300], "test")
    for preprocess in (
        RAW,
        CENTRED,
        COLOUR,
        Preprocess(center_images=True, unit_norm=True),
    ):
        for scaling in ("image", "set", "unit"):
            head = Readout(epochs=3, scaling=scaling, power=2.0)
            trained = learn(split, preprocess, readout=head)
            for tensor in (trained.weights, *vars(trained.head).values()):
                assert tensor.isfinite().all()


@pytest.mark.parametrize("scaling", ["image", "set", "unit"])
def test_units_that_answer_nothing_leave_the_commonest_class(scaling):
    """Of silent features the biases alone learn: every image gets one answer."""
    y = torch.tensor([0, 1, 1, 1, 2] * 20)
    settings = Readout(epochs=20, scaling=scaling, loss="cross-entropy", lr=0.05)
    silent = torch.zeros(100, 7)
    head = readout.fit(
        silent,
        y,
        num_classes=3,
        readout=settings,
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert readout.error(head, silent, y) == pytest.approx(40)


def test_a_scored_image_without_content_gets_an_answer():
    y = torch.arange(20) % 2
    trained = learn(Split(NOISE, y, BLACK, y, "test"), RAW)
    assert trained.metrics["test_error"] == pytest.approx(50)  # one answer for all of them


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (28, 28), (32, 96)])
@pytest.mark.parametrize("kind", [PyTorchKernels, CppKernels])
def test_of_a_flat_image_nothing_is_left_to_scale_up(kind, shape, dtype):
    """Rounding of its mean would be: up to an image of norm 1 that is noise."""
    if kind is CppKernels and why_not(CPU, dtype) is not None:
        pytest.skip("no compiler")
    levels = torch.arange(256, dtype=torch.uint8)[:, None].repeat(1, shape[0] * shape[1])
    preprocess = Preprocess(center_images=True, unit_norm=True)
    mean, out = (
        torch.zeros(levels.shape[1], dtype=dtype),
        torch.empty(levels.shape).to(dtype),
    )
    v = kind(CPU, dtype).prepare(levels, torch.arange(256), preprocess, mean, out)
    assert not v.any()
    assert not preprocess(levels, mean).any()


def test_a_layer_of_equal_rates_is_not_an_image():
    rates = torch.full((20, 5), 0.25)
    Preprocess(subtract_mean=True).check(rates)
    with pytest.raises(ValueError, match="all alike"):
        replace(RAW).check((255 * rates).byte())
