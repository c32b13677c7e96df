"""Runs and their data sets: what decides the settings, and what may not have changed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fastpath.cli import main
from fastpath.commands.flags import Train
from fastpath.commands.train import configured
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for, source_of_defaults
from fastpath.runs import storage
from tests.helpers import refused, save_digits

LEVELS = {"cat": 40, "dog": 200}
SMALL = ["--units", "8", "--epochs", "2", "--k", "2", "--batch-size", "10"]


def draw(folder, name, level, count=20):
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.full((4, 4), 30 + i, np.uint8)
        pixels[: 2 if level < 100 else 4, :2] = level
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of images and a run that makes no error on it."""
    place = tmp_path_factory.mktemp("trained")
    for split in ("train", "test"):
        for name, level in LEVELS.items():
            draw(place / "pets" / split / name, name, level)
    data = ["--data", str(place / "pets"), "--out", str(place / "run")]
    main(["train", *data, *SMALL, "--head-epochs", "20"])
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    assert metrics["test_error"] == 0
    return place


@pytest.fixture
def pets(trained, tmp_path):
    """A copy that may be changed, and its run."""
    shutil.copytree(trained, tmp_path / "copy")
    path = tmp_path / "copy" / "run" / "config.json"
    config = json.loads(path.read_text())
    config["data"] = str(tmp_path / "copy" / "pets")
    path.write_text(json.dumps(config))
    return tmp_path / "copy"


def rename(pets, old, new):
    for split in ("train", "test"):
        (pets / "pets" / split / old).rename(pets / "pets" / split / new)


def test_a_renamed_class_is_refused_with_both_names(pets, capsys):
    rename(pets, "cat", "zcat")
    for command in (["evaluate"], ["export", "--out", pets / "images.npz"]):
        line = refused(capsys, command[0], pets / "run", *command[1:])
        assert "the classes of 'pets' are not those that" in line
        assert "new is zcat, missing cat" in line


def test_an_added_class_is_refused(pets, capsys):
    for split in ("train", "test"):
        draw(pets / "pets" / split / "ant", "ant", 90)
    assert "new is ant, missing none" in refused(capsys, "evaluate", pets / "run")


def test_classes_are_matched_by_their_names(pets, capsys):
    """A class that is gone leaves the numbers of the others as they were."""
    for split in ("train", "test"):
        for file in (pets / "pets" / split / "cat").iterdir():
            file.unlink()
        (pets / "pets" / split / "cat").rmdir()
    capsys.readouterr()
    main(["evaluate", str(pets / "run")])
    said = capsys.readouterr()
    assert "test error                 0.00 %" in said.out
    assert said.err == (
        f"fastpath: the test set of 'pets' has changed since {pets / 'run'} was scored on "
        "it\n"
    )
    main(["export", str(pets / "run"), "--out", str(pets / "o.npz"), "--num-images", "5"])
    with np.load(pets / "o.npz") as file:
        assert file["labels"].tolist() == [1] * 5


def test_another_test_image_is_noted(pets, capsys):
    main(["evaluate", str(pets / "run")])
    assert capsys.readouterr().err == ""
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(pets / "pets/test/cat/0.png")
    main(["evaluate", str(pets / "run")])
    assert "the test set of 'pets' has changed" in capsys.readouterr().err


def test_a_run_of_an_older_version_is_evaluated(pets, capsys):
    path = pets / "run" / "config.json"
    config = json.loads(path.read_text())
    del config["images"], config["test_images"]
    path.write_text(json.dumps(config))
    main(["evaluate", str(pets / "run")])
    said = capsys.readouterr()
    assert "test error                 0.00 %" in said.out
    assert said.err == ""


def test_classes_that_an_older_version_made_of_gaps_are_found(tmp_path, capsys):
    """Labels 1 and 2 were two of three classes."""
    x = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8)
    y = np.arange(40) % 2 + 1
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "set.npz", **arrays, classes=["0", "1", "2"])
    run = tmp_path / "run"
    main(["train", "--data", str(tmp_path / "set.npz"), "--out", str(run), *SMALL])
    error = json.loads((run / "metrics.json").read_text())["test_error"]
    np.savez(tmp_path / "set.npz", **arrays)
    assert datasets.load(tmp_path / "set.npz").classes == ("1", "2")
    capsys.readouterr()
    main(["evaluate", str(run)])
    said = capsys.readouterr()
    assert f"{error:.2f} %" in said.out
    assert said.err == ""


