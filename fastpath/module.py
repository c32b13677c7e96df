"""A trained model as an `nn.Module` from images to outputs.

The code is functional, so that `torch.export` can trace it and any device can run it. The
code for training writes in place and is faster. A test checks that both agree to 1e-6.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from fastpath.ambient import isolated
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.layers import Encoder
from fastpath.readout import FEATURE_SUM, LinearHead, Readout, block_of


class Preprocessing(nn.Module):
    """Images (image, *shape) to input rates (image, pixel): see `Preprocess`."""

    mean: Tensor

    def __init__(self, preprocess: FittedPreprocess) -> None:
        super().__init__()
        self.steps = preprocess.steps
        self.own = type(self.steps) is not Preprocess  # it may do anything
        self.register_buffer("mean", preprocess.mean.detach().clone())

    def forward(self, x: Num[Tensor, "image *shape"]) -> Float[Tensor, "image pixel"]:
        """Return the input rates; uint8 pixels are divided by 255."""
        if self.own:
            return self.steps(x, self.mean)
        v = x.flatten(1).to(self.mean.dtype)
        if x.dtype == torch.uint8:
            v = v / 255
        if self.steps.subtract_mean:
            v = v - self.mean
        if self.steps.center_images:
            # Clip the mean to the range of the pixels: a flat image becomes exactly 0.
            least, most = v.amin(dim=1, keepdim=True), v.amax(dim=1, keepdim=True)
            v = v - torch.minimum(torch.maximum(v.mean(dim=1, keepdim=True), least), most)
        if self.steps.unit_norm:
            v = functional.normalize(v, dim=1)
        return v

    def extra_repr(self) -> str:
        """Return the names of the steps, for `print`."""
        steps = [name for name, done in vars(self.steps).items() if done]
        return ", ".join(steps) or "none"


class ScaledFeatures(nn.Module):
    """Features of a layer, scaled to the same sum in each image: see `Readout.scaling`."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, v: Float[Tensor, "image pixel"]) -> Float[Tensor, "image unit"]:
        """Return the features."""
        x = self.features(v)
        return x * (FEATURE_SUM / x.sum(dim=1, keepdim=True).clamp(min=1e-30))


def features_of(layer: Encoder, readout: Readout) -> nn.Module:
    """Return a module from input rates to the features that the readout takes."""
    features = layer.to_module(power=readout.power)
    return ScaledFeatures(features) if readout.scaling == "image" else features


class HeadModule(nn.Module):
    """Features to one output per class; the largest names the class: see `LinearHead`."""

    offset: Tensor
    scale: Tensor

    def __init__(self, head: LinearHead) -> None:
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
        """Return the numbers of units and classes, for `print`."""
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
    preprocess: FittedPreprocess, features: nn.Module, head: LinearHead | None
) -> nn.Sequential:
    """Return a model of the parts `preprocess`, `features` and, if any, `head`.

    The model is in evaluation mode.
    """
    parts = OrderedDict(preprocess=Preprocessing(preprocess), features=features)
    if head is not None:
        parts["head"] = HeadModule(head)
    return nn.Sequential(parts).eval()


@isolated(grad=False)
def outputs(model: nn.Module, x: Num[Tensor, "image *shape"]) -> Float[Tensor, "image _"]:
    """Return the outputs of a model for many images, computed a block at a time."""
    return torch.cat([model(block) for block in x.split(block_of(*model.modules()))])
