"""A layer of competing hidden units: its weights, its drive, one learning step.

Drive (K&H 2019, eq. 2): I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i, p ≥ 2.
"""

import math

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

import fastpath.kernels
from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition, Ranking, built_in, check_rank
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Changes, Name
from fastpath.kernels.pytorch import largest
from fastpath.layers.constraints import Constraint
from fastpath.plasticity import Normalize, check_normalize, conjugate, delta_w
from fastpath.training.distributed import Team


class Dense:
    """A fully connected layer of competing hidden units.

    `weights` is (unit, pixel), pixels in C-order of (height, width, channel): a copy of
    those that are given. Change it only through `learn`, which keeps what is derived from
    it up to date, and the weights within `constraint` (`constraints.column_signs`, ...) if
    there is one. `kernels` names what computes a step: see `fastpath.kernels`.

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
        kernels: Name | None = None,
    ) -> None:
        p = checks.number("p", p)
        if not (p >= 2 and math.isfinite(p)):
            raise ValueError(f"p is {p}: the exponent of the metric must be 2 or more")
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
        self.weights = weights.clone(memory_format=torch.contiguous_format)
        self.kernels = fastpath.kernels.choose(weights.device, weights.dtype, kernels)
        self._conjugate = conjugate(self.weights, p=p)
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
        return cls(weights, p=p, constraint=constraint, kernels=kernels)

    @property
    def num_units(self) -> int:
        """Number of hidden units."""
        return self.weights.shape[0]

    @property
    def state(self) -> dict[str, Float[Tensor, "unit pixel"]]:
        """All that `learn` changes, in place: bit for bit what the next step depends on.

        The weights, and for p ≠ 2 sign(W)|W|^(p−1), which computed anew may be rounded
        otherwise.
        """
        held = {"weights": self.weights}
        return held if self.p == 2 else held | {"conjugate": self._conjugate}

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
        return images @ self._conjugate.T

    @isolated(grad=False)
    def prepare(
        self,
        x: Num[Tensor, "all *shape"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
    ) -> Float[Tensor, "image pixel"]:
        """Return images x[index] as the layer sees them; the next call reuses the memory.

        x may be the rates of a layer below: see `Preprocess`.

        Raises
        ------
        ValueError
            If images or mean do not have as many pixels as the weights, or one of the
            arguments is of another number format.
        IndexError
            If there are no such images.
        """
        x, index = checks.images("x", x), checks.tensor("index", index)
        mean, flat = checks.tensor("mean", mean), x.flatten(1)
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
        out = self._buffer("images", len(index), self.weights.shape[1])
        # A subclass may do something else, and may need the shape of the images for it.
        if x.is_floating_point() or type(preprocess) is not Preprocess:
            preprocess = checks.instance("preprocess", preprocess, Preprocess)
            return preprocess(x.index_select(0, index), mean, out=out)
        return self.kernels.prepare(flat, index, preprocess, mean, out)

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
        if isinstance(known := built_in(competition), Ranking):
            check_rank(known.k, self.num_units)
        if not isinstance(lr, Tensor) and not math.isfinite(lr := checks.number("lr", lr)):
            raise ValueError(f"lr is {lr}: the step size must be finite")
        normalize = check_normalize("normalize", normalize)
        mine = slice(None) if team is None else team.share(len(images))
        seen = images[mine]
        drive = self._buffer("drive", len(seen), self.num_units)
        torch.mm(seen, self._conjugate.T, out=drive)
        learners = self.kernels.learners(competition, drive)
        if learners is None:
            g = self.kernels.activation(competition, drive)
            change = delta_w(g, drive, seen, self.weights)
            if team is not None:
                team.add(change)
            changes = Changes(None, change, largest(change))
        else:
            if team is not None:
                learners = team.gather(learners, len(images))
            if not len(learners.unit):
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

    def _apply(
        self, changes: Changes, lr: Float[Tensor, ""] | float, normalize: Normalize
    ) -> None:
        self.kernels.apply(
            changes, self.weights, self._conjugate, p=self.p, lr=lr, normalize=normalize
        )
        if self.constraint is None:
            return
        rows = slice(None) if changes.rows is None else changes.rows
        self.weights[rows] = after = self.constraint(self.weights[rows], rows)
        if self.p != 2:
            self._conjugate[rows] = conjugate(after, p=self.p)

    def _buffer(self, name: str, rows: int, columns: int) -> Float[Tensor, "row column"]:
        """Return memory that is kept: a fresh megabyte costs as much as the work in it."""
        held = self._buffers.get(name)
        if held is None or len(held) < rows:
            held = self.weights.new_empty(rows, columns)
            self._buffers[name] = held
        return held[:rows]
