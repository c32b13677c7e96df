"""Folders of images, train/<class>/*.png|jpg and test/<class>/*.png|jpg.

Files are read in torchvision's order. Each is read as a viewer shows it: turned by its EXIF
orientation, and with one channel if it is gray, however it is stored. Images that viewers
show differently are refused: those with transparent pixels or with several frames.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from fastpath.data.images import SPLITS, Images, check_names

ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LAYOUT = "an image folder is laid out as train/<class>/*.png|jpg and test/<class>/*.png|jpg"


def read(path: Path) -> Images:
    """Return the images of a folder; print a line about skipped files.

    Raises
    ------
    ValueError
        If the folder has another layout, the classes of train and test differ, a class has
        no image, or a file cannot be read.
    """
    skipped: list[Path] = []
    train, test = (_classes(path / split, skipped) for split in SPLITS)
    if train.keys() != test.keys():
        raise ValueError(
            f"{path}: train and test must have the same classes; only in one of them: "
            f"{', '.join(sorted(train.keys() ^ test.keys()))}"
        )
    check_names(tuple(train))  # before all images are read
    files = [file for split in (train, test) for files in split.values() for file in files]
    x = _stacked(files)
    y_train, y_test = (
        np.repeat(np.arange(len(split)), [len(files) for files in split.values()])
        for split in (train, test)
    )
    n = len(y_train)
    images = Images(x[:n], y_train, x[n:], y_test, path.name, tuple(train))
    if skipped:
        print(
            f"fastpath: skipped {len(skipped)} files of {path} that are hidden, beside the "
            f"classes or not {', '.join(ENDINGS)}: {skipped[0].relative_to(path)}, ...",
            file=sys.stderr,
        )
    return images


def pictures(path: Path) -> tuple[list[Path], UInt8[np.ndarray, "image height width _"]]:
    """Return image files and their pixels: of one file, or of all files below a folder.

    Raises
    ------
    ValueError
        If there is no image, a file cannot be read, or the images have different sizes.
    """
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}")
    files = [path]
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in ENDINGS
            and not any(map(_is_hidden, file.relative_to(path).parts))
        )
    if not files:
        raise ValueError(f"{path} holds no image: files ending in {', '.join(ENDINGS)}")
    return files, _stacked(files)


def _classes(split: Path, skipped: list[Path]) -> dict[str, list[Path]]:
    """Return the image files of each class; append all other files to `skipped`."""
    if not split.is_dir():
        raise ValueError(f"{split.parent} has no folder '{split.name}': {LAYOUT}")
    classes: dict[str, list[Path]] = {
        entry.name: []
        for entry in sorted(split.iterdir())
        if entry.is_dir() and not _is_hidden(entry.name)
    }
    walk = os.walk(split, followlinks=True, onerror=_refuse)
    for folder, _, names in sorted(walk):
        for name in sorted(names):
            file = Path(folder, name)
            parts = file.relative_to(split).parts
            in_class = len(parts) > 1 and not any(map(_is_hidden, parts))
            if in_class and file.suffix.lower() in ENDINGS:
                classes[parts[0]].append(file)
            else:
                skipped.append(file)
    if not classes:
        raise ValueError(f"{split} has no folders of classes: {LAYOUT}")
    if empty := [name for name, files in classes.items() if not files]:
        raise ValueError(
            f"{split} has no image of the classes {', '.join(empty)}: put files ending in "
            f"{', '.join(ENDINGS)} there, or remove these folders"
        )
    return classes


def _is_hidden(name: str) -> bool:
    """Tell whether the name is that of a file or folder hidden by the system."""
    return name.startswith(".") or name == "__MACOSX"


def _refuse(error: OSError) -> NoReturn:
    raise ValueError(f"cannot read {error.filename}: {error.strerror}") from error


def _stacked(files: list[Path]) -> UInt8[np.ndarray, "image height width channel"]:
    """Read files of the same size: one channel if all are gray, else three."""
    images = []
    for file in files:
        images.append(_pixels(file))
        if images[-1].shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"{file} is {images[-1].shape[:2]} (height, width), {files[0]} is "
                f"{images[0].shape[:2]}: resize the images to one size first"
            )
    channels = max(image.shape[2] for image in images)
    return np.stack([np.broadcast_to(x, (*x.shape[:2], channels)) for x in images])


def _pixels(file: Path) -> UInt8[np.ndarray, "height width channel"]:
    """Return an image as a viewer shows it, with one channel if it is gray, else three."""
    try:
        with Image.open(file) as image:
            _check_plain(image)
            rgba = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
            mode = image.mode
    except Exception as error:  # Pillow's decoders raise different classes
        raise ValueError(
            f"{file} cannot be read as an image: {error}; convert or remove it"
        ) from error
    if rgba[..., 3].min() < 255:
        raise ValueError(
            f"{file} is transparent in places, where it shows what is behind it: put it on "
            "a background first (ImageMagick: magick in.png -background white -flatten "
            "out.png), or remove it"
        )
    rgb = rgba[..., :3]
    palette_of_grays = mode in ("P", "PA") and (rgb == rgb[..., :1]).all()
    gray = mode in ("1", "L", "LA", "La") or palette_of_grays
    return rgb[..., :1].copy() if gray else rgb.copy()


def _check_plain(image: Image.Image) -> None:
    """Raise OSError unless an image has at most 8 bits a channel and a single frame."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16") or _is_cut(image):
        raise OSError("its pixels have more than 8 bits, 8 bits are needed")
    frames = getattr(image, "n_frames", 1)
    # An MPO photograph of a telephone holds several pictures; all viewers show the first.
    if frames > 1 and image.format != "MPO":
        raise OSError(f"it has {frames} frames, one is needed")


def _is_cut(image: Image.Image) -> bool:
    """Tell whether Pillow cuts the pixels to 8 bits when it reads them."""
    # The format in the file: "LA;16B", or ("RGB;16L", ...), or ("RGB", 65535).
    for codec, _, _, stored in getattr(image, "tile", ()):
        if ";16" in str(stored) or (codec.startswith("ppm") and stored[1] > 255):
            return True
    return False
