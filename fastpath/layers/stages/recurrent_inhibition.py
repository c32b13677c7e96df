"""Inhibition that learns: excitatory cells, one for each channel, inhibited by others.

The cells of a position are a circuit under Dale's law. Channel u drives excitatory cell u.
Excitatory cells (E) excite inhibitory ones (I), which inhibit them and each other:

    τ dh_u/dt = x_u − Σ_i W_IE,ui [q_i]₊ − h_u
    τ dq_i/dt = Σ_u W_EI,iu [h_u]₊ − Σ_j W_II,ij [q_j]₊ − q_i

Outputs are the settled rates [h_u]₊, 0 or more. With K channels r_u, drives are
x_u = r_u / (√K rms(r_u)): all have the same mean square, and that of their norm is 1.

All synapses between cells learn from the rates r of both cells, and those of one type into
a cell compete for their norm w, one step for each mini-batch:

    ΔW_ui = η ⟨r_u (r_i − W_ui I_u / w²)⟩ / (rms(r_u) rms(r_i)),  I_u = Σ_i W_ui r_i,

W ≥ 0, with ⟨⟩ and rms over the mini-batch, rms also over the cells.

The circuit is `neurodyn.DaleInhibition(w_self=0)` at its fixed point, and the rule is
`neurodyn.Competitive` at settled activity, for many images at once.

Source: S. Eckmann, E. J. Young & J. Gjorgjieva, PNAS 121:e2305326121 (2024). Their I cells
have feed-forward synapses too, rates grow with the square of the potential, and weights
keep their sum.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Blocks, Part, Shape, WithoutState
from fastpath.layers.stages.moments import moments

BATCH = 50  # images, or positions, for each step of the synapses
LR = 0.05  # η of the first step; it falls linearly to 0
LONGEST_STEP = 0.1  # τ
# τ, from activity 0. What E and I cells exchange is then within e^-10 of its end, and
# differences between I cells that inhibit each other about within e^(-10 (1 - norm_ii)).
DURATION = 10.0


@dataclass(frozen=True, kw_only=True)
class RecurrentInhibition(WithoutState):
    """Excitatory cells in place of the channels, inhibited by cells that they excite."""

    fitted_once = True

    num_inh: int
    """Number M of I cells at each position."""
    norm_ei: float = 0.3
    """Norm w of the E→I synapses into an I cell."""
    norm_ie: float = 0.3
    """Norm w of the I→E synapses into an E cell."""
    norm_ii: float = 0.3
    """Norm w of the I→I synapses into an I cell; 0: there are none."""
    learned: bool = True
    """Whether synapses learn, in one pass over the training images; else they stay random,
    uniformly distributed and of these norms."""

    def __post_init__(self) -> None:
        checks.fields(
            self,
            num_inh=checks.count,
            norm_ei=checks.positive,
            norm_ie=checks.positive,
            norm_ii=checks.not_negative,
            learned=checks.flag,
        )
        if self.norm_ii and self.num_inh == 1:
            raise ValueError(
                f"norm_ii is {self.norm_ii} and num_inh 1: one I cell inhibits no other; "
                "set norm_ii to 0"
            )

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "RecurrentInhibitionPart":
        """Return the circuit with random synapses."""
        return RecurrentInhibitionPart(input_shape[-1], self, generator)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the factors of the drive, and of the weights."""
        num_exc, num_inh = input_shape[-1], self.num_inh
        return {
            "gain": (num_exc,),
            "w_ei": (num_inh, num_exc),
            "w_ie": (num_exc, num_inh),
            "w_ii": (num_inh, num_inh),
        }

    def step_size(self, input_shape: Shape) -> int:
        """Return how many numbers a learning step holds for one image."""
        return 4 * math.prod(input_shape[:-1]) * (input_shape[-1] + self.num_inh)


