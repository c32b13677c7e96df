"""Labels and names of classes: what is accepted, renumbered, refused, and where."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import baselines, compute, experiment
from fastpath.cli import main
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.datasets import Images
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.runs import storage
from fastpath.training.loop import Training

X = np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)
Y = np.arange(12) % 3


def load(folder, **changes):
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:6], "y_test": Y[:6]} | changes
    np.savez(folder / "set.npz", **arrays)
    return datasets.load(folder / "set.npz")


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 140000, 7]),
        np.array([0, 10**12, 3]),
        np.array([2**63, 2**63 + 1, 2**64 - 1], np.uint64),
        np.array([2**53, 2**53 + 1, 2**53 + 2]),
        np.array([1, 2, 3], np.uint8),
        np.array([5, 300, 20], ">i4"),
    ],
    ids=str,
)
def test_labels_with_gaps_are_classes_of_their_names(tmp_path, values):
    images = load(tmp_path, y_train=values[Y], y_test=values[Y[:6]])
    assert images.classes == tuple(map(str, sorted(map(int, values))))
    for given, numbers in ((values[Y], images.y_train), (values[Y[:6]], images.y_test)):
        assert numbers.dtype == np.int64
        assert [images.classes[i] for i in numbers] == [str(int(label)) for label in given]


def test_labels_without_gaps_stay_as_they_are(tmp_path):
    images = load(tmp_path)
    assert images.classes == ("0", "1", "2")
    np.testing.assert_array_equal(images.y_train, Y)


def test_both_splits_are_numbered_together(tmp_path):
    """Of types that NumPy would join as floating point; one does not have all labels."""
    first, second = 2**60 + 1, 2**60 + 2
    images = load(
        tmp_path,
        y_train=np.choose(Y, [first, second, 4]).astype(np.int64),
        y_test=np.array([second, second, 4, 4, second, second], np.uint64),
    )
    assert images.classes == ("4", str(first), str(second))
    assert images.y_train.tolist() == [{0: 1, 1: 2, 2: 0}[y] for y in Y.tolist()]
    assert images.y_test.tolist() == [2, 2, 0, 0, 2, 2]


def test_labels_are_indices_of_the_names_that_are_given(tmp_path):
    names = np.array(["a", "b", "c", "d", "e"])
    images = load(tmp_path, y_train=Y * 2, y_test=Y[:6] * 2, classes=names)
    assert images.classes == tuple(names)
    np.testing.assert_array_equal(images.y_train, 2 * Y)


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (np.array([b"caf\xc3\xa9", b"b", b"c"]), ("café", "b", "c")),
        (np.array([10, 20, 30]), ("10", "20", "30")),
    ],
)
def test_names_may_be_bytes_or_numbers(tmp_path, names, read):
    assert load(tmp_path, classes=names).classes == read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": Y.astype(float)},
            "y_train is float64: labels must be integers.*astyp",
        ),
        ({"y_train": Y.astype(bool)}, "y_train is bool: labels must be integers"),
        ({"y_test": np.array(list("abcabc"))}, "y_test is <U1: labels must be integers"),
        ({"y_train": Y[:, None]}, r"y_train has shape \(12, 1\).*y\[:, 0\]"),
        ({"y_train": np.eye(3, dtype=int)[Y]}, r"shape \(12, 3\).*y\.argmax\(axis=1\)"),
        ({"y_train": np.array(3)}, r"y_train has shape \(\): one label per image"),
        ({"y_train": Y - 1}, "y_train holds the label -1: labels start at 0"),
        ({"y_test": Y}, r"y_test has shape \(12,\): one label per image, \(6,\)"),
        (
            {"y_train": np.where(Y, Y, 10**12), "classes": ["a", "b", "c"]},
            "to 1000000000000",
        ),
        (
            {"y_test": np.full(6, 2**63, np.uint64), "classes": ["a", "b", "c"]},
            "y_test: labels go up to 9223372036854775808, but 'classes' names 3",
        ),
        ({"classes": ["a", "b", "a"]}, "two classes are called 'a'"),
        ({"classes": ["a", "", "c"]}, "'' cannot be the name of a class"),
        ({"classes": ["a", "b\0b", "c"]}, r"'b\\x00b' cannot be the name"),
        ({"classes": ["a", "b\nb", "c"]}, r"'b\\nb' cannot be the name"),
        ({"classes": ["a", "\udce9", "c"]}, r"'\\udce9' cannot be the name"),
        ({"classes": ["a", "b" * 256, "c"]}, r"'b+\.\.\.' cannot be the name"),
        ({"classes": [["a", "b", "c"]]}, r"classes has shape \(1, 3\): one name per class"),
        (
            {"classes": np.array([b"\xe9", b"b", b"c"])},
            "the names in classes are not UTF-8",
        ),
    ],
)
def test_what_is_no_label_or_name_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'set.npz'}: ")


def test_images_of_ones_own_come_in_by_the_same_door():
    with pytest.raises(
        ValueError, match="y_test: labels go up to 7, but 'classes' names 3"
    ):
        Images(X, Y, X[:6], [7, 0, 1, 2, 0, 1], "mine", ("a", "b", "c"))
    with pytest.raises(ValueError, match="y_train holds the label -1"):
        Images(X, Y - 1, X[:6], Y[:6], "mine", ("a", "b", "c"))
    with pytest.raises(ValueError, match="two classes are called 'a'"):
        Images(X, Y, X[:6], Y[:6], "mine", ("a", "a", "b"))
    with pytest.raises(ValueError, match=r"'\\udce9' cannot be the name of a data set"):
        Images(X, Y, X[:6], Y[:6], "\udce9", ("a", "b", "c"))
    mine = Images(X, torch.from_numpy(Y), X[:6], list(Y[:6]), "mine", ["a", "b", "c"])
    assert mine.classes == ("a", "b", "c")
    assert mine.y_train.dtype == mine.y_test.dtype == np.int64
    np.testing.assert_array_equal(mine.y_test, Y[:6])


def split(y):
    x, y = torch.from_numpy(X[..., None]), torch.as_tensor(y)
    return Split(x, y, x, y, "test")


def settings():
    generator = torch.Generator().manual_seed(0)
    return {"preprocess": Preprocess(), "generator": generator, "progress": False}


def by_local_rule(split, num_classes):
    experiment.learn(
        split,
        layer=DenseSettings(num_units=4),
        num_classes=num_classes,
        competition=Ranking(),
        training=Training(epochs=1, batch_size=4),
        readout=Readout(epochs=1),
        **settings(),
    )


def by_backprop(split, num_classes):
    baselines.backprop(
        split,
        num_units=4,
        num_classes=num_classes,
        backprop=baselines.Backprop(epochs=1, batch_size=4),
        **settings(),
    )


def by_pixels(split, num_classes):
    baselines.linear(
        split, num_classes=num_classes, readout=Readout(epochs=1), **settings()
    )


@pytest.mark.parametrize("learn", [by_local_rule, by_backprop, by_pixels])
def test_a_label_beyond_the_number_of_classes_is_refused(learn):
    with pytest.raises(
        ValueError, match="y_train holds labels from 0 to 2, but there are 2 classes"
    ):
        learn(split(Y), 2)
    with pytest.raises(
        ValueError, match="y_train holds labels from -1 to 1, but there are 3 classes"
    ):
        learn(split(Y - 1), 3)


@pytest.mark.parametrize("learn", [by_local_rule, by_backprop, by_pixels])
def test_too_many_classes_are_refused_before_the_training(learn, monkeypatch):
    monkeypatch.setattr(compute, "free_memory", lambda device: 10**9)
    with pytest.raises(ValueError, match=r"156.80 GB.*confusion of 140001 classes"):
        learn(split(Y), 140_001)


@pytest.mark.slow
def test_a_run_tells_its_classes_by_their_names(tmp_path, capsys):
    """As if the labels had no gaps, but for the names: in all files, and evaluated."""
    digits, runs = datasets.load("digits"), {}
    for name, labels in (("plain", np.arange(10)), ("gaps", 14_000 * np.arange(10) + 5)):
        y = {
            f"y_{split}": labels[getattr(digits, f"y_{split}")]
            for split in ("train", "test")
        }
        path = tmp_path / f"{name}.npz"
        np.savez(path, x_train=digits.x_train, x_test=digits.x_test, **y)
        out = tmp_path / name
        settings = ["--units", "12", "--epochs", "2", "--k", "2", "--head-epochs", "3"]
        main(["train", "--data", str(path), "--out", str(out), *settings])
        config = json.loads((out / "config.json").read_text())
        history = storage.load_dataset(out / "history.nc")
        assert config["classes"] == [str(label) for label in labels]
        assert list(history["label"].values) == list(history["answer"].values)
        assert list(history["label"].values) == config["classes"]
        counts = history["confusion"].sum("answer").values
        np.testing.assert_array_equal(counts, np.bincount(digits.y_test))
        capsys.readouterr()
        main(["evaluate", str(out)])
        runs[name] = capsys.readouterr().out, history["confusion"].values
    assert runs["plain"][0] == runs["gaps"][0]
    np.testing.assert_array_equal(runs["plain"][1], runs["gaps"][1])


@pytest.mark.slow
def test_every_name_that_is_accepted_can_be_written_and_drawn(tmp_path):
    names = ["$\\frac$", "日本", "a" * 255, " ", "é\u0301", "\ufffe", "a/b"]
    y = np.arange(70) % 7
    x = np.random.default_rng(0).integers(0, 256, (70, 4, 4), dtype=np.uint8)
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "$\\x$.npz", **arrays, classes=names)
    run = tmp_path / "run"
    where = ["--data", str(tmp_path / "$\\x$.npz"), "--out", str(run)]
    main(
        ["train", *where, "--units", "4", "--epochs", "1", "--batch-size", "10", "--k", "2"]
    )
    assert json.loads((run / "config.json").read_text())["classes"] == names
    with xr.open_dataset(run / "history.nc", engine="h5netcdf") as history:
        assert list(history["label"].values) == names
    main(["plot", str(run)])
    assert (run / storage.CONFUSION).exists()


def test_a_folder_that_could_not_be_read_again_is_refused(tmp_path, capsys):
    out = str(tmp_path / "run\udce9")
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--data", "digits", "--out", out])
    assert stopped.value.code == 2
    assert "has a name that is not UTF-8" in capsys.readouterr().err


def test_classes_that_are_in_the_test_set_alone_are_refused(tmp_path):
    """Unless all classes are named: then it is intended."""
    x, y = np.random.default_rng(0).integers(0, 255, (6, 4, 4), np.uint8), np.arange(6) % 3
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y + 1}
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(ValueError, match=r"do not have are in y_test \(3\): they cannot"):
        datasets.load(tmp_path / "set.npz")
    np.savez(tmp_path / "set.npz", **arrays, classes=["a", "b", "c", "d"])
    assert datasets.load(tmp_path / "set.npz").classes == ("a", "b", "c", "d")
