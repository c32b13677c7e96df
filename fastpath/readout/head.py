"""The trained head: its answers and their errors."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.readout.sources import Features, as_features


@dataclass(frozen=True)
class LinearHead:
    """A trained linear read-out of features, with the scaling its features need."""

    weights: Float[Tensor, "class unit"]
    bias: Float[Tensor, " class"]
    offset: Float[Tensor, " unit"]
    scale: Float[Tensor, " unit"]

    @isolated()
    def __call__(
        self, features: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image class"]:
        """Return one output per class; the largest is the answer.

        Raises
        ------
        ValueError
            If these are not the features of as many units as the head reads.
        """
        return functional.linear(self.scaled(features), self.weights, self.bias)

    def scaled(self, features: Float[Tensor, "image unit"]) -> Float[Tensor, "image unit"]:
        """Return the features as the weights see them.

        Raises
        ------
        ValueError
            If these are not the features of as many units as the head reads.
        """
        features = checks.floats("features", features, "(image, unit)")
        if features.shape[1] != len(self.offset):
            raise ValueError(
                f"the features are of {features.shape[1]} units, but the head reads "
                f"{len(self.offset)}: give those of the layer that it was trained on"
            )
        return (features - self.offset) * self.scale

    def to(self, device: torch.device) -> "LinearHead":
        """Return the same head on another device."""
        moved = {name: tensor.to(device) for name, tensor in vars(self).items()}
        return replace(self, **moved)


@isolated(grad=False)
def error(
    head: LinearHead, x: Float[Tensor, "image unit"] | Features, y: Int[Tensor, " image"]
) -> float:
    """Return the percentage of images whose largest output is not their label's."""
    return error_of(confusion(head, x, y))


@isolated(grad=False)
def confusion(
    head: LinearHead, x: Float[Tensor, "image unit"] | Features, y: Int[Tensor, " image"]
) -> Int[Tensor, "label answer"]:
    """Return how many images of each label get each answer, the largest output.

    Raises
    ------
    ValueError
        If x are not the features that the head reads, or y not one of its classes each.
    """
    head = checks.instance("head", head, LinearHead)
    x = as_features(x)
    num = len(head.bias)
    y = checks.labels("labels", y, num_images=len(x), num_classes=num).to(head.bias.device)
    counts = torch.zeros(num, num, dtype=torch.int64, device=y.device)
    for features, labels in zip(x.blocks(), y.split(x.block), strict=True):
        counts += count(head(features).argmax(dim=1), labels, num_classes=num)
    return counts


def count(
    answers: Int[Tensor, " image"], labels: Int[Tensor, " image"], *, num_classes: int
) -> Int[Tensor, "label answer"]:
    """Return how many images of each label got each answer."""
    pair = num_classes * labels + answers
    counts = torch.bincount(pair, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def error_of(confusion: Int[Tensor, "label answer"]) -> float:
    """Return the percentage of images whose answer is not their label."""
    total = confusion.sum().item()
    return 100 * (total - confusion.trace().item()) / total
