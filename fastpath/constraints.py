"""Signs that weights keep while they learn.

Dale's law gives a sign to the *sending* cell: all weights of one input, a column of W, have
its sign (`column_signs`). With inputs of one kind that is one sign for all weights
(`same_sign`). A step that would leave the allowed side ends at 0, its nearest point.

Source: H. H. Dale, Proc. R. Soc. Med. 28:319 (1935); J. C. Eccles, P. Fatt & K. Koketsu,
J. Physiol. 126:524 (1954) for the law.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

# From rows of weights (row, pixel) to the nearest that are allowed, weight by weight.
type Constraint = Callable[[Tensor], Tensor]


def same_sign(sign: int) -> Constraint:
    """Keep all weights at 0 or more (sign 1), or at 0 or less (sign −1).

    Raises
    ------
    ValueError
        If the sign is neither.
    """
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}: 1 (weights >= 0) or -1 (weights <= 0)")

    def constraint(rows: Float[Tensor, "row pixel"]) -> Float[Tensor, "row pixel"]:
        return rows.clamp(min=0) if sign > 0 else rows.clamp(max=0)

    return constraint


def column_signs(signs: Int[Tensor, " pixel"]) -> Constraint:
    """Keep the weights of each input at its sign: Dale's law.

    Parameters
    ----------
    signs
        1 for an excitatory input, −1 for an inhibitory one, 0 for one whose weights are
        free, on the device of the weights.

    Raises
    ------
    ValueError
        If a sign is none of these; and when applied, if the weights have other columns.
    """
    if not (signs.abs() <= 1).all():
        raise ValueError(f"signs are {signs.unique().tolist()}: each must be 1, -1 or 0")

    def constraint(rows: Float[Tensor, "row pixel"]) -> Float[Tensor, "row pixel"]:
        if rows.shape[1] != len(signs):
            raise ValueError(
                f"there are {len(signs)} signs for weights with {rows.shape[1]} columns: "
                "give one for each input"
            )
        return torch.where(rows * signs < 0, 0.0, rows)

    return constraint


def mirrored(
    weights: Float[Tensor, "unit pixel"], constraint: Constraint
) -> Float[Tensor, "unit pixel"]:
    """Return weights of the same sizes that are allowed: wrong signs are turned round."""
    return torch.where(constraint(weights) == weights, weights, constraint(-weights))