class RecurrentInhibitionPart(Part):
    """The circuit at work. Weights are (receiving, sending), all of them 0 or more."""

    gain: Tensor
    w_ei: Tensor
    w_ie: Tensor
    w_ii: Tensor

    def __init__(
        self, num_exc: int, settings: RecurrentInhibition, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.settings, num_inh = settings, settings.num_inh

        def uniform(receiving: int, sending: int) -> Tensor:
            return torch.rand(receiving, sending, generator=generator)

        self.register_buffer("gain", torch.ones(num_exc))
        self.register_buffer("w_ei", uniform(num_inh, num_exc))
        self.register_buffer("w_ie", uniform(num_exc, num_inh))
        self.register_buffer("w_ii", uniform(num_inh, num_inh).fill_diagonal_(0))
        for w, norm in self._types():
            w *= norm / w.norm(dim=1, keepdim=True).clamp(min=1e-30)

    def _types(self) -> tuple[tuple[Tensor, float], ...]:
        """Return the weights and norms of E→I, I→E and I→I synapses."""
        norms = self.settings
        return (
            (self.w_ei, norms.norm_ei),
            (self.w_ie, norms.norm_ie),
            (self.w_ii, norms.norm_ii),
        )

    def forward(
        self, x: Float[Tensor, "image *dims channel"]
    ) -> Float[Tensor, "image *dims channel"]:
        """Return the settled rates of the E cells."""
        exc, _ = self.settle(x.flatten(0, -2))
        return exc.view_as(x)

    def settle(
        self, inputs: Float[Tensor, "row channel"]
    ) -> tuple[Float[Tensor, "row channel"], Float[Tensor, "row inh"]]:
        """Return the settled rates of E and I cells.

        Semi-implicit Euler: q moves with the new h, so that a mode that rings with angular
        frequency ω/τ is followed for steps below 2 τ/ω.
        """
        drive, step = inputs * self.gain, self._step()
        w_ei, w_ie, w_ii = self.w_ei.T, self.w_ie.T, self.w_ii.T
        h, q = torch.zeros_like(drive), drive.new_zeros(len(drive), w_ei.shape[1])
        for _ in range(math.ceil(DURATION / step)):
            inh = q.relu()
            h = h.lerp(torch.addmm(drive, inh, w_ie, alpha=-1), step)
            excitation = h.relu() @ w_ei
            q = q.lerp(torch.addmm(excitation, inh, w_ii, alpha=-1), step)
        return h.relu(), q.relu()

    def _step(self) -> float:
        """Return a time step [τ]: for the fastest mode that these norms allow.

        The spectral norm of a matrix is at most its Frobenius norm, √(number of rows) w.
        """
        num_inh, num_exc = self.w_ei.shape
        norms = self.settings
        loop = norms.norm_ei * norms.norm_ie * math.sqrt(num_inh * num_exc)
        fastest = max(math.sqrt(loop), 1 + norms.norm_ii * math.sqrt(num_inh))
        return min(LONGEST_STEP, 1 / fastest)

    def fit(self, blocks: Blocks) -> None:
        """Take the gains from all training images; learn from each of them once."""
        mean, variance, number = moments(blocks)
        rms = (variance + mean.square()).sqrt()
        # A channel that is always 0 has no drive.
        gain = torch.where(rms > 0, 1 / (math.sqrt(len(rms)) * rms), 0)
        self.gain.copy_(gain)
        if not self.settings.learned:
            return
        seen = 0
        for block in blocks():
            for rows in block.flatten(0, -2).split(BATCH):
                self._learn(rows, LR * (1 - seen / number))
                seen += len(rows)

    def _learn(self, rows: Float[Tensor, "row channel"], lr: float) -> None:
        """Move the weights by one step."""
        exc, inh = self.settle(rows)
        pairs = ((inh, exc), (exc, inh), (inh, inh))
        for (w, norm), (receiving, sending) in zip(self._types(), pairs, strict=True):
            if not norm:
                continue
            current = sending @ w.T
            hebbian = receiving.T @ sending / len(rows)
            decay = (receiving * current).mean(dim=0) / norm**2
            scale = receiving.square().mean() * sending.square().mean()
            w += lr / scale.sqrt().clamp(min=1e-30) * (hebbian - decay[:, None] * w)
            w.clamp_(min=0)
        self.w_ii.fill_diagonal_(0)
