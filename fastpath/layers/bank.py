"""Units that learn from rows of inputs: what dense and convolution layers have in common.

A row of inputs is an image for a dense layer, and a patch of one for a convolution layer.

Drive (K&H 2019, eq. 2): I_u = Σ_i sign(W_ui) |W_ui|^(p−1) v_i, p ≥ 2.
"""

import copy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import fastpath.kernels
from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition, Learners, Rule
from fastpath.kernels import Changes, Kernels, Name
from fastpath.kernels.pytorch import largest
from fastpath.layers.constraints import Constraint
from fastpath.layers.orthogonal import check_fits, orthonormal
from fastpath.plasticity import (
    KrotovHopfield,
    Normalize,
    Plasticity,
    check_exponent,
    has_sparse_form,
    signed_power,
    with_decay,
)
from fastpath.training.distributed import Team

EQ_3 = KrotovHopfield()


class Bank:
    """Competing units with weights W (unit, input), and their learning step.

    Parameters
    ----------
    weights
        W (unit, input). The bank keeps a copy. Change it only through `step` and `apply`,
        which renew sign(W)|W|^(p−1) with it.
    p
        Exponent of the metric (eq. 2), 2 or more.
    constraint
        Signs that the weights keep: `constraints.column_signs`, ...
    plasticity
        The learning rule, eq. 3 by default.
    rate_power
        The step size of unit u is ε |‖W_u‖ − 1|^rate_power, with the p-norm: 0 gives all
        units the same, SoftHebb has 1/2.
    orthogonal
        Orthonormalize the rows after each step, in their order (Gram–Schmidt).
    kernels
        The implementation of a step [the fastest]: see `fastpath.kernels`.

    Raises
    ------
    ValueError
        If p < 2 or rate_power < 0, the weights are not a finite matrix or not within the
        constraint, there are more orthogonal rows than inputs, or the kernels do not work
        here.
    """

    @isolated(grad=False)
    def __init__(
        self,
        weights: Float[Tensor, "unit input"],
        *,
        p: float = 2.0,
        constraint: Constraint | None = None,
        plasticity: Plasticity = EQ_3,
        rate_power: float = 0.0,
        orthogonal: bool = False,
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
        self.rate_power = checks.not_negative("rate_power", rate_power)
        self.orthogonal = checks.flag("orthogonal", orthogonal)
        if self.orthogonal:
            num_units, num_inputs = weights.shape
            check_fits(num_units, num_inputs, constraint)
            weights = orthonormal(weights)
        self.weights = weights.clone(memory_format=torch.contiguous_format)
        self._kernels_name: Name | None = kernels
        if kernels is not None:
            _ = self.kernels  # which may not work here
        self._signed_power = signed_power(self.weights, p=p)
        self._buffers: dict[str, Tensor] = {}

    @cached_property
    def kernels(self) -> Kernels:
        """The implementation of a step; the fastest one may have to be built first."""
        where = self.weights.device, self.weights.dtype
        return fastpath.kernels.choose(*where, self._kernels_name)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: not the code, and no memory for steps."""
        return {k: v for k, v in vars(self).items() if k != "kernels"} | {"_buffers": {}}

    def like(self, weights: Float[Tensor, "unit input"]) -> "Bank":
        """Return a bank with the settings of this one that holds these very weights.

        They may be of any device and number format, also of one that cannot learn.
        """
        bank = copy.copy(self)
        if bank.constraint is not None:
            bank.constraint = bank.constraint.to(weights.device)
        bank.weights = weights
        bank._signed_power = signed_power(weights, p=self.p)
        return bank

    def renew(self) -> None:
        """Compute sign(W)|W|^(p−1) again, after the weights were written from outside."""
        if self.p != 2:
            self._signed_power.copy_(signed_power(self.weights, p=self.p))

    @property
    def num_units(self) -> int:
        """Number of units."""
        return self.weights.shape[0]

    @property
    def state(self) -> dict[str, Float[Tensor, "unit input"]]:
        """The tensors that a step changes in place: bit for bit all the next step needs.

        The weights, and for p ≠ 2 sign(W)|W|^(p−1), which may be rounded differently when
        it is computed again.
        """
        state = {"weights": self.weights}
        return state if self.p == 2 else state | {"signed_power": self._signed_power}

    @isolated(grad=False)
    def step(
        self,
        inputs: Float[Tensor, "row input"],
        competition: Competition,
        *,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize,
        team: Team | None = None,
    ) -> Float[Tensor, "row unit"]:
        """Change the weights by one mini-batch; return the drive before the change.

        The next step reuses the memory of the drive. In a `team` each process passes
        inputs of its own; ΔW is summed over the processes.
        """
        drive = self.product(inputs)
        # On CUDA each learner has a row of ΔW of its own, and all are compared with each
        # other: of many rows, such as patches, a product with all of g costs less.
        many = drive.is_cuda and (team is not None or len(drive) >= self.num_units)
        learners = None if many else self.learners(competition, drive)
        if learners is None:
            changes = self.all_changes(competition, drive, inputs)
        else:
            changes = self.sparse_changes(learners, inputs)
        if team is not None:
            changes = self.summed(changes, team)
        self.apply(changes, lr, normalize)
        return drive

    def product(self, inputs: Float[Tensor, "row input"]) -> Float[Tensor, "row unit"]:
        """Return the drive; the next call reuses its memory."""
        drive = self.buffer("drive", inputs.shape[0], self.num_units)
        return torch.mm(inputs, self._signed_power.T, out=drive)

    def learners(
        self, competition: Competition, drive: Float[Tensor, "row unit"]
    ) -> Learners | None:
        """Return the sparse form of g where it serves, else None."""
        if not has_sparse_form(self.plasticity):  # others are only ever called
            return None
        return self.kernels.learners(competition, drive)

    def sparse_changes(
        self, learners: Learners, inputs: Float[Tensor, "row input"]
    ) -> Changes:
        """Return the ΔW of the units that learn."""
        learners = checks.instance(
            "learners", with_decay(self.plasticity, learners), Learners
        )
        return self.kernels.changes(learners, inputs, self.weights)

    def all_changes(
        self,
        competition: Competition,
        drive: Float[Tensor, "row unit"],
        inputs: Float[Tensor, "row input"],
    ) -> Changes:
        """Return the ΔW of all units."""
        if type(self.plasticity) is KrotovHopfield:
            return self.kernels.all_changes(competition, drive, inputs, self.weights)
        g = self.kernels.activation(competition, drive)
        change = checks.tensor("ΔW", self.plasticity(g, drive, inputs, self.weights))
        if change.shape != self.weights.shape:
            raise ValueError(
                f"the plasticity rule returned ΔW of shape {tuple(change.shape)} for "
                f"weights of shape {tuple(self.weights.shape)}: one for each is needed"
            )
        change = change.to(self.weights).contiguous()
        return Changes(None, change, largest(change))

    def summed(self, changes: Changes, team: Team) -> Changes:
        """Return the ΔW of all units, summed over a team."""
        change = changes.change
        if changes.rows is not None:
            change = torch.zeros_like(self.weights).index_copy_(0, changes.rows, change)
        team.add(change)
        return Changes(None, change, largest(change))

    def apply(
        self, changes: Changes, lr: Float[Tensor, ""] | float, normalize: Normalize
    ) -> None:
        """Add ε ΔW to the weights, within the constraint."""
        rows = slice(None) if changes.rows is None else changes.rows
        self.kernels.apply(
            changes,
            self.weights,
            self._signed_power,
            p=self.p,
            lr=lr,
            normalize=normalize,
            rate_power=self.rate_power,
        )
        if self.constraint is not None:
            self.weights[rows] = self.constraint(self.weights[rows], rows)
        elif self.orthogonal:
            self.weights.copy_(orthonormal(self.weights))
            rows = slice(None)
        else:
            return
        if self.p != 2:
            self._signed_power[rows] = signed_power(self.weights[rows], p=self.p)

    def check_competition(self, competition: Any) -> Competition:
        """Return a competition; raise ValueError if it is none, or needs more units."""
        competition = checks.competition(competition)
        if isinstance(competition, Rule):
            competition.check(self.num_units)
        return competition

    def buffer(self, name: str, rows: int, columns: int) -> Float[Tensor, "row column"]:
        """Return memory that is kept: a fresh megabyte costs as much as the work in it."""
        held = self._buffers.get(name)
        if held is None or held.shape[0] < rows or held.shape[1] != columns:
            held = self._buffers[name] = self.weights.new_empty(rows, columns)
        return held if held.shape[0] == rows else held[:rows]
