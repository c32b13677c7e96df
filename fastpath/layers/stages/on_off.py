"""ON and OFF cells: numbers of both signs as rates of two kinds of cells.

An ON cell fires for what is above 0, an OFF cell for what is below, as in the retina (H. K.
Hartline, Am. J. Physiol. 121:400, 1938). So centred inputs become rates of 0 or more, which
units under Dale's law can receive: an excitatory synapse from an OFF cell acts like an
inhibitory one from what it stands for.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.kernels import Name
from fastpath.layers.stages.base import Part, Shape, WithoutState


@dataclass(frozen=True, kw_only=True)
class OnOff(WithoutState):
    """Twice the channels: max(x, 0) of each, then max(−x, 0) of each."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of an image after this stage."""
        return *input_shape[:-1], 2 * input_shape[-1]

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "OnOffPart":
        """Return the part."""
        return OnOffPart()


class OnOffPart(Part):
    """ON and OFF cells at work."""

    def forward(
        self, x: Float[Tensor, "image *dims channel"]
    ) -> Float[Tensor, "image *dims channel_out"]:
        """Return the rates of the ON cells, then of the OFF cells."""
        return torch.cat([x, -x], dim=-1).clamp_(min=0)
