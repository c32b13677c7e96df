"""Dropout of features, with fast and reproducible masks."""

import torch
from jaxtyping import Float
from torch import Tensor


class Dropout:
    """Sets a share of features to 0 and scales up the others, so that means stay.

    A feature is dropped by a random number of 8 bits if these make the share exactly, as
    they do 1/2 and 1/4; else of 16, to 1/65536. The numbers are the bytes of random
    integers of 64 bits: on the CPU a tenth of the time of `bernoulli_`.
    """

    def __init__(self, share: float | int, generator: torch.Generator) -> None:
        self._numbers = torch.int8 if (256 * share).is_integer() else torch.int16
        self._half = -torch.iinfo(self._numbers).min
        most = 2 * self._half
        self._dropped = min(round(most * share), most - 1)
        self._scale = most / (most - self._dropped)
        self._generator = generator  # on the device of the features
        self._words = torch.empty(0, dtype=torch.int64, device=generator.device)

    @torch.no_grad()
    def __call__(
        self, features: Float[Tensor, "image feature"]
    ) -> Float[Tensor, "image feature"]:
        """Return the features with some of them dropped, in memory of their own."""
        return self.kept(features).mul_(features).mul_(self._scale)

    def kept(
        self, features: Float[Tensor, "image feature"]
    ) -> Float[Tensor, "image feature"]:
        """Return the next mask: 1 for a feature that is kept, 0 for one that is not."""
        needed = -(-features.numel() * self._numbers.itemsize // 8)
        if self._words.numel() < needed:
            self._words = self._words.new_empty(needed)
        words = self._words[:needed].random_(-(2**63), None, generator=self._generator)
        numbers = words.view(self._numbers)[: features.numel()]  # from -half
        kept = numbers.ge_(self._dropped - self._half)
        return kept.view(features.shape).to(features.dtype)
