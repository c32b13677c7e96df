"""Decorrelation of the outputs of a layer, computed or learned by lateral inhibition.

Decorrelated outputs are S r with S = (C/c + ε)^(−1/2), C the covariance of the outputs r
over the training images and c their mean variance. S is symmetric: of all decorrelations it
changes the outputs least (Kessy, Lewin & Strimmer 2018). ε keeps the weakest directions,
which are mostly noise, weak.

Lateral inhibition learns S by a local rule. The deviations u of r from its mean, in units
of √c and with noise of variance ε, drive outputs y that settle at M y = u: unit j inhibits
unit i by M_ij y_j, and M_ii holds the leak of unit i. Each synapse learns from the two
units that it connects, ΔM_ij = η (y_i y_j − δ_ij): it grows while they are correlated. At
rest ⟨y yᵀ⟩ = 1, so M = (C/c + ε)^(1/2) = S^(−1). (After P. Földiák, Biol. Cybern. 64:165
(1990), and C. Pehlevan & D. Chklovskii, NeurIPS 2015.)
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stages.base import Blocks, Part, Shape, WithoutState
from fastpath.layers.stages.moments import moments

LATERAL_BATCH = 10  # images for each step of lateral synapses
LATERAL_LR = 0.1  # η of the first step; it falls linearly to 0


@dataclass(frozen=True, kw_only=True)
class Decorrelate(WithoutState):
    """Multiply the channels by S, at each position; see the module."""

    fitted_once = True

    ridge: float = 0.1
    """ε, in units of the mean variance."""
    learned: bool = field(default=False, metadata={"neutral": False})
    """Whether lateral inhibition learns S in one pass over the training images; else S is
    computed from all of them."""

    def __post_init__(self) -> None:
        checks.fields(self, ridge=checks.positive, learned=checks.flag)

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "DecorrelatePart":
        """Return the part with S = 1."""
        if not self.learned:
            return DecorrelatePart(input_shape[-1], self.ridge)
        seed = int(torch.randint(2**62, (), generator=generator))
        return LateralPart(input_shape[-1], self.ridge, seed)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shape of S."""
        return {"mixing": (input_shape[-1], input_shape[-1])}


class DecorrelatePart(Part):
    """Decorrelation at work. `mixing` is S."""

    mixing: Tensor

    def __init__(self, num_channels: int, ridge: float) -> None:
        super().__init__()
        self.ridge = ridge
        self.register_buffer("mixing", torch.eye(num_channels))

    def forward(
        self, x: Float[Tensor, "image *dims channel"]
    ) -> Float[Tensor, "image *dims channel"]:
        """Return the decorrelated channels."""
        return x @ self.mixing

    def fit(self, blocks: Blocks) -> None:
        """Compute S from all training images."""
        mean, _, number = moments(blocks)
        mean = mean.to(self.mixing.dtype)
        covariance = torch.zeros_like(self.mixing, dtype=torch.float64)
        for block in blocks():
            deviations = block.flatten(0, -2) - mean
            covariance += (deviations.T @ deviations).double() / number
        values, vectors = torch.linalg.eigh(covariance)
        unit = values.mean().clamp(min=1e-30)  # 0: the channels never vary
        values = (values / unit).clamp(min=0) + self.ridge
        self.mixing.copy_((vectors * values.rsqrt()) @ vectors.T)


class LateralPart(DecorrelatePart):
    """Decorrelation that lateral inhibition learns; `seed` is that of its noise."""

    def __init__(self, num_channels: int, ridge: float, seed: int) -> None:
        super().__init__(num_channels, ridge)
        self.seed = seed

    def fit(self, blocks: Blocks) -> None:
        """Learn M from each training image once, a few at a time; S is its inverse."""
        mean, variance, number = moments(blocks)
        mean = mean.to(self.mixing.dtype)
        unit = variance.mean().clamp(min=1e-30).sqrt().to(mean.dtype)
        generator = torch.Generator().manual_seed(self.seed)
        one = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
        inhibition, seen = one.clone(), 0
        for block in blocks():
            for images in block.split(LATERAL_BATCH):
                u = (images.flatten(0, -2) - mean) / unit
                noise = torch.randn(u.shape, generator=generator, dtype=u.dtype)
                u = u + self.ridge**0.5 * noise.to(u.device)
                y = torch.linalg.solve(inhibition, u.T)
                lr = LATERAL_LR * (1 - seen / number)
                inhibition += lr * (y @ y.T / y.shape[1] - one)
                seen += len(u)
        self.mixing.copy_(torch.linalg.inv(inhibition))
