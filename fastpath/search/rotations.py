"""A score of features that needs no labels: how well they tell a rotation.

Source: C. Reed et al., SelfAugment, CVPR 2021: the error of a linear classifier that
predicts by which of four angles images were rotated ranks augmentations as labels do. The
task is that of S. Gidaris, P. Singh & N. Komodakis, ICLR 2018.
"""

from dataclasses import replace

import torch
from jaxtyping import Int, Num
from torch import Tensor

from fastpath.experiment import Split

ANGLES = 4  # 0, 90, 180 and 270 degrees
LEARNED, SCORED = 10_000, 2_500  # images at most, each shown at all angles


def rotated(split: Split) -> Split:
    """Return a split whose images are rotated, and whose labels are the angles.

    Raises
    ------
    ValueError
        If the images are not square.
    """
    check_square(tuple(split.x_train.shape[1:]))
    x_train, y_train = _at_all_angles(split.x_train[:LEARNED])
    x_eval, y_eval = _at_all_angles(split.x_eval[:SCORED])
    return replace(split, x_train=x_train, y_train=y_train, x_eval=x_eval, y_eval=y_eval)


def check_square(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless images are square, and of more than one pixel."""
    if len(shape) < 2 or not 1 < shape[0] == shape[1]:
        raise ValueError(
            f"the images are {shape}: to be scored by rotations, they must be square, and "
            "of more than one pixel; score them by labels"
        )


def _at_all_angles(
    x: Num[Tensor, "image *shape"],
) -> tuple[Num[Tensor, "all *shape"], Int[Tensor, " all"]]:
    turned = [x.rot90(quarter, (1, 2)) for quarter in range(ANGLES)]
    labels = torch.arange(ANGLES, device=x.device).repeat_interleave(len(x))
    return torch.cat(turned), labels
