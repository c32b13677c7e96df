"""Faces: gray images, mirror images, what tells trials apart, and the study in small."""

import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.data.defaults import defaults_for
from fastpath.training.loop import Training
from scenarios import faces
from scenarios.faces import Config
from scenarios.faces.networks import Faces, LargestClass
from scenarios.support import grid
from scenarios.support.trials import GRAY, Source
from tests.helpers import figures_saved, heights, mistake, panels

SIDE = 6


def save_tiny(folder, *, seed=0, name="tiny", **more):
    """Write images of two classes, one bright above and one below; return the path."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", 40), ("test", 20)):
        y = np.arange(count) % 2
        x = random.integers(0, 120, (count, SIDE, SIDE, 3))
        for image, label in zip(x, y, strict=True):
            image[:3] += 100 * label
            image[3:] += 100 * (1 - label)
        arrays |= {f"x_{part}": x.astype(np.uint8), f"y_{part}": y}
    np.savez(path := folder / f"{name}.npz", **arrays, **more)
    return str(path)


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path / "tiny")


def small(tmp_path, *data, **changes):
    settings = {"preset": "quick", "units": 10, "seeds": 2, "out": tmp_path / "out"}
    return Config(**settings | {"data": data or None} | changes)


def test_gray_is_the_weighted_sum_of_the_channels(tiny):
    colour = Source.of(tiny, None).load()
    gray = Source.of(tiny, None, gray=True).load()
    assert gray.x_test.shape == (20, SIDE, SIDE, 1)
    assert gray.x_train.dtype == np.uint8
    for image, found in zip(colour.x_test, gray.x_test, strict=True):
        for row in range(SIDE):
            for column in range(SIDE):
                red, green, blue = (int(value) for value in image[row, column])
                wanted = 0.299 * red + 0.587 * green + 0.114 * blue
                assert abs(int(found[row, column, 0]) - wanted) <= 0.5 + 1e-9
    assert sum(GRAY) == pytest.approx(1)


def test_other_images_of_the_same_name_are_other_trials(tmp_path):
    def path_of(data, **changes):
        source = Faces.of(data, None, **changes)
        trial = LargestClass(
            network="largest class",
            source=source,
            num_units=0,
            seed=0,
            preprocess=defaults_for(source.name).preprocess,
        )
        return grid.path_of(trial, tmp_path)

    first = path_of(save_tiny(tmp_path / "first"))
    assert path_of(save_tiny(tmp_path / "copy")) == first
    assert path_of(save_tiny(tmp_path / "other", seed=1)) != first
    assert path_of(save_tiny(tmp_path / "first"), gray=True) != first


def test_mirror_images_are_learned_but_not_of_those_scored_on(tiny):
    source = Faces.of(tiny, None)
    trial = LargestClass(
        network="largest class",
        source=source,
        num_units=0,
        seed=3,
        preprocess=defaults_for("tiny").preprocess,
        validation=10,
    )
    _, parts, _ = trial.begin()
    x, y = parts.x_train.numpy(), parts.y_train.numpy()
    assert (len(x), len(parts.x_eval)) == (60, 10)
    for i in range(30):
        np.testing.assert_array_equal(x[30 + i], x[i][:, ::-1])
    np.testing.assert_array_equal(y[30:], y[:30])
    learned = {image.tobytes() for image in x}
    for image in parts.x_eval.numpy():
        assert image.tobytes() not in learned
        assert image[:, ::-1].tobytes() not in learned
    plain = replace(trial, source=Source.of(tiny, None))
    assert len(plain.begin()[1].x_train) == 30


def test_largest_class_is_that_of_the_training_images(tmp_path):
    path = save_tiny(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["y_train"][:10] = 1
    arrays["y_test"] = np.array([1] * 5 + [0] * 15)
    np.savez(path, **arrays)
    trial = faces.trial("largest class", Faces.of(path, None), 0, small(tmp_path))
    assert trial.compute()["error"] == pytest.approx(75)


def test_known_sets_have_names_of_classes_unless_the_file_has(tmp_path):
    known = save_tiny(tmp_path, name="faces_real_fake")
    assert Faces.of(known, None).load().classes == ("real", "fake")
    own = save_tiny(tmp_path / "own", name="faces_real_fake", classes=["a", "b"])
    assert Faces.of(own, None).load().classes == ("a", "b")
    unknown = save_tiny(tmp_path, name="unknown")
    assert Faces.of(unknown, None).load().classes == ("0", "1")


def test_missing_faces_are_one_line_that_helps(tmp_path, capsys):
    flags = ["--data-root", str(tmp_path), "--out", str(tmp_path / "out")]
    message = mistake(capsys, "faces", *flags)
    for part in (str(tmp_path / "faces_utk.npz"), "--data-root", "--data", "x_train"):
        assert part in message


def test_settings_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="units is 0: at least 1"):
        Config(units=0)
    with pytest.raises(ValueError, match="unknown data set 'nothing'"):
        faces.main(small(tmp_path, "nothing"))


@pytest.mark.slow
def test_a_study_writes_what_it_found_and_continues(tmp_path, tiny, capsys, monkeypatch):
    stop = LargestClass.compute

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(LargestClass, "compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        faces.main(small(tmp_path, tiny))
    kept = {path.name for path in (tmp_path / "out" / "trials").iterdir()}
    assert len(kept) == 10  # both seeds of the five networks, in gray

    monkeypatch.setattr(LargestClass, "compute", stop)
    capsys.readouterr()
    with figures_saved() as figures:
        result = faces.main(small(tmp_path, tiny))
    printed = capsys.readouterr().out
    assert "14/14" in printed
    assert not any(f" {name}" in printed for name in kept)
    assert list(result["data"].values) == ["tiny gray", "tiny"]
    assert result["error"].notnull().all()
    assert (tmp_path / "out" / "faces_quick.png").exists()
    bars = panels(*figures)["0 or 1, gray\n(tiny, 20 test images)"]
    accuracy = 100 - result["error"].sel(data="tiny gray").mean("seed")
    methods = [tick.get_text() for tick in bars.get_xticklabels()]
    np.testing.assert_allclose(heights(bars)[: len(methods)], accuracy.sel(network=methods))

    with xr.open_dataset(tmp_path / "out" / "data" / "faces_quick.nc") as record:
        assert {"title", "protocol"} <= set(record.attrs)
    faces.main(small(tmp_path, tiny))
    assert "/14" not in capsys.readouterr().out


def test_receptive_fields_are_those_of_the_first_units(tmp_path, tiny):
    trial = faces.trial("local rule", Faces.of(tiny, None), 0, small(tmp_path))
    trial = replace(trial, training=Training(epochs=0, batch_size=40), fields=3)
    fields = trial.compute()["fields"].values
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(10, SIDE * SIDE * 3, generator=generator).numpy()[:3]
    scaled = weights / abs(weights).max(axis=1, keepdims=True)
    np.testing.assert_allclose(
        fields, scaled, atol=0.5 / faces.networks.FIELD_LEVELS + 1e-6
    )


@pytest.mark.slow
def test_without_the_local_rule_there_are_no_fields_to_draw(tmp_path, tiny):
    config = small(tmp_path, tiny, seeds=1)
    faces.main(config)
    result = faces.main(replace(config, methods=("random weights",)))
    assert list(result["network"].values) == ["random weights", "largest class"]


@pytest.mark.slow
def test_fields_of_one_set_are_drawn_beside_a_set_without(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(faces, "CLASSES", {})
    result = faces.main(small(tmp_path, tiny, seeds=1))
    result["fields"].loc[{"data": "tiny"}] = np.nan
    images = {
        name: Faces.of(tiny, None, gray="gray" in name).load()
        for name in ("tiny gray", "tiny")
    }
    figure = faces.figure.draw(result, images, "")
    assert [ax.axison for ax in figure.axes[2:]] == [False, False]
    assert len(figure.axes[2].images) == 1
    assert not figure.axes[3].images
    plt.close(figure)


@pytest.mark.slow
def test_fewer_clusters_than_images(tmp_path, tiny):
    config = small(tmp_path, tiny, units=100)
    result = faces.main(replace(config, seeds=1))
    assert result["error"].sel(network="k-means").notnull().all()
    trial = faces.trial("k-means", Faces.of(tiny, None), 0, config)
    assert trial.num_units == 40 // faces.IMAGES_PER_CLUSTER


def test_table_shows_mean_and_spread_of_the_seeds():
    errors = xr.DataArray(
        [[[10.0, 20.0], [50.0, 50.0]]],
        dims=("data", "network", "seed"),
        coords={"data": ["a"], "network": ["local rule", "largest class"]},
    )
    lines = faces.figure.table(xr.Dataset({"error": errors})).splitlines()
    assert lines[1].split() == ["local", "rule", "85.00", "±", "7.07"]
    assert lines[2].split() == ["largest", "class", "50.00", "±", "0.00"]


@pytest.mark.slow
def test_gender_is_told_far_better_than_by_the_largest_class(data_root, tmp_path):
    path = data_root / "faces_utk.npz"
    if not path.is_file():
        reason = f"no {path.name} in {data_root}"
        (pytest.fail if os.environ.get("NEURODYN_REQUIRE_DATA") else pytest.skip)(reason)
    config = small(tmp_path, data_root=data_root, units=100)
    source = Faces.of(str(path), None, gray=True)
    trial = faces.trial("local rule", source, 0, config)
    trial = replace(trial, training=replace(trial.training, epochs=2))
    largest = faces.trial("largest class", source, 0, config)
    gained = largest.compute()["error"] - trial.compute()["error"]
    assert gained > 10  # of 45; one sd of 1935 test images is 1.1
