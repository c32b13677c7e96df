"""A fully connected layer of competing hidden units.

Drive (K&H 2019, eq. 2): I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i, p ≥ 2.
Features for a readout (eq. 1): max(cos(W_u, v), 0)^n, the cosine of weights and image.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional

import fastpath.kernels
from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition, Rule
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import Changes, Kernels, Name
from fastpath.kernels.pytorch import largest
from fastpath.layers.constraints import Constraint
from fastpath.layers.cosine import CosineFeatures
from fastpath.plasticity import (
    KrotovHopfield,
    Normalize,
    Plasticity,
    check_exponent,
    check_normalize,
    signed_power,
)
from fastpath.training.distributed import Team

EQ_3 = KrotovHopfield()


class Dense:
    """A fully connected layer of competing hidden units.

    Parameters
    ----------
    weights
        W (unit, pixel), pixels in C-order of (height, width, channel). The layer keeps a
        copy. Change it only through `learn`, which renews sign(W)|W|^(p−1) with it.
    p
        Exponent of the metric (eq. 2), 2 or more.
    constraint
        Signs that the weights keep: `constraints.column_signs`, ...
    plasticity
        The learning rule, eq. 3 by default.
    kernels
        The implementation of a step [the fastest]: see `fastpath.kernels`.

    Raises
    ------
    ValueError
        If p < 2, the weights are not a finite matrix or not within the constraint, or the
        kernels do not work here.
    """

    @isolated(grad=False)
    def __init__(
        self,
        weights: Float[Tensor, "unit pixel"],
        *,
        p: float = 2.0,
        constraint: Constraint | None = None,
        plasticity: Plasticity = EQ_3,
        kernels: Name | None = None,
    ) -> None:
        p = check_exponent("p", p)
        weights = checks.weights(weights)
        constraint = checks.optional("constraint", constraint, Constraint)
        constraint = None if constraint is None else constraint.to(weights.device)
        if constraint is not None and (wrong := constraint.violations(weights)):
            raise ValueError(
                f"{wrong} of {weights.numel()} weights break the constraint: start from "
                "weights that keep it (Dense.random does)"
            )
        self.p = p
        self.constraint = constraint
        self.plasticity = checks.instance("plasticity", plasticity, Plasticity)
        self.weights = weights.clone(memory_format=torch.contiguous_format)
        self._kernels_name: Name | None = kernels
        if kernels is not None:
            _ = self.kernels  # which may not work here
        self._signed_power = signed_power(self.weights, p=p)
        self._buffers: dict[str, Tensor] = {}

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

    @cached_property
    def kernels(self) -> Kernels:
        """The implementation of a step; the fastest one may have to be built first."""
        where = self.weights.device, self.weights.dtype
        return fastpath.kernels.choose(*where, self._kernels_name)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: not the code, and no memory for steps."""
        return {k: v for k, v in vars(self).items() if k != "kernels"} | {"_buffers": {}}

    @property
    def num_units(self) -> int:
        """Number of hidden units."""
        return self.weights.shape[0]

    @property
    def state(self) -> dict[str, Float[Tensor, "unit pixel"]]:
        """The tensors that `learn` changes in place: bit for bit all the next step needs.

        The weights, and for p ≠ 2 sign(W)|W|^(p−1), which may be rounded differently when
        it is computed again.
        """
        state = {"weights": self.weights}
        return state if self.p == 2 else state | {"signed_power": self._signed_power}

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
        preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
        steps, mean, flat = preprocess.steps, preprocess.mean, x.flatten(1)
        checks.pixels(flat, self.weights)
        if not x.device == index.device == mean.device == self.weights.device:
            for name, value in (("images", x), ("index", index), ("mean", mean)):
                checks.same_device(name, value, "the weights", self.weights)
        if x.dtype not in (torch.uint8, self.weights.dtype):
            raise ValueError(
                f"the images are {x.dtype}: uint8 is needed, or {self.weights.dtype}, the "
                "number format of the weights, for the rates of a layer below"
            )
        if index.dtype != torch.int64 or index.ndim != 1:
            raise ValueError(
                f"the index is {index.dtype}: int64 is needed, of one dim (it has "
                f"{index.ndim})"
            )
        wanted = self.weights.dtype, self.weights.shape[1:]
        if (mean.dtype, mean.shape) != wanted:
            raise ValueError(
                f"the mean image is {mean.dtype} of shape {tuple(mean.shape)}, the weights "
                f"{self.weights.dtype} of {self.weights.shape[1]} pixels: make them alike"
            )
        out = self._buffer("images", index.shape[0], self.weights.shape[1])
        # A subclass may do something else, and may need the shape of the images for it.
        if x.is_floating_point() or type(steps) is not Preprocess:
            return preprocess(x.index_select(0, index), out=out)
        return self.kernels.prepare(flat, index, steps, mean, out)

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
        competition = checks.competition(competition)
        if isinstance(competition, Rule):
            competition.check(self.num_units)
        if not isinstance(lr, Tensor) and not math.isfinite(lr := checks.number("lr", lr)):
            raise ValueError(f"lr is {lr}: the step size must be finite")
        normalize = check_normalize("normalize", normalize)
        seen = images if team is None else images[team.share(len(images))]
        drive = self._buffer("drive", seen.shape[0], self.num_units)
        torch.mm(seen, self._signed_power.T, out=drive)
        learners = None
        if type(self.plasticity) is KrotovHopfield:  # others are only ever called
            learners = self.kernels.learners(competition, drive)
        if learners is None:
            g = self.kernels.activation(competition, drive)
            change = self._change(g, drive, seen)
            if team is not None:
                team.add(change)
            changes = Changes(None, change, largest(change))
        else:
            if team is not None:
                learners = team.gather(learners, len(images))
            if not learners.unit.shape[0]:
                return
            changes = self.kernels.changes(learners, images, self.weights)
        self._apply(changes, lr, normalize)

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

    def _change(
        self,
        g: Float[Tensor, "image unit"],
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
    ) -> Float[Tensor, "unit pixel"]:
        """Return the ΔW of all units."""
        change = checks.tensor("ΔW", self.plasticity(g, drive, images, self.weights))
        if change.shape != self.weights.shape:
            raise ValueError(
                f"the plasticity rule returned ΔW of shape {tuple(change.shape)} for "
                f"weights of shape {tuple(self.weights.shape)}: one for each is needed"
            )
        return change.to(self.weights).contiguous()

    def _apply(
        self, changes: Changes, lr: Float[Tensor, ""] | float, normalize: Normalize
    ) -> None:
        self.kernels.apply(
            changes, self.weights, self._signed_power, p=self.p, lr=lr, normalize=normalize
        )
        if self.constraint is None:
            return
        rows = slice(None) if changes.rows is None else changes.rows
        self.weights[rows] = after = self.constraint(self.weights[rows], rows)
        if self.p != 2:
            self._signed_power[rows] = signed_power(after, p=self.p)

    def _buffer(self, name: str, rows: int, columns: int) -> Float[Tensor, "row column"]:
        """Return memory that is kept: a fresh megabyte costs as much as the work in it."""
        held = self._buffers.get(name)
        if held is None or held.shape[0] < rows:
            held = self._buffers[name] = self.weights.new_empty(rows, columns)
        return held if held.shape[0] == rows else held[:rows]


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

    def load(self, tensors: dict[str, Tensor]) -> Dense:
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
