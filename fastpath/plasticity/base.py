"""What plasticity rules share: interface, sum over a mini-batch, step size."""

import math
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated

type Normalize = Literal["max"] | None
check_normalize = checks.one_of("max", None)


def check_exponent(name: str, value: Any) -> float | int:
    """Return the exponent p of eq. 2; raise ValueError if it is below 2 or infinite."""
    p = checks.number(name, value)
    if not (p >= 2 and math.isfinite(p)):
        raise ValueError(f"{name} is {p}: the exponent of the metric must be 2 or more")
    return p


@runtime_checkable
class Plasticity(Protocol):
    """A plasticity rule: a frozen dataclass with `__call__`."""

    def __call__(
        self,
        g: Float[Tensor, "image unit"],
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Float[Tensor, "unit pixel"]:
        """Return ΔW summed over the mini-batch, as a new tensor.

        ΔW must be a sum over images: in a team each process passes its share of them.
        """
        ...


def summed(
    g: Float[Tensor, "image unit"],
    drive: Float[Tensor, "image unit"],
    images: Float[Tensor, "image pixel"],
    weights: Float[Tensor, "unit pixel"],
    *,
    decay: Float[Tensor, "image unit"] | None,
) -> Float[Tensor, "unit pixel"]:
    """Return Σ_b g_bu v_b − (Σ_b g_bu c_bu) W_u, where c is `decay`, or 0 if it is None.

    Raises
    ------
    ValueError
        If g and drive have different shapes.
    """
    if g.shape != drive.shape:
        raise ValueError(
            f"g has shape {tuple(g.shape)}, the drive {tuple(drive.shape)}: one value for "
            "each image and unit is needed"
        )
    if decay is None:
        return g.T @ images
    return (g.T @ images).addcmul_((g * decay).sum(dim=0)[:, None], weights, value=-1)


def step_size(
    largest: Float[Tensor, ""] | float,
    *,
    lr: Float[Tensor, ""] | float,
    normalize: Normalize,
) -> Float[Tensor, ""] | float:
    """Return the factor of ΔW: ε / max|ΔW| with "max" (the authors' code), ε with None.

    `largest` is max|ΔW| over the whole matrix. It is the only quantity of the rule that is
    not local to a synapse; None is the strictly local form.
    """
    if normalize is None:
        return lr
    if isinstance(largest, Tensor):
        return lr / largest.clamp(min=1e-30)
    return lr / max(largest, 1e-30)


@isolated()
def signed_power(
    weights: Float[Tensor, "unit pixel"], *, p: float
) -> Float[Tensor, "unit pixel"]:
    """Return sign(W) |W|^(p−1), the weights as the drive sees them (W itself for p = 2)."""
    if p == 2:
        return weights
    if p == 3:
        return weights * weights.abs()
    return weights.sign() * weights.abs().pow(p - 1)


def annealed(lr: float, *, epoch: int, num_epochs: int) -> float:
    """Return ε of an epoch (from 0): linear from `lr` towards 0, the authors' scheme."""
    return lr * (1 - epoch / num_epochs)
