"""Gram–Schmidt orthonormalization of weights, and the numbers of rows that allow it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.ambient import isolated


@isolated(grad=False)
def orthonormal(weights: Float[Tensor, "unit input"]) -> Float[Tensor, "unit input"]:
    """Return orthonormal rows: each loses its part along the rows before it (Gram–Schmidt).

    A row that is a combination of the rows before it becomes some other unit vector that
    is orthogonal to them.

    Raises
    ------
    ValueError
        If there are more rows than inputs.
    """
    check_fits(*weights.shape)
    # Householder's QR of the transpose spans the same spaces, without the rounding errors
    # that Gram-Schmidt adds up; the signs are those of Gram-Schmidt.
    q, r = torch.linalg.qr(weights.T)
    return (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).T.contiguous()


def check_fits(num_units: int, num_inputs: int, constraint: Any = None) -> None:
    """Raise ValueError if so many rows cannot be orthogonal."""
    if num_units > num_inputs:
        raise ValueError(
            f"{num_units} orthogonal filters need at least as many inputs, but each has "
            f"{num_inputs} (kernel height x width x channels): take at most {num_inputs} "
            "units, a larger kernel, or leave out orthogonal"
        )
    if constraint is not None:
        raise ValueError(
            "orthogonal rows would break the constraint of signs: leave out one of them"
        )
