"""The network of a joint search by others, with its own rule, scored as all others are.

Source: the best of 51 trials of the study "fast_multi_dataset" by A. Amer & T. Bontempi,
competing-unsupervised-learning (2025). Their mean error of 9.4 % counts the outputs that
do not equal their target exactly. An output that says no to every class has as much.
"""

from dataclasses import dataclass, field

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from fastpath.data.preprocess import Preprocess
from fastpath.experiment import timed
from fastpath.plasticity.base import annealed, signed_power, summed
from scenarios.support.searches import NOT_USED
from scenarios.support.trials import Network, scored

NUM_UNITS = 744


@dataclass(frozen=True, kw_only=True)
class Published(Network):
    """Their layer and readout. Weights start from N(0, 1), and have no norm to keep.

    Only colour images are brought to unit norm.
    """

    preprocess: Preprocess = field(default=NOT_USED, metadata={"neutral": NOT_USED})
    """Not used: see above."""
    p: float = 2.0
    k: int = 7
    delta: float = 0.3592072389561112
    lr: float = 0.09344067826610707
    batch_size: int = 13
    epochs: int = 24
    power: float = 1.0
    m: float = 6.0
    beta: float = 1.4088977233443074
    head_lr: float = 0.0017346676238564817
    head_epochs: int = 2

    def compute(self) -> xr.Dataset:
        """Return the errors, also as its authors count them (`elements`)."""
        images, split, generator = self.begin()
        fitted = Preprocess(unit_norm=images.shape[2] > 1).fit(split.x_train)
        v = fitted(split.x_train)
        weights = torch.randn(self.num_units, fitted.num_pixels, generator=generator)
        weights, seconds = timed(lambda: self._learned(v, weights.to(v), generator))
        head = nn.Linear(self.num_units, len(images.classes), device=v.device)
        for values in head.parameters():
            bound = self.num_units**-0.5
            drawn = torch.rand(values.shape, generator=generator).to(v.device)
            values.data = bound * (2 * drawn - 1)
        x = self._features(v, weights)
        self._read_out(head, x, split.y_train, generator)
        x_eval = self._features(fitted(split.x_eval), weights)
        errors = {
            "train_error": _error(head, x, split.y_train),
            f"{split.scored_on}_error": _error(head, x_eval, split.y_eval),
        }
        elements = self._elements(head, x_eval, split.y_eval)
        return scored(errors, split, learn_seconds=seconds, elements=elements)

    def _learned(
        self,
        v: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
        generator: torch.Generator,
    ) -> Float[Tensor, "unit pixel"]:
        """Return the weights after learning."""
        for epoch in range(self.epochs):
            lr = annealed(self.lr, epoch=epoch, num_epochs=self.epochs)
            for batch in _batches(len(v), self.batch_size, generator):
                change = self.change(v[batch], weights)
                weights.add_(change, alpha=lr / float(change.norm(p=self.p)))
        return weights

    def change(
        self, v: Float[Tensor, "image pixel"], weights: Float[Tensor, "unit pixel"]
    ) -> Float[Tensor, "unit pixel"]:
        """Return ΔW: g is 1 for the largest drive, and -Δ for each of the next k."""
        drive = v @ signed_power(weights, p=self.p).T
        best = drive.topk(self.k + 1, dim=1).indices
        g = torch.zeros_like(drive).scatter_(1, best[:, 1:], -self.delta)
        g.scatter_(1, best[:, :1], 1.0)
        return summed(g, drive, v, weights, decay=drive)

    def _features(
        self, v: Float[Tensor, "image pixel"], weights: Float[Tensor, "unit pixel"]
    ) -> Float[Tensor, "image unit"]:
        return (v @ weights.T).pow(self.power).relu()

    def _read_out(
        self,
        head: nn.Linear,
        x: Float[Tensor, "image unit"],
        y: Int[Tensor, " image"],
        generator: torch.Generator,
    ) -> None:
        """Train the readout, in place, by Adam and the loss of eq. 12."""
        optimizer = torch.optim.Adam(head.parameters(), lr=self.head_lr)
        targets = _targets(head, y)
        for _ in range(self.head_epochs):
            for batch in _batches(len(x), self.batch_size, generator):
                optimizer.zero_grad()
                distance = torch.tanh(self.beta * head(x[batch])) - targets[batch]
                distance.abs().pow(self.m).mean().backward()
                optimizer.step()

    @torch.no_grad()
    def _elements(
        self, head: nn.Linear, x: Float[Tensor, "image unit"], y: Int[Tensor, " image"]
    ) -> float:
        """Return the percentage of outputs that are not exactly 1 or -1 as they should."""
        output = torch.tanh(self.beta * head(x))
        return 100 * float((output != _targets(head, y)).double().mean())


def _targets(head: nn.Linear, y: Int[Tensor, " image"]) -> Float[Tensor, "image class"]:
    return 2.0 * nn.functional.one_hot(y.long(), head.out_features) - 1


def _batches(
    number: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, " batch"], ...]:
    return torch.randperm(number, generator=generator).split(size)


@torch.no_grad()
def _error(
    head: nn.Linear, x: Float[Tensor, "image unit"], y: Int[Tensor, " image"]
) -> float:
    return 100 * float((head(x).argmax(dim=1) != y).double().mean())
