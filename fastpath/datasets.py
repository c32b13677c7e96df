"""Labelled image sets: torchvision's, `.npz` files, folders of images."""

import difflib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

TORCHVISION = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *TORCHVISION)
ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# Published MD5 sums of the unpacked idx files: torchvision checks the archives it
# downloads, but opens what it finds unpacked without looking.
IDX_MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


@dataclass(frozen=True)
class Images:
    """A labelled image set: uint8 images (N, height, width, channel) and labels (N)."""

    x_train: UInt8[np.ndarray, "train height width channel"] = field(repr=False)
    y_train: Int[np.ndarray, " train"] = field(repr=False)
    x_test: UInt8[np.ndarray, "test height width channel"] = field(repr=False)
    y_test: Int[np.ndarray, " test"] = field(repr=False)
    name: str
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.x_train.shape[1:]

    @property
    def num_pixels(self) -> int:
        """Number of inputs of a layer: height x width x channels."""
        return int(np.prod(self.shape))


def default_root() -> Path:
    """Return the data root: $NEURODYN_DATA, else the user's cache folder."""
    if given := os.environ.get("NEURODYN_DATA"):
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "neurodyn"


def load(name: str, root: Path | str | None = None, download: bool = True) -> Images:
    """Load a data set by name, from an `.npz` file or from a folder of images.

    Parameters
    ----------
    name
        `digits` (scikit-learn's 8x8 digits, embedded), `mnist`, `fashion_mnist`,
        `cifar10`, `cifar100`; or the path of an `.npz` with the arrays x_train, y_train,
        x_test, y_test; or a folder train/<class>/*.png|jpg, test/<class>/*.png|jpg.
    root
        Where torchvision's sets lie, or are downloaded to. See `default_root`.
    download
        Fetch a torchvision set that is not there.

    Raises
    ------
    ValueError
        If there is no such data set, or its files are missing, damaged or malformed.
    """
    if name == "digits":
        return _digits()
    if name in TORCHVISION:
        return _torchvision(name, Path(root) if root else default_root(), download)
    path = Path(name)
    if path.suffix == ".npz" and path.exists():
        return _npz(path)
    if path.is_dir():
        return _folder(path)
    near = difflib.get_close_matches(name.lower(), NAMES, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ValueError(
        f"unknown data set '{name}': give one of {', '.join(NAMES)}, the path of an .npz "
        f"file or of an image folder.{hint}"
    )


def _digits() -> Images:
    """Split scikit-learn's 1797 digits: every sixth image is held out for the test."""
    from sklearn.datasets import load_digits

    flat, labels = load_digits(return_X_y=True)
    x = np.round(np.asarray(flat, float).reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    y = np.asarray(labels, np.int64)
    test = np.arange(len(y)) % 6 == 5
    return Images(x[~test], y[~test], x[test], y[test], "digits", tuple("0123456789"))


def _torchvision(name: str, root: Path, download: bool) -> Images:
    from torchvision import datasets

    kind = {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }[name]
    try:
        train, test = (
            kind(root, train=split, download=download) for split in (True, False)
        )
        for file, md5 in IDX_MD5.get(kind.__name__, {}).items():
            _check_md5(root / kind.__name__ / "raw" / file, md5)
    # torchvision reports a damaged file by whatever its parser stumbles over.
    except Exception as error:
        raise ValueError(_why_not(name, root, download, error)) from error
    (x_train, y_train), (x_test, y_test) = map(_arrays, (train, test))
    return Images(x_train, y_train, x_test, y_test, name, tuple(train.classes))


def _check_md5(path: Path, md5: str) -> None:
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if found != md5:
        raise OSError(f"{path} has the MD5 sum {found}, published is {md5}")


def _why_not(name: str, root: Path, download: bool, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    advice = (
        "check the network, or put the files there"
        if download
        else "allow the download, or put the files there"
    )
    return (
        f"cannot read '{name}' under {root}: its files are missing or damaged ({reason}); "
        f"delete them if they are there, and {advice}; or name another data root "
        "(--data-root or NEURODYN_DATA)"
    )


def _arrays(data: Any) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(data.data)
    x = x[..., None] if x.ndim == 3 else x
    return np.ascontiguousarray(x), np.asarray(data.targets, dtype=np.int64)


def _npz(path: Path) -> Images:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            held = set(file.files)
            if missing := [name for name in ARRAYS if name not in held]:
                raise ValueError(
                    f"{path} lacks {', '.join(missing)}: it must hold {', '.join(ARRAYS)}"
                    f" (found: {', '.join(sorted(held)) or 'nothing'})"
                )
            arrays = {name: file[name] for name in ARRAYS}
            classes = tuple(map(str, file["classes"])) if "classes" in held else None
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise ValueError(f"{path} is damaged or not an .npz file: {error}") from error
    for split in ("train", "test"):
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        arrays[f"x_{split}"] = _check_pixels(x, f"{path}: x_{split}")
        arrays[f"y_{split}"] = _check_labels(y, len(x), f"{path}: y_{split}")
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(
            f"{path}: training images are {arrays['x_train'].shape[1:]}, test images "
            f"{arrays['x_test'].shape[1:]}: they must have one size"
        )
    num_classes = 1 + max(arrays["y_train"].max(), arrays["y_test"].max())
    classes = classes or tuple(map(str, range(num_classes)))
    if len(classes) < num_classes:
        raise ValueError(
            f"{path}: labels go up to {num_classes - 1}, but 'classes' names {len(classes)}"
        )
    return Images(**arrays, name=path.stem, classes=classes)


def _check_pixels(x: np.ndarray, what: str) -> np.ndarray:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError(
            f"{what} has {np.count_nonzero(~np.isfinite(x))} NaN or infinite pixels: "
            "pixels must be uint8, 0 to 255"
        )
    if x.dtype != np.uint8:
        raise ValueError(
            f"{what} is {x.dtype}: pixels must be uint8, 0 to 255 (for floats in [0, 1]: "
            "np.round(255 * x).astype(np.uint8))"
        )
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise ValueError(
            f"{what} has shape {x.shape}: (image, height, width) or (image, height, "
            "width, channel) is needed, none of them 0"
        )
    return x[..., None] if x.ndim == 3 else x


def _check_labels(y: np.ndarray, num_images: int, what: str) -> np.ndarray:
    if y.dtype.kind not in "iu":
        raise ValueError(f"{what} is {y.dtype}: labels must be integers, 0 and up")
    if y.shape != (num_images,):
        raise ValueError(
            f"{what} has shape {y.shape}: one label per image, ({num_images},), is needed"
        )
    if y.min() < 0:
        raise ValueError(f"{what} holds the label {y.min()}: labels start at 0")
    return y.astype(np.int64)


def _folder(path: Path) -> Images:
    from torchvision.datasets import ImageFolder

    for split in ("train", "test"):
        if not (path / split).is_dir():
            raise ValueError(
                f"{path} has no folder '{split}': an image folder is laid out as "
                "train/<class>/*.png|jpg and test/<class>/*.png|jpg"
            )
    try:
        train, test = (ImageFolder(path / split) for split in ("train", "test"))
    except FileNotFoundError as error:  # no class, or a class without images
        raise ValueError(f"{path}: {error}") from error
    if train.classes != test.classes:
        differ = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(
            f"{path}: train and test must have the same classes; only in one of them: "
            f"{', '.join(differ)}"
        )
    files = [*train.samples, *test.samples]
    x = _read_images([Path(file) for file, _ in files])
    y = np.array([label for _, label in files], dtype=np.int64)
    n = len(train.samples)
    return Images(x[:n], y[:n], x[n:], y[n:], path.name, tuple(train.classes))


def _read_images(files: list[Path]) -> np.ndarray:
    """Read files of one size: one channel if all are gray, else three."""
    from PIL import Image

    images = []
    for file in files:
        try:
            with Image.open(file) as image:
                if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                    raise OSError(f"pixels of mode {image.mode}, 8 bits are needed")
                gray = image.mode in ("1", "L")
                images.append(np.asarray(image.convert("L" if gray else "RGB")))
        except Exception as error:  # Pillow's decoders each have their own
            raise ValueError(
                f"{file} cannot be read as an image: {error}; convert or remove it"
            ) from error
        if images[-1].shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"{file} is {images[-1].shape[:2]} (height, width), {files[0]} is "
                f"{images[0].shape[:2]}: resize the images to one size first"
            )
    channels = max(image.ndim for image in images)
    if channels == 2:
        return np.stack(images)[..., None]
    rgb = [x if x.ndim == 3 else np.repeat(x[..., None], 3, axis=2) for x in images]
    return np.stack(rgb)
