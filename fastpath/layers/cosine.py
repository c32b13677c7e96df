"""Features of a layer as an `nn.Module`: rectified cosines (K&H 2019, eq. 1)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class CosineFeatures(nn.Module):
    """Input rates to features max(cos(W_u, v), 0)^n (K&H 2019, eq. 1)."""

    def __init__(self, weights: Float[Tensor, "unit pixel"], power: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights.detach().clone())
        self.power = power

    def forward(self, v: Float[Tensor, "image pixel"]) -> Float[Tensor, "image unit"]:
        """Return the features."""
        rows = functional.normalize(self.weight, dim=1)
        return (functional.normalize(v, dim=1) @ rows.T).clamp(min=0).pow(self.power)

    def extra_repr(self) -> str:
        """Return units, pixels and power, for `print`."""
        units, pixels = self.weight.shape
        return f"num_units={units}, num_pixels={pixels}, power={self.power}"
