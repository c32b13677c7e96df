"""Pictures of stacks: filters, what drives the units of deeper layers, and activity."""

import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from fastpath import plots
from fastpath.cli import main
from fastpath.competition import Ranking, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    Convolution,
    FullyConnected,
    MaxPool,
    Rectifier,
    Triangle,
)
from fastpath.runs import figures, storage
from fastpath.runs.folder import open_run
from fastpath.runs.responses import activity_maps, preferred_patches
from fastpath.training.loop import Training
from tests.fastpath.contracts import configured, executed
from tests.helpers import figures_saved

ONLY_STACKS = {"preferred_patches.png", "activity_maps.png"}
LAYER = Convolution(num_units=6, kernel_size=3, padding=1, competition=Soft())
UPPER = Convolution(num_units=30, kernel_size=3, competition=Soft())
DEEP = (LAYER, Triangle(), UPPER, Triangle(), MaxPool(size=2))


def trained(folder, *stages, epochs=1):
    layer, training = StackSettings(stages=stages), Training(epochs=epochs)
    executed(configured(layer=layer, training=training, preprocess=Preprocess()), folder)
    return folder


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "deep", *DEEP)


@pytest.fixture
def run(deep, tmp_path):
    return shutil.copytree(deep, tmp_path / "run")


def plotted(run, capsys, *flags):
    """Return the figures by the ends of their files' names, and what was left out."""
    capsys.readouterr()
    with figures_saved() as drawn:
        main(["plot", str(run), *flags])
    lines = capsys.readouterr().out.splitlines()
    left = [line.removeprefix(f"left out {run}/") for line in lines if "left out" in line]
    names = [line.split("/")[-1] for line in lines if line.startswith("wrote")]
    pictures = [name for name in names if name.endswith(".png")]
    return dict(zip(pictures, drawn, strict=True)), dict(s.split(": ", 1) for s in left)


def shown(ax):
    (image,) = ax.images
    return image.get_array()


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_the_list_of_figures_is_that_of_the_files_to_be_removed():
    assert tuple(figures.FIGURES) == storage.PICTURES


def test_a_stack_is_drawn(run, capsys):
    drawn, left_out = plotted(run, capsys)
    assert not left_out
    opened = open_run(run)
    fields = xr.DataArray(opened.layer.weights, dims=("unit", "pixel"))
    expected = plots.mosaic(fields, (3, 3, 1), times=3)
    np.testing.assert_array_equal(shown(drawn["receptive_fields.png"].axes[0]), expected)
    assert titles(drawn["receptive_fields.png"])[0].startswith(
        "digits, 6 + 30 units, 1 epoch, test error"
    )
    x = torch.from_numpy(datasets.load("digits").x_test)
    of_layers = preferred_patches(
        opened.layer, x, opened.preprocess, num_units=25, num_patches=9
    )
    (ax,) = drawn["preferred_patches.png"].axes
    expected = Figure().subplots()
    plots.patches(of_layers[2]["patches"], expected)
    np.testing.assert_array_equal(shown(ax), shown(expected))
    assert ax.get_title() == "layer 2: 25 of 30 units, 5 x 5 pixels"
    assert "9 of 299 test images" in drawn["preferred_patches.png"].get_suptitle()
    maps = activity_maps(opened.layer, x[0], opened.preprocess, num_units=16)
    image, first, second, *bars = drawn["activity_maps.png"].axes
    np.testing.assert_array_equal(shown(image), x[0, :, :, 0].numpy())
    assert (len(first.texts), len(second.texts), len(bars)) == (6, 16, 2)
    assert [text.get_text() for text in second.texts] == list(
        map(str, maps[2]["unit"].values)
    )
    for number, ax in ((1, first), (2, second)):
        assert shown(ax).max() == maps[number].max()
    assert titles(drawn["activity_maps.png"]) == [
        "first test image",
        "layer 1: 6 of 6 units",
        "layer 2: 16 of 30 units",
    ]


@pytest.mark.slow
def test_a_film_of_two_frames_says_so(run, capsys):
    """As of one epoch on CUDA, where there are no snapshots within it."""
    snapshots = storage.load_dataset(run / storage.SNAPSHOTS)
    storage.save_dataset(run / storage.SNAPSHOTS, snapshots.isel(epoch=[0, -1]))
    main(["plot", str(run)])
    line = f"wrote {run}/receptive_fields.gif: 2 frames, the start and the end of training"
    assert line in capsys.readouterr().out.splitlines()
    with Image.open(run / "receptive_fields.gif") as film:
        assert film.n_frames == 2


@pytest.mark.slow
def test_without_the_data_the_other_figures_are_drawn(run, capsys, monkeypatch):
    def lost(name, root, download):
        assert not download
        raise ValueError(f"cannot read '{name}'")

    for name in ONLY_STACKS:
        (run / name).write_text("of another run")
    monkeypatch.setattr(datasets, "load", lost)
    drawn, left_out = plotted(run, capsys)
    reason = "it shows images of the data set, and cannot read 'digits'"
    assert left_out == dict.fromkeys(ONLY_STACKS, reason)
    assert len(drawn) == 4
    assert not {path.name for path in run.iterdir()} & ONLY_STACKS


