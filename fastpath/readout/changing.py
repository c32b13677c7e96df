"""Features of images that augmentation changes in each epoch of the readout."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath.data.augment import Augment, Augmented
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers import Encoder
from fastpath.readout.settings import Readout
from fastpath.readout.streamed import Streamed


class Changing(Streamed):
    """Features of images; `epoch` changes the images, and returns features of those.

    All else, such as scaling and errors, uses the images as they are.
    """

    def __init__(
        self,
        layer: Encoder,
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
        readout: Readout,
        augment: Augment,
    ) -> None:
        super().__init__(layer, x, preprocess, readout)
        if readout.flips:
            raise ValueError(
                "the readout's flips is True, and augmentation changes its images too: "
                "leave flips out, and set the flip of the augmentation"
            )
        self._augmented = Augmented(augment, x)
        self._changed = Streamed(layer, self._augmented.images, preprocess, readout)

    def epoch(
        self, generator: torch.Generator
    ) -> Callable[[Int[Tensor, " batch"]], Float[Tensor, "batch feature"]]:
        """Change the images by new draws; return the function to their features."""
        self._augmented.change(generator)
        return self._changed.__getitem__
