"""Features of many images for the readout: one interface, wherever they are held."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath import checks

BLOCK = 4096  # images at a time, where all at once would take too much memory
# Sum of an image's features, or its mean over the training images. A step of Adam moves
# each weight by about lr, so an output by up to lr times this sum for any number of units.
FEATURE_SUM = 200.0


def block_of(*parts: object) -> int:
    """Return how many images to compute at a time.

    This is BLOCK, or less if one of the parts has a smaller number as its attribute
    `block`: layers, their settings or modules whose intermediate results are large.
    """
    asked = (getattr(part, "block", None) for part in parts)
    return min([BLOCK, *(block for block in asked if isinstance(block, int))])


class Features(ABC):
    """Features (image, feature) of many images, which a head learns from.

    A new way to hold them needs the length and the rows of some images; the rest follows.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images."""

    @property
    def block(self) -> int:
        """Number of images in a block."""
        return BLOCK

    def blocks(self) -> Iterator[Float[Tensor, "block feature"]]:
        """Yield the features of all images, a block at a time."""
        for start in range(0, len(self), self.block):
            yield self[start : start + self.block]

    def flop(self, num_images: int) -> int:
        """Return the number of operations that the features of so many images cost."""
        return 0

    def either(
        self, images: Int[Tensor, " chosen"], mirrored: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images, or of their mirror images where it is 1.

        Raises
        ------
        ValueError
            If the features of mirror images are not held.
        """
        raise ValueError(
            "the readout's flips is True, but these features are without those of mirror "
            "images: give those that experiment.features returns, or set flips to False"
        )

    def spread(self) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Return the standard deviation and mean of each feature over the images."""
        first = self[:1][0]
        mean, variance = torch.zeros_like(first).double(), torch.zeros_like(first).double()
        for block in self.blocks():
            mean += block.double().sum(dim=0) / len(self)
        for block in self.blocks():
            variance += (block.double() - mean).square().sum(dim=0) / len(self)
        return variance.sqrt().to(first.dtype), mean.to(first.dtype)


class Held(Features):
    """Features in a tensor, as they are."""

    def __init__(self, tensor: Float[Tensor, "image feature"]) -> None:
        self._tensor = checks.floats("features", tensor, "(image, unit)").detach()

    def __len__(self) -> int:
        return len(self._tensor)

    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images."""
        return rows(self._tensor, images)

    def spread(self) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Return the standard deviation and mean of each feature over the images."""
        sd, mean = torch.std_mean(self._tensor, dim=0, correction=0)
        return sd, mean


class Mirrored(Features):
    """Features of images with those of their mirror images, for `Readout.flips`.

    `both` holds the features of all images, then those of all mirror images.
    """

    def __init__(self, both: Float[Tensor, "image feature"] | Features) -> None:
        self._both = as_features(both)
        self._number, odd = divmod(len(self._both), 2)
        if odd:
            raise ValueError(
                f"there are features of {len(self._both)} images: those of all images are "
                "needed, then those of as many mirror images"
            )

    def __len__(self) -> int:
        return self._number

    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images, unmirrored."""
        if isinstance(images, slice):
            images = slice(*images.indices(self._number))
        return self._both[images]

    def either(
        self, images: Int[Tensor, " chosen"], mirrored: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images, or of their mirror images where it is 1."""
        return self._both[images + self._number * mirrored]

    @property
    def block(self) -> int:
        """Number of images in a block."""
        return self._both.block

    def flop(self, num_images: int) -> int:
        """Return the number of operations that the features of so many images cost."""
        return self._both.flop(num_images)


def as_features(x: Float[Tensor, "image unit"] | Features) -> Features:
    """Return features as they are, or around a tensor or an array.

    Raises
    ------
    ValueError
        If x is no floating-point matrix.
    """
    return (
        x
        if isinstance(x, Features)
        else Held(checks.floats("features", x, "(image, unit)"))
    )


def rows(
    tensor: Num[Tensor, "all *shape"], images: Int[Tensor, " chosen"] | slice
) -> Num[Tensor, "chosen *shape"]:
    """Return some rows of a tensor, on its device."""
    if isinstance(images, slice):
        return tensor[images]
    return tensor.index_select(0, images.to(tensor.device))
