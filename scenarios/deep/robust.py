"""Robustness: accuracy under noise, occlusion, shifts and an attack on the readout's path.

The attack is the fast gradient sign method (Goodfellow, Shlens & Szegedy, ICLR 2015): each
pixel moves by ε in the direction that raises the loss of the network with its readout. The
attacker has the gradient through all layers, also where none was used in learning.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fastpath.ambient import isolated
from fastpath.experiment import Split
from fastpath.layers import Stack
from fastpath.readout import LinearHead
from scenarios.deep.networks import Accuracy, columns_of

type Images = Float[Tensor, "image height width channel"]  # in [0, 1]
type Answers = Callable[[Images], Float[Tensor, "image class"]]

# Strength of each perturbation; 0 leaves images as they are.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "noise": (0.05, 0.1, 0.2),
    "occlusion": (0.25, 0.375, 0.5),
    "shift": (1, 2, 4),
    "attack": (1, 2, 4),
}
DESCRIBED = {
    "noise": "sd of Gaussian noise on pixels in [0, 1]",
    "occlusion": "side of a gray square at random, in sides of the image",
    "shift": "pixels, along a random axis and direction, edges repeated",
    "attack": "largest change of a pixel, in 255ths of its range",
}


def noise(x: Images, sd: float, generator: torch.Generator) -> Images:
    """Return images with Gaussian noise, within [0, 1]."""
    drawn = torch.randn(x.shape, generator=generator)
    return (x + sd * drawn.to(x.device)).clamp(0, 1)


def occlusion(x: Images, side: float, generator: torch.Generator) -> Images:
    """Return images with a gray square at a random place."""
    number, height, width, _ = x.shape
    size = round(side * min(height, width))
    inside = []
    for length in (height, width):
        start = torch.randint(length - size + 1, (number, 1), generator=generator)
        at = torch.arange(length)
        inside.append((at >= start) & (at < start + size))
    covered = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return torch.where(covered.to(x.device), 0.5, x)


def shift(x: Images, pixels: float, generator: torch.Generator) -> Images:
    """Return images moved along a random axis and direction; edges are repeated."""
    moved = []
    for axis in (1, 2):
        for step in (-int(pixels), int(pixels)):
            at = torch.arange(x.shape[axis], device=x.device) + step
            moved.append(x.index_select(axis, at.clamp(0, x.shape[axis] - 1)))
    chosen = torch.randint(len(moved), (len(x),), generator=generator)
    return torch.stack(moved)[chosen.to(x.device), torch.arange(len(x), device=x.device)]


@torch.enable_grad()
def attack(
    x: Images, epsilon: float, answers: Answers, labels: Int[Tensor, " image"]
) -> Images:
    """Return images whose pixels moved by ε against the right answer, within [0, 1]."""
    x = x.detach().requires_grad_()
    loss = functional.cross_entropy(answers(x), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return (x + epsilon * gradient.sign()).clamp(0, 1).detach()


PERTURBATIONS: dict[str, Callable[[Images, float, torch.Generator], Images]] = {
    "noise": noise,
    "occlusion": occlusion,
    "shift": shift,
}


class Path(nn.Module):
    """The path from images in [0, 1] to the answers of a readout of one view."""

    def __init__(
        self, stack: Stack, head: LinearHead, columns: slice, *, mean: bool
    ) -> None:
        super().__init__()
        self.features = stack.to_module(power=1.0)
        self.head, self.columns, self.mean = head, columns, mean

    def forward(self, x: Images) -> Float[Tensor, "image class"]:
        """Return the answers."""
        seen = self.features(x.flatten(1))[:, self.columns]
        if self.mean:
            seen = (seen + self.features(x.flip(2).flatten(1))[:, self.columns]) / 2
        rows = (seen - self.head.offset) * self.head.scale
        return functional.linear(rows, self.head.weights, self.head.bias)


@dataclass(frozen=True, kw_only=True)
class Robust(Accuracy):
    """Errors also under perturbations of the images scored on, of the last view."""

    # Part of the key, so that a result is never shown with other strengths. Neutral are
    # those of the results on record.
    strengths: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: STRENGTHS,
        hash=False,
        metadata={
            "neutral": {
                "noise": (0.05, 0.1, 0.2),
                "occlusion": (0.25, 0.375, 0.5),
                "shift": (1, 2, 4),
                "attack": (1, 2, 4),
            }
        },
    )

    def more(
        self,
        stack: Stack,
        split: Split,
        heads: dict[str, LinearHead],
        generator: torch.Generator,
    ) -> dict[str, Any]:
        """Return the error in percent at each strength of each perturbation."""
        last = self.views[-1]
        columns = columns_of(self.filters.stack, split.x_train.shape[1:], last.layers)
        path = Path(stack, heads[last.name], columns, mean=last.mirrored == "mean")
        x, y = split.x_eval.float() / 255, split.y_eval
        return {
            f"{name}_error": (
                name,
                [perturbed_error(path, x, y, name, value, generator) for value in values],
            )
            for name, values in self.strengths.items()
        }


@isolated(grad=False)
def perturbed_error(
    path: Path,
    x: Images,
    y: Int[Tensor, " image"],
    name: str,
    strength: float,
    generator: torch.Generator,
) -> float:
    """Return the error in percent of perturbed images."""
    block, wrong = path.features.block, 0
    for images, labels in zip(x.split(block), y.split(block), strict=True):
        if name == "attack":
            seen = attack(images, strength / 255, path, labels)
        else:
            seen = PERTURBATIONS[name](images, strength, generator)
        wrong += int((path(seen).argmax(dim=1) != labels).sum())
    return 100 * wrong / len(x)
