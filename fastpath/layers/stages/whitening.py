"""ZCA whitening of what units see: patches without correlations between their pixels.

A whitened patch is Z (v − m), with m the mean patch and Z = (C/c + ε)^(−1/2), C the
covariance of the patches and c their mean variance. Z is symmetric: whitened patches stay
as near to the patches as whitening allows. ε keeps the weakest directions, which are mostly
noise, weak. Z is computed from training patches, by no local rule.

Sources: A. J. Bell & T. J. Sejnowski, Vision Research 37:3327 (1997); A. Coates, H. Lee &
A. Y. Ng, AISTATS 2011.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def zca(
    samples: Float[Tensor, "patch input"], ridge: float
) -> tuple[Float[Tensor, " input"], Float[Tensor, "input input"]]:
    """Return the mean patch m, and Z with ε = `ridge`."""
    mean = samples.mean(dim=0)
    deviations = samples - mean
    covariance = (deviations.T @ deviations).double() / len(samples)
    values, vectors = torch.linalg.eigh(covariance)
    unit = values.mean().clamp(min=1e-30)  # 0: the patches never vary
    values = (values / unit).clamp(min=0) + ridge
    return mean, ((vectors * values.rsqrt()) @ vectors.T).to(samples.dtype)


class Whitening(nn.Module):
    """Whitening at work. `mean` (input,) is m, `matrix` (input, input) is Z."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, num_inputs: int, ridge: float) -> None:
        super().__init__()
        self.ridge = ridge
        self.register_buffer("mean", torch.zeros(num_inputs))
        self.register_buffer("matrix", torch.eye(num_inputs))

    def fit(self, samples: Float[Tensor, "patch input"]) -> None:
        """Take m and Z from training patches."""
        mean, matrix = zca(samples, self.ridge)
        self.mean.copy_(mean)
        self.matrix.copy_(matrix)

    def forward(
        self,
        rows: Float[Tensor, "row input"],
        out: Float[Tensor, "row input"] | None = None,
    ) -> Float[Tensor, "row input"]:
        """Return whitened patches."""
        return torch.addmm(-(self.mean @ self.matrix), rows, self.matrix, out=out)

    def folded(
        self, weights: Float[Tensor, "unit input"]
    ) -> tuple[Float[Tensor, "unit input"], Float[Tensor, " unit"]]:
        """Return filters and biases that see patches as `weights` see whitened ones."""
        filters = functional.linear(weights, self.matrix)
        return filters, -(filters @ self.mean)
