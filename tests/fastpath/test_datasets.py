import numpy as np
import pytest
from PIL import Image

from fastpath.data import datasets


def arrays(**changes):
    rng = np.random.default_rng(0)
    held = {
        "x_train": rng.integers(0, 256, (12, 5, 4), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 5, 4), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {name: value for name, value in (held | changes).items() if value is not None}


def test_digits_are_split_without_overlap_and_in_all_classes():
    digits = datasets.load("digits")
    assert len(digits.x_train) + len(digits.x_test) == 1797
    assert digits.shape == (8, 8, 1)
    assert digits.num_pixels == 64
    assert digits.x_train.dtype == np.uint8
    assert digits.x_train.max() == 255
    assert set(digits.y_train) == set(digits.y_test) == set(range(10))
    assert len(digits.classes) == 10


def test_npz_round_trip(tmp_path):
    held = arrays()
    np.savez(tmp_path / "mine.npz", **held)
    images = datasets.load(str(tmp_path / "mine.npz"))
    assert images.name == "mine"
    assert images.shape == (5, 4, 1)
    assert images.classes == ("0", "1", "2")
    np.testing.assert_array_equal(images.x_train[..., 0], held["x_train"])
    np.testing.assert_array_equal(images.y_test, held["y_test"])


def test_npz_names_of_classes(tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays(classes=np.array(["a", "b", "c"])))
    assert datasets.load(str(tmp_path / "mine.npz")).classes == ("a", "b", "c")


NAN = np.zeros((12, 5, 4))
NAN[0, 0, :2] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None, "y_test": None}, "lacks x_test, y_test: it must hold x_train"),
        ({"x_train": np.zeros((12, 5, 4))}, "x_train is float64: pixels must be uint8"),
        ({"x_train": NAN}, "x_train has 2 NaN or infinite pixels"),
        ({"x_train": np.zeros((12, 5), np.uint8)}, r"x_train has shape \(12, 5\)"),
        ({"x_train": np.zeros((0, 5, 4), np.uint8)}, r"x_train has shape \(0, 5, 4\)"),
        ({"x_test": np.zeros((6, 5, 5), np.uint8)}, "they must have one size"),
        ({"y_train": np.zeros(12)}, "y_train is float64: labels must be integers"),
        ({"y_train": np.zeros(11, int)}, r"y_train has shape \(11,\): one label per image"),
        ({"y_test": np.full(6, -1)}, "y_test holds the label -1"),
        ({"classes": np.array(["a"])}, "labels go up to 2, but 'classes' names 1"),
        ({"x_train": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_malformed_npz_is_refused(tmp_path, changes, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(ValueError, match=message) as error:
        datasets.load(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "not a zip", "flipped bits"])
def test_damaged_npz_is_refused(tmp_path, damage):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "not a zip":
        content = b"hello"
    else:
        content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npz"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnits", "Did you mean 'mnist'"),
        ("CIFAR10", "Did you mean 'cifar10'"),
        ("zebra", ""),
    ],
)
def test_unknown_name_lists_the_known_ones(name, hint):
    with pytest.raises(
        ValueError, match=f"unknown data set '{name}'.*fashion_mnist.*{hint}"
    ):
        datasets.load(name)


@pytest.mark.parametrize("name", datasets.TORCHVISION)
def test_missing_files_say_where_they_were_looked_for(tmp_path, name):
    with pytest.raises(
        ValueError, match=r"missing or damaged.*allow the download"
    ) as error:
        datasets.load(name, tmp_path, download=False)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_idx_file_is_refused(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in datasets.IDX_MD5["MNIST"]:
        (raw / file).write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x02\x00")
    with pytest.raises(ValueError, match="missing or damaged"):
        datasets.load("mnist", tmp_path, download=False)


def save_images(folder, count, size=(4, 5), mode="L"):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            save_images(tmp_path / "pets" / split / name, count)
    return tmp_path / "pets"


def test_image_folder(folder):
    images = datasets.load(str(folder))
    assert images.name == "pets"
    assert images.classes == ("cat", "dog")
    assert images.x_train.shape == (6, 5, 4, 1)
    assert images.x_test.shape == (4, 5, 4, 1)
    assert images.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    first = np.asarray(Image.open(folder / "test" / "dog" / "0.png"))
    np.testing.assert_array_equal(images.x_test[2, ..., 0], first)


def test_gray_images_among_colour_ones_get_three_channels(folder):
    save_images(folder / "train" / "emu", 1, mode="RGB")
    save_images(folder / "test" / "emu", 1, mode="RGB")
    images = datasets.load(str(folder))
    assert images.shape == (5, 4, 3)
    assert (images.x_train[0, ..., 0] == images.x_train[0, ..., 2]).all()


def test_empty_class_folder_is_refused(folder):
    (folder / "train" / "emu").mkdir()
    with pytest.raises(ValueError, match="classes emu"):
        datasets.load(str(folder))


def test_classes_must_be_the_same_in_both_splits(folder):
    save_images(folder / "train" / "emu", 1)
    with pytest.raises(ValueError, match=r"same classes.*emu"):
        datasets.load(str(folder))


def test_missing_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder 'train'"):
        datasets.load(str(tmp_path))


def test_images_of_two_sizes_are_refused(folder):
    save_images(folder / "test" / "cat" / "more", 1, size=(6, 6))
    with pytest.raises(ValueError, match=r"is \(6, 6\).*resize"):
        datasets.load(str(folder))


def test_damaged_image_is_named(folder):
    (folder / "train" / "cat" / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read"):
        datasets.load(str(folder))


def test_the_data_root_is_the_environments(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURODYN_DATA", str(tmp_path))
    assert datasets.default_root() == tmp_path
    monkeypatch.delenv("NEURODYN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert datasets.default_root() == tmp_path / "cache" / "neurodyn"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.npz", "there is no file or folder a.npz: give one of digits"),
        ("nowhere/faces", "there is no file or folder nowhere/faces"),
        ("folder.npz", "folder.npz is a folder, but no .npz file"),
        ("empty", "empty has no folder 'train'"),
        ("file.npy", "file.npy is a file, but no .npz file"),
        ("", "the name of the data set is empty"),
        ("mnits", "unknown data set 'mnits': .* Did you mean 'mnist'"),
    ],
)
def test_what_is_no_data_set_is_said_as_it_is(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder.npz", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file.npy").touch()
    with pytest.raises(ValueError, match=message):
        datasets.load(name)


def test_python_objects_are_refused_in_words_of_their_file(tmp_path):
    ragged = np.empty(2, object)
    ragged[:] = [[1], [1, 2]]
    x, y = np.zeros((2, 3, 3), np.uint8), np.arange(2)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=ragged, x_test=x, y_test=y)
    with pytest.raises(ValueError, match="array 'y_train' holds Python obj") as refused:
        datasets.load(tmp_path / "a.npz")
    assert "allow_pickle" not in str(refused.value)
