"""Features that are computed from the images each time they are used."""

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers import Encoder
from fastpath.readout.settings import Readout
from fastpath.readout.sources import FEATURE_SUM, Features, block_of, rows


def flop_of(layer: Encoder) -> int:
    """Return the number of operations for the features of an image.

    This is the layer's attribute `flop`, or that of one product with its weights.
    """
    return int(getattr(layer, "flop", 2 * layer.weights.numel()))


@isolated()
def features(
    layer: Encoder, v: Float[Tensor, "image pixel"], readout: Readout
) -> Float[Tensor, "image feature"]:
    """Return the features of images v as the readout sees them: its power and scaling.

    Raises
    ------
    ValueError
        If the layer cannot see images of this size.
    """
    layer = checks.instance("layer", layer, Encoder)
    readout = checks.instance("readout", readout, Readout)
    x = layer.features(v, power=readout.power)
    if readout.scaling == "image":
        x *= FEATURE_SUM / x.sum(dim=1, keepdim=True).clamp_(min=1e-30)
    return x


class Streamed(Features):
    """Features of images that are computed each time they are used.

    With `mirrored`, the features of all mirror images follow: twice as many rows.
    """

    def __init__(
        self,
        layer: Encoder,
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
        readout: Readout,
        *,
        mirrored: bool = False,
    ) -> None:
        self._layer = checks.instance("layer", layer, Encoder)
        self._x = checks.images("x", x)
        self._preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
        self._readout = checks.instance("readout", readout, Readout)
        self.mirrored = mirrored
        checks.mean_image(preprocess.mean, self._x.flatten(1))
        if mirrored:
            check_width(self._x)

    def __len__(self) -> int:
        return (2 if self.mirrored else 1) * len(self._x)

    @isolated(grad=False)
    def __getitem__(
        self, images: Int[Tensor, " chosen"] | slice
    ) -> Float[Tensor, "chosen feature"]:
        """Return the features of some images."""
        parts = [images] if isinstance(images, slice) else images.split(self.block)
        found = [
            features(self._layer, self._preprocess(self._images(part)), self._readout)
            for part in parts
        ]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _images(self, images: Int[Tensor, " _"] | slice) -> Num[Tensor, "_ *shape"]:
        if not self.mirrored:
            return rows(self._x, images)
        if isinstance(images, slice):
            images = torch.tensor(range(*images.indices(len(self))), dtype=torch.int64)
        images = images.to(self._x.device)
        x, number = rows(self._x, images % len(self._x)), len(self._x)
        mirror = (images >= number).view(-1, *(1,) * (x.ndim - 1))
        return torch.where(mirror, x.flip(2), x)

    @property
    def block(self) -> int:
        """Number of images in a block."""
        return block_of(self._layer)

    @property
    def epochs(self) -> int:
        """Number of epochs of the readout."""
        return self._readout.epochs

    def flop(self, num_images: int) -> int:
        """Return the number of operations for the features of so many images."""
        return num_images * flop_of(self._layer)


def check_width(x: Num[Tensor, "image *shape"]) -> None:
    """Raise ValueError unless images have a width, along which they can be mirrored."""
    if x.ndim not in (3, 4):
        raise ValueError(
            f"the readout's flips is True, but the images have shape {tuple(x.shape)}: to "
            "be mirrored, they must be (image, height, width) or (image, height, width, "
            "channel); give that shape, or set flips to False"
        )
