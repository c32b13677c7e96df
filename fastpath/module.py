"""A trained model as PyTorch's users know it: an `nn.Module` from images to outputs.

Plain functional code, so that `torch.export` can trace it and any device can run it. The
parts that training uses write in place and are quicker; a test holds both to 1e-6.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from fastpath.ambient import isolated
from fastpath.data.preprocess import Preprocess
from fastpath.readout import BLOCK, FEATURE_SUM, Head, Readout


class Preprocessing(nn.Module):
    """Images (image, *shape) to input rates (image, pixel): see `Preprocess`."""

    mean: Tensor

    def __init__(self, preprocess: Preprocess, mean: Float[Tensor, " pixel"]) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.register_buffer("mean", mean.detach().clone())

    def forward(self, x: Num[Tensor, "image *shape"]) -> Float[Tensor, "image pixel"]:
        """Return the input rates; uint8 counts as 0 to 1, floating point as it is."""
        v = x.flatten(1).to(self.mean.dtype)
        if x.dtype == torch.uint8:
            v = v / 255
        if self.preprocess.subtract_mean:
            v = v - self.mean
        if self.preprocess.center_images:
            # Within the range of the pixels: a flat image becomes exactly 0.
            least, most = v.amin(dim=1, keepdim=True), v.amax(dim=1, keepdim=True)
            v = v - torch.minimum(torch.maximum(v.mean(dim=1, keepdim=True), least), most)
        if self.preprocess.unit_norm:
            v = functional.normalize(v, dim=1)
        return v

    def extra_repr(self) -> str:
        """Return the steps, for `print`."""
        steps = [name for name, done in vars(self.preprocess).items() if done]
        return ", ".join(steps) or "none"


class CosineFeatures(nn.Module):
    """Input rates to features max(cos(W_u, v), 0)^n (K&H 2019, eq. 1): see `Readout`."""

    def __init__(self, weights: Float[Tensor, "unit pixel"], readout: Readout) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights.detach().clone())
        self.power, self.of_image = readout.power, readout.scaling == "image"

    def forward(self, v: Float[Tensor, "image pixel"]) -> Float[Tensor, "image unit"]:
        """Return the features."""
        cosine = functional.normalize(v, dim=1) @ functional.normalize(self.weight, dim=1).T
        x = cosine.clamp(min=0).pow(self.power)
        if self.of_image:
            x = x * (FEATURE_SUM / x.sum(dim=1, keepdim=True).clamp(min=1e-30))
        return x

    def extra_repr(self) -> str:
        """Return units, pixels and power, for `print`."""
        units, pixels = self.weight.shape
        return f"num_units={units}, num_pixels={pixels}, power={self.power}"


class LinearHead(nn.Module):
    """Features to one output per class; the largest is the answer: see `Head`."""

    offset: Tensor
    scale: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.weight = nn.Parameter(head.weights.detach().clone())
        self.bias = nn.Parameter(head.bias.detach().clone())
        self.register_buffer("offset", head.offset.detach().clone())
        self.register_buffer("scale", head.scale.detach().clone())

    def forward(
        self, features: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image class"]:
        """Return the outputs."""
        scaled = (features - self.offset) * self.scale
        return functional.linear(scaled, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return units and classes, for `print`."""
        return f"num_units={self.weight.shape[1]}, num_classes={self.weight.shape[0]}"


def rectified(
    weights: Float[Tensor, "unit pixel"], bias: Float[Tensor, " unit"]
) -> nn.Sequential:
    """Return units max(W v + b, 0), as back-propagation trains them."""
    num_units, num_pixels = weights.shape
    linear = nn.Linear(num_pixels, num_units, device="meta")
    linear.weight = nn.Parameter(weights.detach().clone())
    linear.bias = nn.Parameter(bias.detach().clone())
    return nn.Sequential(linear, nn.ReLU())


@isolated(grad=True)
def assembled(
    preprocess: Preprocess,
    mean: Float[Tensor, " pixel"],
    features: nn.Module,
    head: Head | None,
) -> nn.Sequential:
    """Return a model with the parts `preprocess`, `features` and, if there is one, `head`.

    It is in evaluation mode.
    """
    parts = OrderedDict(preprocess=Preprocessing(preprocess, mean), features=features)
    if head is not None:
        parts["head"] = LinearHead(head)
    return nn.Sequential(parts).eval()


@isolated(grad=False)
def outputs(model: nn.Module, x: Num[Tensor, "image *shape"]) -> Float[Tensor, "image _"]:
    """Return what a model gives for many images, computed a block at a time."""
    return torch.cat([model(block) for block in x.split(BLOCK)])