def test_as_many_pixels_of_another_shape_are_refused(tmp_path, capsys):
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    y = np.arange(40) % 2
    labels, path = {"y_train": y, "y_test": y}, tmp_path / "set.npz"
    np.savez(path, x_train=x, x_test=x, **labels)
    main(["train", "--data", str(path), "--out", str(tmp_path / "run"), *SMALL])
    wide = x.reshape(40, 4, 16)
    np.savez(path, x_train=wide, x_test=wide, **labels)
    line = refused(capsys, "evaluate", tmp_path / "run")
    assert "learned images of (8, 8, 1)" in line
    assert "those of 'set' are (4, 16, 1)" in line


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run that was interrupted after its first checkpoint."""
    save = storage.save_state

    def stop(*args):
        save(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(storage, "save_state", stop)
        flags = ["--data", "digits", "--units", "8", "--epochs", "2", "--head-epochs", "1"]
        with pytest.raises(SystemExit):
            main(["train", *flags, "--out", str(tmp_path / "run")])
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda d: {"x_test": d.x_test[:, ::-1]}, "what differs: test_images ("),
        (lambda d: {"y_test": (d.y_test + 1) % 10}, "what differs: test_images ("),
        (lambda d: {"classes": tuple("abcdefghij")}, 'what differs: classes (["0", "1"'),
        (
            lambda d: {
                n: getattr(d, n).reshape(-1, 4, 16, 1) for n in ("x_train", "x_test")
            },
            "what differs: image_shape ([8, 8, 1] there, [4, 16, 1] here); test_images",
        ),
    ],
)
def test_a_run_goes_on_with_its_own_test_set_alone(
    interrupted, capsys, monkeypatch, changes, message
):
    digits = datasets.load("digits")
    other = replace(digits, **changes(digits))
    monkeypatch.setattr(datasets, "load", lambda *_: other)
    assert message in refused(capsys, "resume", interrupted)


def test_a_checkpoint_that_did_not_note_the_test_set_says_so(interrupted, capsys):
    path = interrupted / storage.CHECKPOINT
    state, config = storage.load_state(path)
    for name in storage.NOTED_LATER:
        del config[name]
    storage.save_state(path, state, config)
    capsys.readouterr()
    main(["resume", str(interrupted)])
    said = capsys.readouterr()
    assert "begun by an older version, which did not note the test set" in said.err
    assert said.err.count("\n") == 1
    assert "test error" in said.out


NAMES = ["mnist", "digits", "cifar10", "fashion_mnist", "faces_utk", "x"]


@pytest.fixture(scope="module")
def same_images(tmp_path_factory):
    """The digits in files of many names."""
    place = tmp_path_factory.mktemp("names")
    save_digits(place, *NAMES)
    return place


def test_no_name_of_a_file_chooses_the_settings(same_images, tmp_path):
    plans = []
    for name in NAMES:
        path = str(same_images / f"{name}.npz")
        images = datasets.load(path)
        assert images.name == name
        assert images.origin == ""
        plan = configured(Train(data=path, out=tmp_path), images.origin)
        plans.append(replace(plan, data=""))
    assert plans == plans[:1] * len(NAMES)
    expected = configured(Train(data="x", out=tmp_path), "fashion_mnist")
    assert plans[0] == replace(expected, data="")
    assert datasets.load("digits").origin == "digits"
    assert defaults_for("digits") != defaults_for("") == defaults_for("fashion_mnist")


def test_the_settings_that_were_taken_are_named_with_the_reason(
    same_images, tmp_path, capsys
):
    where = ["--units", "8", "--epochs", "1", "--batch-size", "100"]
    for data, said in (
        ("digits", "settings not given: those chosen for digits\n"),
        (
            str(same_images / "mnist.npz"),
            "settings not given: those of fashion_mnist, since none were chosen "
            "for 'mnist' (compare settings by --validation)\n",
        ),
    ):
        assert source_of_defaults(datasets.load(data)) == said.strip()
        out = ["--out", str(tmp_path / data[:3].strip("/")), "--head-epochs", "1"]
        main(["train", "--data", data, *out, "--overwrite", *where])
        assert said in capsys.readouterr().out
        main(["backprop", "--data", data, *where])
        assert said in capsys.readouterr().out
