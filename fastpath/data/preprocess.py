"""Preprocessing of images: scaling, centring and norm of the pixels.

Images are uint8. A layer on top of another sees the rates of that layer instead: floating
point, and not scaled.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Steps from uint8 images, or rates of a layer below, to input rates, in this order.

    Pixels are always scaled to [0, 1] first, rates never. `fit` adds what is taken from the
    training images.
    """

    subtract_mean: bool = False
    """Subtract the mean image of the training set."""
    center_images: bool = False
    """Subtract each image's own mean."""
    unit_norm: bool = False
    """Divide each image by its Euclidean norm (images of norm 0 stay 0)."""

    def __post_init__(self) -> None:
        flag = checks.flag
        checks.fields(self, subtract_mean=flag, center_images=flag, unit_norm=flag)

    @isolated(grad=False)
    def fit(self, x_train: Num[Tensor, "image *shape"]) -> "FittedPreprocess":
        """Return these steps with the mean image of the training set (zeros if unused).

        Raises
        ------
        ValueError
            If `x_train` are no images.
        """
        return FittedPreprocess(self, self._mean(checks.images("x_train", x_train)))

    def _mean(self, x: Num[Tensor, "image *shape"]) -> Float[Tensor, " pixel"]:
        flat = x.flatten(1)
        if not self.subtract_mean:
            return torch.zeros(flat.shape[1], dtype=torch.float32, device=flat.device)
        if flat.is_floating_point():
            return flat.mean(dim=0, dtype=torch.float64).to(flat.dtype)
        total = torch.zeros(flat.shape[1], dtype=torch.int64, device=flat.device)
        for block in flat.split(4096):  # sum() of uint8 makes an int64 copy of its input
            total += block.sum(dim=0)
        return (total.double() / (255 * len(flat))).float()

    def check(self, x_train: Num[Tensor, "image *shape"]) -> None:
        """Raise ValueError if these steps leave nothing that tells one image from another.

        Images alone are looked at, not rates of a layer below.
        """
        if x_train.is_floating_point() or len(x_train) == 1:
            return
        what = ""
        for block in x_train.flatten(1).split(4096):  # mostly the first one is enough
            differ = block.short() - x_train[0].flatten().short()
            if self.center_images:
                what = " but for their brightness at most, which center_images removes"
                differ -= differ[:, :1].clone()
            if differ.any():
                return
        raise ValueError(
            f"the {len(x_train)} training images are all alike{what}: nothing can be "
            "learned from them (floats in [0, 1] become uint8 by np.round(255 * x), not by "
            "a cast alone)"
        )

    @isolated()
    def __call__(
        self,
        x: Num[Tensor, "image *shape"],
        mean: Float[Tensor, " pixel"],
        *,
        out: Float[Tensor, "image pixel"] | None = None,
    ) -> Float[Tensor, "image pixel"]:
        """Return the input rates of images, flattened, given the mean image to subtract.

        They are written to `out` if it is given.

        Raises
        ------
        ValueError
            If `x` are no images, or the mean image has another size.
        """
        x = checks.images("x", x)
        flat = x.flatten(1)
        mean = checks.mean_image(mean, flat)
        v = flat.to(mean.dtype, copy=True) if out is None else out.copy_(flat)
        if not x.is_floating_point():
            v.div_(255)
        if self.subtract_mean:
            v -= mean
        if self.center_images:
            # Of a flat image the mean may be rounded to another value than its pixels have,
            # and what is left of it would be scaled up.
            v -= v.mean(dim=1, keepdim=True).clamp(*v.aminmax(dim=1, keepdim=True))
        if self.unit_norm:
            v /= v.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return v


@dataclass(frozen=True, eq=False)
class FittedPreprocess:
    """Preprocessing with all that it needs of the training images."""

    steps: Preprocess
    mean: Float[Tensor, " pixel"]
    """The mean image to subtract; zeros where the steps do not subtract it."""

    def __post_init__(self) -> None:
        checks.instance("steps", self.steps, Preprocess)
        checks.fields(self, mean=_mean_image)

    @property
    def num_pixels(self) -> int:
        """Number of pixels of an image."""
        return len(self.mean)

    def __call__(
        self,
        x: Num[Tensor, "image *shape"],
        *,
        out: Float[Tensor, "image pixel"] | None = None,
    ) -> Float[Tensor, "image pixel"]:
        """Return the input rates of images, flattened; written to `out` if it is given.

        Raises
        ------
        ValueError
            If `x` are no images, or have another size than the training images.
        """
        return self.steps(x, self.mean, out=out)

    def to(self, *where: Any) -> "FittedPreprocess":
        """Return the same on another device, or in another number format."""
        return replace(self, mean=self.mean.to(*where))


def _mean_image(name: str, value: Tensor) -> Float[Tensor, " pixel"]:
    mean = checks.tensor(name, value)
    if not mean.is_floating_point() or mean.ndim != 1:
        raise ValueError(
            f"the mean image is {mean.dtype} of shape {tuple(mean.shape)}: floating point "
            "of shape (pixel,) is needed, as Preprocess.fit(x) finds it"
        )
    return mean
