"""Feed-forward interneurons: inhibition that obeys Dale's law.

Interneurons learn by the rule of the run, with weights of 0 or more. Their rates join the
inputs as further channels, on which the units above have weights of 0 or less: those units
have `inhibitory` set to the number of interneurons. So no cell both excites and inhibits,
and a unit still has filters of both signs, W_EX − W_EI W_IX.

Source: J. Cornford et al., ICLR 2021, for dense layers. There an interneuron sees what the
unit sees. Here it sees the patch around its own position, and a unit sees the interneurons
of all positions of its patch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath.kernels import Name
from fastpath.layers.stages.base import Shape
from fastpath.layers.stages.convolution import Convolution, ConvolutionPart


@dataclass(frozen=True, kw_only=True)
class Interneurons(Convolution):
    """Inputs with the rates of interneurons behind them: max(W v, 0), W of 0 or more.

    A filter that keeps the number of positions is needed: an odd kernel_size, stride 1 and
    padding kernel_size // 2.
    """

    inhibitory: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inhibitory is None:
            raise ValueError(
                "inhibitory is None: interneurons are driven by excitatory inputs; set it "
                "to 0, or to the number of interneurons among the inputs"
            )
        size, padding = self.kernel_size, self.padding
        if size % 2 == 0 or self.stride != 1 or padding != size // 2:
            raise ValueError(
                f"kernel_size is {size}, stride {self.stride} and padding {padding}: "
                "interneurons need an odd kernel_size, stride 1 and padding kernel_size // "
                "2, so that there is one at each position of the inputs"
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (height, width, channel + interneuron)."""
        height, width, num_units = super().output_shape(input_shape)
        return height, width, input_shape[-1] + num_units

    def start(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> "InterneuronsPart":
        """Return the interneurons before training."""
        bank = self.bank(input_shape, generator=generator, kernels=kernels)
        return InterneuronsPart(bank, self, generator)


class InterneuronsPart(ConvolutionPart):
    """Interneurons at work."""

    def forward(
        self, x: Float[Tensor, "image height width channel"]
    ) -> Float[Tensor, "image height width channel_out"]:
        """Return the inputs with the rates of the interneurons behind them."""
        return torch.cat([x, super().forward(x).clamp(min=0)], dim=-1)

    def learn(
        self, x: Float[Tensor, "image height width channel"], *rule: Any, **settings: Any
    ) -> Float[Tensor, "image height width channel_out"]:
        """Change the weights by one mini-batch; return the outputs before the change."""
        rates = super().learn(x, *rule, **settings)
        return torch.cat([x, rates.clamp(min=0)], dim=-1)
