"""Labelled image sets: torchvision's, `.npz` files, folders of images."""

import difflib
import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastpath.data import folders
from fastpath.data.images import Images, check_learnable, numbered
from neurodyn.flags import refuse_without_effect

TORCHVISION = {  # by the names of its classes
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# Published MD5 sums of the unpacked idx files. torchvision checks the archives that it
# downloads, but not the unpacked files.
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


def default_root() -> Path:
    """Return the data root: $NEURODYN_DATA, else the user's cache folder."""
    if root := os.environ.get("NEURODYN_DATA"):
        return Path(root)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "neurodyn"


def check_root(settings: object, *names: str) -> None:
    """Raise ValueError if `data_root` is given, but no data set is read from there."""
    if not {*names} & {*TORCHVISION}:
        refuse_without_effect(
            settings,
            ["data_root"],
            why=f"on {' and '.join(names)}, which lies elsewhere",
        )


def load(name: str | Path, root: Path | str | None = None, download: bool = True) -> Images:
    """Load a data set by name, from an `.npz` file or from a folder of images.

    Image files are read as a viewer shows them: turned by their EXIF orientation, with one
    channel if all are gray. Images with transparent pixels, several frames or more than 8
    bits a channel are refused. Hidden files and files that are not images are skipped; a
    line on stderr gives their number.

    Parameters
    ----------
    name
        `digits` (scikit-learn's 8x8 digits, embedded), `mnist`, `fashion_mnist`,
        `cifar10`, `cifar100`; or the path of an `.npz` with the arrays x_train, y_train,
        x_test, y_test; or a folder train/<class>/*.png|jpg, test/<class>/*.png|jpg.
        If an `.npz` has an array `classes` of names, its labels are indices of it.
        Otherwise the labels that occur are the classes, numbered from 0 and named by their
        labels.
    root
        Folder of torchvision's data sets, and of downloads. See `default_root`. If it holds
        `NAME.npz`, such as cifar100.npz, that file is the data set of this name.
    download
        Download a torchvision data set that is missing.

    Raises
    ------
    ValueError
        If there is no such data set, or its files are missing, damaged or malformed.
    """
    name = str(name)
    if name in LOADERS:
        return LOADERS[name](Path(root) if root else default_root(), download)
    path = Path(name)
    if name and path.is_dir() and path.suffix != ".npz":
        return folders.read(path)
    if path.is_file() and path.suffix == ".npz":
        return _npz(path)
    raise ValueError(_no_data_set(name, path))


def _no_data_set(name: str, path: Path) -> str:
    """Return a message: why a name is no data set, and which names are."""
    allowed = f"{', '.join(NAMES)}, the path of an .npz file or of an image folder"
    if not name:
        return f"the name of the data set is empty: give one of {allowed}"
    if path.exists():
        kind = "a folder" if path.is_dir() else "a file"
        return f"{path} is {kind}, but no .npz file, and no image folder: {folders.LAYOUT}"
    if path.suffix or len(path.parts) > 1:
        return f"there is no file or folder {name}: give one of {allowed}"
    near = difflib.get_close_matches(name.lower(), NAMES, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown data set '{name}': give one of {allowed}.{hint}"


def located(name: str) -> str:
    """Return the name of a data set; a path becomes absolute."""
    path = Path(name)
    return name if name in NAMES or not path.exists() else str(path.resolve())


def load_for_run(
    noted: str, given: str | None, root: Path | None, run: Path, *, download: bool = True
) -> Images:
    """Load the images of a run, from `given` or from the name that the run noted.

    Raises
    ------
    ValueError
        As `load`, or if the noted file or folder no longer exists.
    """
    if given is None and noted not in NAMES and not Path(noted).exists():
        raise ValueError(
            f"the images that {run} learned are no longer at {noted}: give --data with "
            "where they are now"
        )
    return load(noted if given is None else given, root, download)


def _digits(_root: Path, _download: bool) -> Images:
    """Return scikit-learn's 1797 digits; every sixth image is in the test set."""
    from sklearn.datasets import load_digits

    flat, labels = load_digits(return_X_y=True)
    x = np.round(np.asarray(flat, float).reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    y = np.asarray(labels, np.int64)
    test = np.arange(len(y)) % 6 == 5
    classes = tuple("0123456789")
    return Images(x[~test], y[~test], x[test], y[test], "digits", classes, "digits")


def _torchvision(name: str, root: Path, download: bool) -> Images:
    packed = root / f"{name}.npz"
    if packed.exists():
        return replace(_npz(packed), name=name, origin=name)
    from torchvision import datasets  # a slow import, only for these data sets

    from fastpath.data.download import fetched

    kind = getattr(datasets, TORCHVISION[name])

    def read(at: Path) -> tuple[Any, Any]:
        train, test = (kind(at, train=split, download=False) for split in (True, False))
        for file, md5 in IDX_MD5.get(kind.__name__, {}).items():
            _check_md5(at / kind.__name__ / "raw" / file, md5)
        return train, test

    try:
        train, test = fetched(name, kind, root, read) if download else read(root)
    # torchvision reports a damaged file by the exception of its parser.
    except Exception as error:
        raise ValueError(_why_not(name, root, download, error)) from error
    arrays = (train.data, train.targets, test.data, test.targets)
    return Images(*arrays, name, tuple(train.classes), name)


# The loader of each data set; its arguments are the data root and whether to download.
LOADERS: dict[str, Callable[[Path, bool], Images]] = {
    "digits": _digits,
    **{name: functools.partial(_torchvision, name) for name in TORCHVISION},
}
NAMES = tuple(LOADERS)
GIVEN = f"{', '.join(NAMES)}, an .npz file or an image folder"  # for help texts


def _check_md5(path: Path, md5: str) -> None:
    actual = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if actual != md5:
        raise OSError(f"{path} has the MD5 sum {actual}, published is {md5}")


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


def _npz(path: Path) -> Images:
    arrays = _members(path)
    x_train, y_train, x_test, y_test = (arrays[name] for name in ARRAYS)
    try:
        if "classes" in arrays:
            classes = _names(arrays["classes"])
        else:
            classes, y_train, y_test = numbered(y_train, y_test)
        images = Images(x_train, y_train, x_test, y_test, path.stem, classes)
        if "classes" not in arrays:
            check_learnable(images)
        return images
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _members(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file that belong to a data set."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names = set(file.files)
            if missing := [name for name in ARRAYS if name not in names]:
                raise ValueError(
                    f"{path} lacks {', '.join(missing)}: it must hold {', '.join(ARRAYS)}"
                    f" (found: {', '.join(sorted(names)) or 'nothing'})"
                )
            return {name: _plain(file, name) for name in names & {*ARRAYS, "classes"}}
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise different classes
        raise ValueError(f"{path} is damaged or not an .npz file: {error}") from error


def _plain(file: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """Return an array; refuse Python objects, since reading them could run their code."""
    try:
        return file[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"its array '{name}' holds Python objects, such as lists of different lengths: "
            "save it as an array of numbers, or of text"
        ) from None


def _names(classes: np.ndarray) -> tuple[str, ...]:
    """Return the names of classes in an array, which may hold bytes or numbers."""
    if classes.ndim != 1:
        raise ValueError(f"classes has shape {classes.shape}: one name per class is needed")
    try:
        names = np.char.decode(classes, "utf-8") if classes.dtype.kind == "S" else classes
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the names in classes are not UTF-8 ({error.object!r}): save them as text"
        ) from error
    return tuple(map(str, names))
