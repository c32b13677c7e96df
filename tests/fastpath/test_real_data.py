"""The real sets, as torchvision opens them; short training on them (slow)."""

import json
import shutil

import pytest

from fastpath.cli import main
from fastpath.data import datasets


@pytest.mark.parametrize(
    ("name", "shape", "num_train"),
    [
        ("mnist", (28, 28, 1), 60_000),
        ("fashion_mnist", (28, 28, 1), 60_000),
        ("cifar10", (32, 32, 3), 50_000),
    ],
)
def test_real_sets_load(data_root, name, shape, num_train):
    images = datasets.load(name, data_root, download=False)
    assert images.shape == shape
    assert images.x_train.shape == (num_train, *shape)
    assert len(images.x_test) == 10_000
    assert len(images.classes) == 10
    assert (images.y_train[:10_000] == 3).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_mnist_file_is_refused(data_root, tmp_path, damage):
    shutil.copytree(data_root / "MNIST", tmp_path / "MNIST")
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        content = content[:-1000]
    else:
        content[5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="missing or damaged"):
        datasets.load("mnist", tmp_path, download=False)


def test_a_damaged_cifar_file_is_refused(data_root, tmp_path):
    shutil.copytree(data_root / "cifar-10-batches-py", tmp_path / "cifar-10-batches-py")
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="missing or damaged"):
        datasets.load("cifar10", tmp_path, download=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "bound"),
    [
        # Measured 6.9 and 18.5; random weights stay at 13.7 and 20.4.
        (["--data", "mnist", "--units", "100", "--epochs", "5"], 9.0),
        (["--data", "fashion_mnist", "--units", "100", "--epochs", "5"], 19.5),
    ],
)
def test_short_training_reads_out_well(data_root, tmp_path, flags, bound):
    out = tmp_path / "run"
    main(
        [
            "train",
            *flags,
            "--head-epochs",
            "5",
            "--data-root",
            str(data_root),
            "--out",
            str(out),
        ]
    )
    assert json.loads((out / "metrics.json").read_text())["test_error"] < bound
