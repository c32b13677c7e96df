"""A layer of competing hidden units: its weights, its drive, one learning step.

Drive (K&H 2019, eq. 2): I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i, p ≥ 2.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.competition import Competition
from fastpath.constraints import Constraint, mirrored
from fastpath.plasticity import Normalize, delta_w, step_size


def conjugate(
    weights: Float[Tensor, "unit pixel"], *, p: float
) -> Float[Tensor, "unit pixel"]:
    """Return sign(W) |W|^(p−1), the weights as the drive sees them (W itself for p = 2)."""
    if p == 2:
        return weights
    if p == 3:
        return weights * weights.abs()
    return weights.sign() * weights.abs().pow(p - 1)


class Dense:
    """A fully connected layer of competing hidden units.

    `weights` is (unit, pixel), pixels in C-order of (height, width, channel). Change it
    only through `learn`, which keeps what is derived from it up to date, and the weights
    within `constraint` (`constraints.same_sign`, ...) if there is one.

    Raises
    ------
    ValueError
        If p < 2, or the weights are not a finite matrix or not within the constraint.
    """

    def __init__(
        self,
        weights: Float[Tensor, "unit pixel"],
        *,
        p: float = 2.0,
        constraint: Constraint | None = None,
    ) -> None:
        if not (p >= 2 and math.isfinite(p)):
            raise ValueError(f"p is {p}: the exponent of the metric must be 2 or more")
        if weights.ndim != 2 or not weights.isfinite().all():
            raise ValueError(
                f"weights of shape {tuple(weights.shape)}: a finite (unit, pixel) matrix "
                "is needed"
            )
        if constraint is not None and (wrong := (constraint(weights) != weights).sum()):
            raise ValueError(
                f"{wrong} of {weights.numel()} weights break the constraint: start from "
                "weights that keep it (Dense.random does)"
            )
        self.p = p
        self.constraint = constraint
        self.weights = weights
        self._conjugate = conjugate(weights, p=p)

    @classmethod
    def random(
        cls,
        num_units: int,
        num_pixels: int,
        *,
        p: float = 2.0,
        constraint: Constraint | None = None,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "Dense":
        """Start from N(0, 1), as published; under a constraint, with its signs.

        The rows are then far longer than the R = 1 they will flow to. Rows that start near
        R let one unit win every image.

        The numbers are drawn on the CPU, so that one seed gives one start on any device.
        """
        if num_units < 1:
            raise ValueError(f"units is {num_units}: at least 1 is needed")
        weights = torch.randn(num_units, num_pixels, generator=generator, dtype=dtype)
        weights = weights.to(device)
        if constraint is not None:
            weights = mirrored(weights, constraint)
        return cls(weights, p=p, constraint=constraint)

    @property
    def num_units(self) -> int:
        """Number of hidden units."""
        return self.weights.shape[0]

    def drive(self, images: Float[Tensor, "image pixel"]) -> Float[Tensor, "image unit"]:
        """Return I for each image and unit.

        Raises
        ------
        ValueError
            If the images do not have as many pixels as the weights.
        """
        check_pixels(images, self.weights)
        return images @ self._conjugate.T

    def learn(
        self,
        images: Float[Tensor, "image pixel"],
        competition: Competition,
        *,
        lr: float,
        normalize: Normalize = "max",
    ) -> None:
        """Change the weights by one mini-batch: drive, competition, plasticity.

        Rows of units with g = 0 for every image have ΔW = 0 exactly, so only the others
        are computed and written: a few rows per image in the ranking.
        """
        drive = self.drive(images)
        g = competition(drive)
        rows = g.any(dim=0).nonzero().squeeze(1)
        if not len(rows):
            return
        before = self.weights[rows]
        change = delta_w(g[:, rows], drive[:, rows], images, before)
        after = before + step_size(change, lr=lr, normalize=normalize) * change
        if self.constraint is not None:
            after = self.constraint(after)
        self.weights.index_copy_(0, rows, after)
        if self.p != 2:
            self._conjugate.index_copy_(0, rows, conjugate(after, p=self.p))


def check_pixels(
    images: Float[Tensor, "image v_pixel"], weights: Float[Tensor, "unit pixel"]
) -> None:
    """Raise ValueError unless images and weights have the same number of pixels."""
    if images.shape[1] != weights.shape[1]:
        raise ValueError(
            f"the weights have {weights.shape[1]} pixels per unit, the images "
            f"{images.shape[1]}: use weights that were trained on images of this size"
        )
