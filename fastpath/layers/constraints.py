"""Sign constraints: weights keep their signs while they learn.

Dale's law gives a sign to the *sending* cell: all weights of one input, a column of W, have
the same sign (`column_signs`). If all inputs are excitatory, or all inhibitory, all weights
have one sign (`same_sign`). A sign for each *receiving* unit, a row of W (`row_signs`), is
not Dale's law, although it has been called so. A weight that would change its sign becomes
0, the nearest allowed value.

Source: H. H. Dale, Proc. R. Soc. Med. 28:319 (1935); J. C. Eccles, P. Fatt & K. Koketsu,
J. Physiol. 126:524 (1954) for the law.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated


@dataclass(frozen=True)
class Constraint:
    """Signs of weights: the same for all, or a sign for each input, or for each unit."""

    signs: Int[Tensor, "#unit #pixel"]
    """1: weights >= 0, −1: weights <= 0, 0: weights are free."""

    def __post_init__(self) -> None:
        checks.fields(self, signs=_signs)

    @isolated()
    def __call__(
        self,
        rows: Float[Tensor, "row pixel"],
        units: Int[Tensor, " row"] | slice = slice(None),
    ) -> Float[Tensor, "row pixel"]:
        """Return the allowed weights nearest to the given rows, which belong to `units`."""
        return torch.where(self._wrong(rows, units), 0.0, rows)

    def to(self, device: torch.device) -> "Constraint":
        """Return the same constraint on another device."""
        return replace(self, signs=self.signs.to(device))

    @isolated()
    def mirrored(self, weights: Float[Tensor, "unit pixel"]) -> Float[Tensor, "unit pixel"]:
        """Return weights of the same magnitudes with the allowed signs."""
        return torch.where(self._wrong(weights), -weights, weights)

    @isolated()
    def violations(self, weights: Float[Tensor, "unit pixel"]) -> int:
        """Return the number of weights with the wrong sign."""
        return int(self._wrong(weights).sum())

    def _wrong(
        self, rows: Float[Tensor, "row pixel"], units: Tensor | slice = slice(None)
    ) -> Bool[Tensor, "row pixel"]:
        signs = self.signs if len(self.signs) == 1 else self.signs[units]
        for dim, name in enumerate(("rows", "columns")):
            if signs.shape[dim] not in (1, rows.shape[dim]):
                raise ValueError(
                    f"there are {signs.shape[dim]} signs for weights with "
                    f"{rows.shape[dim]} {name}: give one for each of them"
                )
        return rows * signs < 0


def _signs(name: str, value: Tensor) -> Int[Tensor, "_ _"]:
    signs = checks.matrix(name, value, "(1 or unit, 1 or pixel)")
    values = signs.double().unique()
    if not torch.isin(values, values.new_tensor([-1, 0, 1])).all():
        distinct = signs.unique().tolist()
        raise ValueError(f"signs are {distinct}: each must be 1, -1 or 0")
    return signs.to(torch.int8)


@isolated()
def same_sign(sign: int) -> Constraint:
    """Keep all weights at 0 or more (sign 1), or at 0 or less (sign −1).

    Raises
    ------
    ValueError
        If the sign is neither 1 nor −1.
    """
    sign = checks.whole("sign", sign)
    if sign not in (1, -1):
        raise ValueError(f"sign is {sign}: 1 (weights >= 0) or -1 (weights <= 0)")
    return Constraint(torch.tensor([[sign]]))


def column_signs(signs: Int[Tensor, " pixel"]) -> Constraint:
    """Keep the weights of each input at its sign: Dale's law.

    Parameters
    ----------
    signs
        1 for an excitatory input, −1 for an inhibitory input, 0 for an input whose weights
        are free.

    Raises
    ------
    ValueError
        If a sign is none of these; when applied, if the number of inputs differs.
    """
    return Constraint(checks.tensor("signs", signs)[None])


def row_signs(signs: Int[Tensor, " unit"]) -> Constraint:
    """Keep the weights of each unit at its sign, which is not Dale's law.

    Parameters and errors are those of `column_signs`, for units instead of inputs.
    """
    return Constraint(checks.tensor("signs", signs)[:, None])