@pytest.mark.slow
def test_who_gives_no_images_gets_the_other_figures(run, tmp_path):
    lines = [*figures.draw(figures.open_files(run), tmp_path / "out")]
    left = [line for line in lines if "left out" in line]
    assert (len(lines), len(left)) == (7, 2)
    assert all(line.endswith("and none are given") for line in left)


@pytest.mark.slow
def test_images_of_another_size_are_left_out(run, capsys, monkeypatch):
    images = datasets.load("digits")
    larger = [np.repeat(x, 2, axis=1) for x in (images.x_train, images.x_test)]
    other = datasets.Images(
        larger[0], images.y_train, larger[1], images.y_test, "digits", images.classes
    )
    monkeypatch.setattr(datasets, "load", lambda *_: other)
    _, left_out = plotted(run, capsys)
    assert left_out.keys() == ONLY_STACKS
    assert "learned images of (8, 8, 1)" in left_out["activity_maps.png"]


@pytest.mark.slow
def test_a_single_layer_has_no_deeper_one(tmp_path, capsys):
    run = trained(
        tmp_path / "run", FullyConnected(num_units=9, competition=Ranking()), Rectifier()
    )
    drawn, left_out = plotted(run, capsys)
    assert left_out.keys() == {"preferred_patches.png"}
    assert "one layer that learns" in left_out["preferred_patches.png"]
    fields = xr.DataArray(open_run(run).layer.weights, dims=("unit", "pixel"))
    expected = plots.mosaic(fields, (8, 8, 1))
    np.testing.assert_array_equal(shown(drawn["receptive_fields.png"].axes[0]), expected)
    assert len(drawn["activity_maps.png"].axes[1].patches) == 9


@pytest.mark.slow
def test_a_dense_run_loses_the_figures_of_a_stack_and_hears_nothing_of_them(
    tmp_path, capsys, monkeypatch
):
    executed(configured(), tmp_path / "run")
    for name in ONLY_STACKS:
        (tmp_path / "run" / name).write_text("of another run")
    monkeypatch.setattr(datasets, "load", None)
    drawn, left_out = plotted(tmp_path / "run", capsys)
    assert not left_out
    assert len(drawn) == 4
    assert not {path.name for path in (tmp_path / "run").iterdir()} & ONLY_STACKS


def test_filters_of_two_channels_cannot_be_shown():
    with pytest.raises(figures.LeftOut, match="images of 2 channels cannot be shown"):
        figures._check_colours((3, 3, 2))


def test_events_of_a_stack_hold_its_filters(tmp_path):
    from tests.fastpath.test_tensorboard import events

    layer = StackSettings(stages=DEEP)
    executed(
        configured(layer=layer, training=Training(epochs=1), tensorboard=True),
        tmp_path / "run",
    )
    (_, end) = events(tmp_path / "run").Images("receptive_fields")
    assert (end.height, end.width) == (2 * 4 + 1, 3 * 4 + 1)


def test_patches_are_drawn_in_the_order_of_reading():
    values = np.arange(2 * 3, dtype=float).reshape(2, 3, 1, 1, 1) / 8
    values = np.broadcast_to(values, (2, 3, 7, 7, 1)).copy()
    values[1, 2, :, 0] = np.nan
    images = xr.DataArray(values, dims=("unit", "rank", "y", "x", "channel"))
    ax = plots.patches(images, Figure().subplots())
    drawn = shown(ax)
    block, gap = 2 * 8 + 1, 2
    assert drawn.shape == (block + 2 * gap, 2 * (block + gap) + gap, 3)
    for unit, rank in np.ndindex(2, 3):
        top = gap + 1 + 8 * (rank // 2)
        left = gap + 1 + 8 * (rank % 2) + unit * (block + gap)
        of_patch = drawn[top : top + 7, left : left + 7]
        expected = np.nan_to_num(values[unit, rank], nan=plots.BETWEEN)
        np.testing.assert_array_equal(of_patch, np.broadcast_to(expected, (7, 7, 3)))
    with pytest.raises(ValueError, match="the patches have 2 channels: 1 or 3 are needed"):
        plots.patches(xr.concat([images] * 2, "channel"))


def test_negative_activity_has_a_scale_around_0():
    maps = xr.DataArray(
        np.array([[[1.0, -4.0]], [[0.0, 2.0]]]),
        dims=("unit", "y", "x"),
        coords={"unit": [5, 3]},
    )
    for each, limits in ((maps, (-4, 4)), (abs(maps), (0, 4)), (0 * maps, (0, 1))):
        ax = plots.activity(each, Figure().subplots())
        assert ax.images[0].get_clim() == limits
        assert [text.get_text() for text in ax.texts] == ["5", "3"]
    bars = plots.activity(maps[:, 0, 1], Figure().subplots())
    assert [bar.get_height() for bar in bars.patches] == [-4, 2]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["5", "3"]
