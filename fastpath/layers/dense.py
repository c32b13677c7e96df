"""A fully connected layer of competing hidden units.

Features for a readout (eq. 1): max(cos(W_u, v), 0)^n, the cosine of weights and image.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.data.preprocess import FittedPreprocess
from fastpath.kernels import Name
from fastpath.layers.bank import EQ_3, Bank
from fastpath.layers.constraints import Constraint
from fastpath.layers.cosine import CosineFeatures
from fastpath.layers.inputs import prepared
from fastpath.plasticity import Normalize, Plasticity, check_exponent, check_normalize
from fastpath.training.distributed import Team


class Dense(Bank):
    """A fully connected layer of competing hidden units: see `Bank`.

    Its weights are (unit, pixel), pixels in C-order of (height, width, channel).
    """

    @classmethod
    @isolated(grad=False)
    def random(
        cls,
        num_units: int,
        num_pixels: int,
        *,
        p: float = 2.0,
        constraint: Constraint | None = None,
        plasticity: Plasticity = EQ_3,
        kernels: Name | None = None,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "Dense":
        """Start from N(0, 1), as published; under a constraint, with its signs.

        The rows are then far longer than the R = 1 they will flow to. Rows that start near
        R let one unit win every image.

        The numbers are drawn on the CPU, so that one seed gives one start on any device.
        """
        shape = checks.count("units", num_units), checks.count("pixels", num_pixels)
        generator = checks.generator(generator)
        if dtype not in checks.FORMATS:
            raise ValueError(f"dtype is {dtype}: torch.float32 or torch.float64 is needed")
        weights = torch.randn(*shape, generator=generator, dtype=dtype)
        weights = weights.to(device)
        if constraint is not None:
            constraint = checks.instance("constraint", constraint, Constraint)
            weights = constraint.to(weights.device).mirrored(weights)
        return cls(
            weights, p=p, constraint=constraint, plasticity=plasticity, kernels=kernels
        )

    @isolated()
    def drive(self, images: Float[Tensor, "image pixel"]) -> Float[Tensor, "image unit"]:
        """Return I for each image and unit.

        Raises
        ------
        ValueError
            If the images do not have as many pixels as the weights, or are of another
            device or number format.
        """
        images = self._checked(images)
        return images @ self._signed_power.T

    @isolated()
    def features(
        self, images: Float[Tensor, "image pixel"], *, power: float
    ) -> Float[Tensor, "image unit"]:
        """Return max(cos(W_u, v), 0)^power (eq. 1), for any p.

        Raises
        ------
        ValueError
            If the images do not have as many pixels as the weights, or are on another
            device.
        """
        v = checks.floats("images", images, "(image, pixel)")
        checks.pixels(v, self.weights)
        checks.same_device("the images", v, "the weights", self.weights)
        rows = functional.normalize(self.weights, dim=1)
        cosine = functional.normalize(v, dim=1) @ rows.T
        return cosine.clamp_(min=0).pow_(power)

    def to_module(self, *, power: float) -> nn.Module:
        """Return `features` as an `nn.Module`."""
        return CosineFeatures(self.weights, power)

    @isolated(grad=False)
    def prepare(
        self,
        x: Num[Tensor, "all *shape"],
        index: Int[Tensor, " image"],
        preprocess: FittedPreprocess,
    ) -> Float[Tensor, "image pixel"]:
        """Return the input rates of images x[index]; the next call reuses the memory.

        `x` may be the rates of a layer below: see `Preprocess`.

        Raises
        ------
        ValueError
            If images or mean image do not have as many pixels as the weights, or one of
            the arguments has another number format.
        IndexError
            If there are no such images.
        """
        x, index = checks.images("x", x), checks.tensor("index", index)
        checks.pixels(x.flatten(1), self.weights)
        out = self.buffer("images", index.numel(), self.weights.shape[1])
        return prepared(x, index, preprocess, kernels=self.kernels, out=out)

    @isolated(grad=False)
    def learn(
        self,
        images: Float[Tensor, "image pixel"],
        competition: Competition,
        *,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize = "max",
        team: Team | None = None,
    ) -> None:
        """Change the weights by one mini-batch: drive, competition, plasticity.

        Rows of units with g = 0 for every image have ΔW = 0 exactly, so only the others
        are computed and written: a few rows per image in the ranking. A `team` shares the
        work: each of its processes is given the same images, and all end with the same
        weights.

        Raises
        ------
        ValueError
            If the images do not have as many pixels as the weights, or are of another
            device or number format; if fewer units compete than the ranking needs; if lr
            is not a finite number.
        """
        images = self._checked(images).contiguous()
        competition = self.check_competition(competition)
        if not isinstance(lr, Tensor) and not math.isfinite(lr := checks.number("lr", lr)):
            raise ValueError(f"lr is {lr}: the step size must be finite")
        normalize = check_normalize("normalize", normalize)
        seen = images if team is None else images[team.share(len(images))]
        drive = self.product(seen)
        learners = self.learners(competition, drive)
        if learners is None:
            changes = self.all_changes(competition, drive, seen)
            if team is not None:
                changes = self.summed(changes, team)
        else:
            if team is not None:
                per_image = getattr(competition, "per_image", None)
                learners = team.gather(learners, len(images), per_image)
            if not learners.unit.shape[0]:
                return
            changes = self.sparse_changes(learners, images)
        self.apply(changes, lr, normalize)

    def _checked(
        self, images: Float[Tensor, "image v_pixel"]
    ) -> Float[Tensor, "image pixel"]:
        images = checks.tensor("images", images)
        checks.pixels(images, self.weights)
        if (images.device, images.dtype) != (self.weights.device, self.weights.dtype):
            raise ValueError(
                f"the images are {images.dtype} on {images.device}, the weights "
                f"{self.weights.dtype} on {self.weights.device}: they must be alike"
            )
        return images


@dataclass(frozen=True, kw_only=True)
class DenseSettings:
    """Settings of a `Dense` layer."""

    num_units: int = 2000
    p: float = 2.0
    """Exponent of the metric (eq. 2), 2 or more."""
    plasticity: Plasticity = EQ_3
    """The learning rule."""
    constraint: Constraint | None = None
    """Signs that the weights keep. A run with such a layer cannot be saved."""

    def __post_init__(self) -> None:
        checks.fields(self, num_units=checks.count, p=check_exponent)
        checks.instance("plasticity", self.plasticity, Plasticity)
        checks.optional("constraint", self.constraint, Constraint)

    def num_features(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of features: one for each unit."""
        return self.num_units

    def start(
        self,
        input_shape: tuple[int, ...],
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        kernels: Name | None = None,
    ) -> Dense:
        """Return the layer with random weights, as `Dense.random` draws them."""
        return Dense.random(
            self.num_units,
            math.prod(input_shape),
            p=self.p,
            constraint=self.constraint,
            plasticity=self.plasticity,
            kernels=kernels,
            generator=generator,
            device=device,
        )

    def load(self, tensors: dict[str, Tensor], *, input_shape: tuple[int, ...]) -> Dense:
        """Return the layer with the weights among the tensors of a finished run."""
        return Dense(
            tensors["weights"],
            p=self.p,
            constraint=self.constraint,
            plasticity=self.plasticity,
        )

    def shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return the tensors that `load` needs, by name."""
        return {"weights": (self.num_units, math.prod(input_shape))}

    def memory(self, input_shape: tuple[int, ...], *, batch_size: int) -> dict[str, int]:
        """Return the bytes that training holds beside the images, by what holds them."""
        row, rows = 4 * math.prod(input_shape), min(self.num_units, 2 * batch_size)
        copies = 2 if self.p == 2 else 3  # those before the epoch; sign(W)|W|^(p-1)
        return {
            "weights": copies * self.num_units * row,
            "mini-batch": batch_size * (row + 4 * self.num_units) + rows * row,
        }
