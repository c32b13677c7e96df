"""Dropout of features, with fast and reproducible masks."""

import torch
from jaxtyping import Float
from torch import Tensor

WORD = 2**16  # a feature is dropped by a random number of 16 bits


class Dropout:
    """Sets a share of features to 0 and scales up the others, so that means stay.

    The share is exact to 1/65536. Masks come from random integers of 64 bits, which hold
    four numbers each: on the CPU a tenth of the time of `bernoulli_`.
    """

    def __init__(self, share: float | int, generator: torch.Generator) -> None:
        self._dropped = min(round(WORD * share), WORD - 1)
        self._generator = generator  # on the device of the features
        self._words = torch.empty(0, dtype=torch.int64, device=generator.device)

    @torch.no_grad()
    def __call__(
        self, features: Float[Tensor, "image feature"]
    ) -> Float[Tensor, "image feature"]:
        """Drop some of the features, in place, and return them."""
        return features.mul_(self.kept(features)).mul_(WORD / (WORD - self._dropped))

    def kept(
        self, features: Float[Tensor, "image feature"]
    ) -> Float[Tensor, "image feature"]:
        """Return the next mask: 1 for a feature that is kept, 0 for one that is not."""
        needed = -(-features.numel() // 4)
        if self._words.numel() < needed:
            self._words = self._words.new_empty(needed)
        words = self._words[:needed].random_(-(2**63), None, generator=self._generator)
        numbers = words.view(torch.int16)[: features.numel()]  # -WORD / 2 and up
        kept = numbers.ge_(self._dropped - WORD // 2)
        return kept.view(features.shape).to(features.dtype)
