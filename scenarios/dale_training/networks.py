"""Networks that learn under sign constraints."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fastpath import experiment
from fastpath.competition import Ranking
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.experiment import Split
from fastpath.layers import DenseSettings, Layer
from fastpath.layers.constraints import Constraint, column_signs, row_signs, same_sign
from fastpath.readout import Readout
from fastpath.training.callbacks import EachEpoch
from fastpath.training.loop import Training
from scenarios.support.trials import Network, scored

type Signs = Literal[
    "free", "excitatory", "inhibitory", "by input", "interneurons", "by unit"
]
EXCITATORY = 0.8  # the share of inputs, or of units, with excitatory synapses
FIELDS = 16  # receptive fields that are kept


@dataclass(frozen=True, kw_only=True)
class Signed(Network):
    """Units trained under a sign constraint; with 0 epochs the control, random weights."""

    signs: Signs
    p: float
    competition: Ranking
    training: Training
    readout: Readout
    num_interneurons: int = 0

    def compute(self) -> xr.Dataset:
        """Return errors, the largest number of wrong signs, and some receptive fields."""
        images, split, generator = self.begin()
        relay, wrong = None, []
        if self.signs == "interneurons":
            relay = self.interneurons(split, generator, wrong).balanced(split.x_train)
            split = Split(
                relay.beside(split.x_train),
                split.y_train,
                relay.beside(split.x_eval),
                split.y_eval,
                split.scored_on,
            )
        constraint = self.constraint(split.x_train[0].numel(), generator)
        signs = constraint.signs.numpy() if constraint else np.zeros((1, 1))
        preprocess = self.preprocess if relay is None else Preprocess()
        layer, fitted, history = experiment.learn_features(
            split,
            layer=DenseSettings(num_units=self.num_units, p=self.p, constraint=constraint),
            competition=self.competition,
            training=self.training,
            preprocess=preprocess,
            generator=generator,
            progress=False,
            callbacks=[EachEpoch(counting(signs, wrong))],
        )
        counting(signs, wrong)(0, layer)
        trained = experiment.finish(
            layer,
            fitted,
            history,
            split,
            num_classes=len(images.classes),
            readout=self.readout,
            generator=generator,
            progress=False,
        )
        shown = trained.weights if relay is None else relay.effective(trained.weights)
        return scored(
            trained.metrics,
            split,
            learn_seconds=trained.metrics["train_seconds"],
            wrong_signs=float(max(wrong)),
            fields=(("unit", "pixel"), shown[:FIELDS].cpu().numpy().astype(np.float16)),
        )

    def constraint(self, num_inputs: int, generator: torch.Generator) -> Constraint | None:
        """Return the sign constraint; mixed signs are drawn at random."""

        def drawn(count: int) -> Tensor:
            positive = torch.rand(count, generator=generator) < EXCITATORY
            return torch.where(positive, 1, -1)

        match self.signs:
            case "free":
                return None
            case "excitatory":
                return same_sign(1)
            case "inhibitory":
                return same_sign(-1)
            case "by input":
                return column_signs(drawn(num_inputs))
            case "by unit":
                return row_signs(drawn(self.num_units))
            case "interneurons":
                signs = torch.ones(num_inputs, dtype=torch.int64)
                signs[-self.num_interneurons :] = -1
                return column_signs(signs)

    def interneurons(
        self, split: Split, generator: torch.Generator, wrong: list[int]
    ) -> "Relay":
        """Return interneurons that learned non-negative weights by the same rule.

        After every epoch, the number of weights of the wrong sign is appended to `wrong`.
        """
        layer, fitted, _ = experiment.learn_features(
            split,
            layer=DenseSettings(
                num_units=self.num_interneurons, p=self.p, constraint=same_sign(1)
            ),
            competition=self.competition,
            training=self.training,
            preprocess=self.preprocess,
            generator=generator,
            progress=False,
            callbacks=[EachEpoch(counting(np.ones((1, 1)), wrong))],
        )
        return Relay(layer.weights, fitted)


def counting(signs: NDArray, wrong: list[int]) -> Callable[[int, Layer], None]:
    """Return a callback that appends a layer's number of wrong signs to `wrong`."""

    def count(epoch: int, layer: Layer) -> None:
        wrong.append(int((layer.weights.cpu().numpy() * signs < 0).sum()))

    return count


@dataclass(frozen=True)
class Relay:
    """Feed-forward interneurons between the pixels and the units."""

    weights: Float[Tensor, "interneuron pixel"]
    """W_IX, non-negative."""
    preprocess: FittedPreprocess
    gain: float = 1.0

    def balanced(self, x: Tensor) -> "Relay":
        """Return interneurons whose rates have, on average, the norm of the pixels."""
        inputs = self.beside(x)
        pixels, rates = inputs.split([x[0].numel(), len(self.weights)], dim=1)
        gain = pixels.norm(dim=1).mean() / rates.norm(dim=1).mean()
        return replace(self, gain=float(gain))

    def beside(self, x: Tensor) -> Float[Tensor, "image input"]:
        """Return the inputs of the units: pixels, then rates of the interneurons."""
        blocks = []
        for block in x.split(4096):
            v = self.preprocess(block)
            rates = (v @ self.weights.T).clamp_(min=0).mul_(self.gain)
            blocks.append(torch.cat([v, rates], dim=1))
        return torch.cat(blocks)

    def effective(
        self, weights: Float[Tensor, "unit input"]
    ) -> Float[Tensor, "unit pixel"]:
        """Return W_EX − W_EI W_IX: receptive fields of the units through both pathways."""
        exc, inh = weights.split([self.weights.shape[1], len(self.weights)], dim=1)
        return exc + self.gain * inh @ self.weights
