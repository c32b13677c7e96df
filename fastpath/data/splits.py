"""The images of an experiment: those to learn from, and those to score on."""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Int, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.compute import check_memory
from fastpath.data import datasets


@dataclass(frozen=True)
class Split:
    """The images to learn from, and the images to score on."""

    x_train: Num[Tensor, "train *shape"]
    y_train: Int[Tensor, " train"]
    x_eval: Num[Tensor, "eval *shape"]
    y_eval: Int[Tensor, " eval"]
    scored_on: str
    """"test" or "validation"."""

    def __post_init__(self) -> None:
        checks.fields(self, x_train=_images, x_eval=_images)
        for part in ("train", "eval"):
            number = len(getattr(self, f"x_{part}"))
            labels = functools.partial(checks.labels, num_images=number)
            checks.fields(self, **{f"y_{part}": labels})
        if self.x_train[0].numel() != self.x_eval[0].numel():
            raise ValueError(
                f"images to learn from are {tuple(self.x_train.shape[1:])}, those to score "
                f"on {tuple(self.x_eval.shape[1:])}: they must have one size"
            )

    def check_classes(self, num_classes: int) -> None:
        """Raise ValueError if a label is not below `num_classes`, or memory too small."""
        num_classes = checks.count("num_classes", num_classes)
        for name, y in (("y_train", self.y_train), ("y_eval", self.y_eval)):
            checks.labels(name, y, num_images=len(y), num_classes=num_classes)
        check_memory(
            {f"confusion of {num_classes} classes": 8 * num_classes**2},
            "leave out the classes without images",
            self.y_eval.device,
        )


def _images(name: str, x: Tensor) -> Num[Tensor, "image *shape"]:
    return checks.images(name, x).detach()


@isolated(grad=False)
def split(
    images: datasets.Images,
    *,
    validation: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Split:
    """Return the images to learn from and to score on.

    The images to score on are the test set, or, if `validation` is not 0, that many random
    images taken from the training set.

    Raises
    ------
    ValueError
        If the validation split leaves no image to learn from.
    """
    images = checks.instance("images", images, datasets.Images)
    validation = checks.whole("validation", validation)
    generator = checks.generator(generator)
    if not 0 <= validation < len(images.x_train):
        raise ValueError(
            f"validation is {validation}: 0 (score on the test set) or fewer than the "
            f"{len(images.x_train)} training images is needed"
        )
    x, y, x_eval, y_eval = (
        checks.tensor(name, getattr(images, name)) for name in datasets.ARRAYS
    )
    if validation:
        order = torch.randperm(len(x), generator=generator)
        held_out, rest = order[:validation], order[validation:]
        x, y, x_eval, y_eval = x[rest], y[rest], x[held_out], y[held_out]
    tensors = (tensor.to(device) for tensor in (x, y, x_eval, y_eval))
    return Split(*tensors, scored_on="validation" if validation else "test")
