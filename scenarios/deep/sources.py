"""The data sets of the study: those of fastpath, and faces with three kinds of labels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fastpath.data import datasets
from scenarios.support.trials import Source

# File in the data root, array of the labels ("" for y), names of the classes.
_FACES = {
    "gender": ("faces_utk", "", ("male", "female")),
    "ethnicity": ("faces_utk", "race", ("white", "black", "asian", "indian", "others")),
    "real or fake": ("faces_real_fake", "", ("real", "fake")),
}
FACES = tuple(_FACES)


@dataclass(frozen=True, kw_only=True)
class Faces(Source):
    """Faces with labels of one kind."""

    kind: str

    @property
    def label(self) -> str:
        """The kind of labels."""
        return self.kind

    def load(self) -> datasets.Images:
        """Return the images with these labels."""
        _, array, classes = _FACES[self.kind]
        images = replace(super().load(), name=self.kind, classes=classes)
        if not array:
            return images
        with np.load(self.path) as arrays:
            labels = {f"y_{part}": arrays[f"{array}_{part}"] for part in ("train", "test")}
        return replace(images, **{name: y.astype(np.int64) for name, y in labels.items()})


def unlabelled(source: Source) -> Source:
    """Return the images of a source, the same for all kinds of labels."""
    if not isinstance(source, Faces):
        return source
    shared = {name: value for name, value in vars(source).items() if name != "kind"}
    return Source(**shared)


def source_of(data: str, root: Path | None) -> Source:
    """Return a data set by its name.

    Raises
    ------
    ValueError
        If its files are missing, or its name has a comma and a space, which separate the
        parts of names in the record.
    """
    if data not in _FACES:
        source = Source.of(data, root)
        if ", " in source.label:
            raise ValueError(
                f"the data set is called '{source.label}': rename the file so that no "
                "comma is followed by a space"
            )
        return source
    file = (root or datasets.default_root()) / f"{_FACES[data][0]}.npz"
    if not file.is_file():
        raise ValueError(
            f"there is no {file}: put it into the data root (--data-root or NEURODYN_DATA "
            "names another one), or leave the faces out of --questions"
        )
    return Faces(**vars(Source.of(str(file), root)), kind=data)
