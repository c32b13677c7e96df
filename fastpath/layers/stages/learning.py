"""Stages with units that learn: their settings and the step they have in common."""

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition, Rule
from fastpath.kernels import Name
from fastpath.layers.bank import EQ_3, Bank
from fastpath.layers.constraints import Constraint, column_signs
from fastpath.layers.stages import starts
from fastpath.layers.stages.base import Blocks, Part, Shape
from fastpath.layers.stages.whitening import Whitening
from fastpath.plasticity import Normalize, Plasticity, check_exponent
from fastpath.training.distributed import Team

RESPONSES = ("product", "cosine")


@dataclass(frozen=True, kw_only=True)
class LearningStage:
    """Settings of a stage with units that learn."""

    num_units: int
    p: float = 2.0
    """Exponent of the metric (K&H 2019, eq. 2), 2 or more."""
    competition: Competition | None = None
    """Which units learn from an input [the competition of the run]."""
    plasticity: Plasticity = EQ_3
    """The learning rule."""
    lr_scale: float = 1.0
    """Step size of this stage, in units of that of the run."""
    epochs: int | None = None
    """Epochs of this stage, where one layer learns after another [those of the run].
    0: it keeps its start, and what stands below it is fitted as ever. So random upper
    layers are a control for those that learn."""
    rate_power: float = 0.0
    """The step size of unit u is ε |‖W_u‖ − 1|^rate_power (SoftHebb: 1/2)."""
    initial_norm: float | None = None
    """Weights start from N(0, initial_norm² / inputs), so that rows are about as long
    (SoftHebb: 25) [N(0, 1), as published by K&H]."""
    start_from: str = "normal"
    """How weights start: "normal", or as the controls "orthogonal", "patches" (random
    whitened training patches) or "kmeans" (their clusters): see `starts`."""
    orthogonal: bool = False
    """Orthonormalize the rows at the start and after each step (Gram–Schmidt)."""
    response: str = "product"
    """Output of a unit: "product" W_u·v, or "cosine" of W_u and v, for any p."""
    whiten: float | None = None
    """ε of the ZCA whitening of what the units see, fitted once, before they learn: see
    `whitening` (0.01 of the mean variance, say) [no whitening]."""
    inhibitory: int | None = field(default=None, metadata={"neutral": None})
    """Dale's law: the last so many channels of the inputs are inhibitory, with weights of 0
    or less, all others excitatory, with weights of 0 or more [weights of both signs]. See
    `Interneurons`."""

    def __post_init__(self) -> None:
        checks.fields(
            self,
            num_units=checks.count,
            p=check_exponent,
            lr_scale=checks.positive,
            rate_power=checks.not_negative,
            orthogonal=checks.flag,
            start_from=checks.one_of(*starts.NAMES),
            response=checks.one_of(*RESPONSES),
        )
        checks.instance("plasticity", self.plasticity, Plasticity)
        if self.competition is not None:
            checks.competition(self.competition)
        if self.epochs is not None:
            checks.fields(self, epochs=functools.partial(checks.count, least=0))
        if isinstance(self.competition, Rule):
            self.competition.check(self.num_units)
        if self.initial_norm is not None:
            checks.fields(self, initial_norm=checks.positive)
        if self.inhibitory is not None:
            checks.fields(self, inhibitory=functools.partial(checks.count, least=0))
            self._check_signs()
        if self.whiten is not None:
            checks.fields(self, whiten=checks.positive)
            if self.response != "product":
                raise ValueError(
                    f"whiten is {self.whiten} and response '{self.response}': whitened "
                    "inputs need response 'product', or leave out one of them"
                )

    def _check_signs(self) -> None:
        against = {
            f"start_from '{self.start_from}'": self.start_from != "normal",
            f"whiten {self.whiten}": self.whiten is not None,
            "orthogonal": self.orthogonal,
        }
        if wrong := [name for name, given in against.items() if given]:
            raise ValueError(
                f"inhibitory is {self.inhibitory}, so that weights keep their signs, which "
                f"{' and '.join(wrong)} would change: leave out one of them"
            )

    @property
    def fitted_once(self) -> bool:
        """Whether the layers below must have learned before this stage starts."""
        return self.start_from in starts.FROM_PATCHES or self.whiten is not None

    def num_inputs(self, input_shape: Shape) -> int:
        """Return the number of inputs of a unit, its weights."""
        raise NotImplementedError

    def field_shape(self, input_shape: Shape) -> Shape:
        """Return (height, width, channel) of a unit's weights as a picture: one line."""
        return 1, self.num_inputs(input_shape), 1

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the weights (unit, input), and of what whitens."""
        num_inputs = self.num_inputs(input_shape)
        shapes: dict[str, Shape] = {"weights": (self.num_units, num_inputs)}
        if self.whiten is not None:
            shapes["whitening.mean"] = (num_inputs,)
            shapes["whitening.matrix"] = (num_inputs, num_inputs)
        return shapes

    def constraint(self, input_shape: Shape) -> Constraint | None:
        """Return the signs of the weights under Dale's law, or None.

        Raises
        ------
        ValueError
            If there are fewer channels than inhibitory ones.
        """
        if self.inhibitory is None:
            return None
        channels = input_shape[-1]
        if self.inhibitory > channels:
            raise ValueError(
                f"inhibitory is {self.inhibitory}, but the inputs have {channels} "
                f"channels: take at most {channels}"
            )
        signs = torch.ones(channels, dtype=torch.int64)
        signs[channels - self.inhibitory :] = -1
        return column_signs(signs.repeat(self.num_inputs(input_shape) // channels))

    def bank(
        self, input_shape: Shape, *, generator: torch.Generator, kernels: Name | None
    ) -> Bank:
        """Return the units with random weights, on the CPU and in float32."""
        num_inputs = self.num_inputs(input_shape)
        weights = torch.randn(self.num_units, num_inputs, generator=generator)
        if self.initial_norm is not None:
            weights *= self.initial_norm / num_inputs**0.5
        if self.start_from == "orthogonal":
            weights = starts.orthogonal(weights)
        constraint = self.constraint(input_shape)
        if constraint is not None:
            weights = constraint.mirrored(weights)
        return Bank(
            weights,
            p=self.p,
            constraint=constraint,
            plasticity=self.plasticity,
            rate_power=self.rate_power,
            orthogonal=self.orthogonal,
            kernels=kernels,
        )


class LearningPart(Part):
    """Units that learn. The buffer `weights` (unit, input) is that of the bank."""

    weights: Tensor

    def __init__(
        self,
        bank: Bank,
        settings: LearningStage,
        generator: torch.Generator | None = None,
    ) -> None:
        """Take a bank; `generator` is needed where `fit` draws patches."""
        super().__init__()
        self.settings = settings
        self.whitening = None
        if settings.whiten is not None:
            self.whitening = Whitening(bank.weights.shape[1], settings.whiten)
        self._seed = None
        if settings.fitted_once:
            generator = checks.generator(generator)
            self._seed = int(torch.randint(2**62, (), generator=generator))
        self._hold(bank)

    def _hold(self, bank: Bank) -> None:
        self.bank = bank
        for name, tensor in bank.state.items():
            self.register_buffer(name, tensor, persistent=name == "weights")

    def _apply(self, fn: Any, recurse: bool = True) -> "LearningPart":
        """Move the bank along, to another device or number format."""
        super()._apply(fn, recurse)
        self._hold(self.bank.like(self.weights))
        return self

    @isolated(grad=False, numpy=True)
    def fit(self, blocks: Blocks) -> None:
        """Whiten training patches, and start from them, where the settings say so."""
        if self._seed is None:
            return
        generator = torch.Generator().manual_seed(self._seed)
        most = max(self.bank.num_units, starts.SAMPLE_SIZE // self.weights.shape[1])
        samples = self._sampled(blocks, min(starts.NUM_SAMPLES, most), generator)
        if self.whitening is not None:
            self.whitening.fit(samples)
            samples = self.whitening(samples)
        if start := starts.FROM_PATCHES.get(self.settings.start_from):
            self.weights.copy_(start(samples, self.bank.num_units, generator))
            self.bank.renew()

    def _sampled(
        self, blocks: Blocks, most: int, generator: torch.Generator
    ) -> Float[Tensor, "row input"]:
        """Return rows at random, about equally many of each image."""
        num_images = sum(len(block) for block in blocks())
        samples = []
        for block in blocks():
            rows, _ = self.inputs(block)
            share = -(-most * len(block) // num_images)
            chosen = torch.randperm(len(rows), generator=generator)[:share]
            samples.append(rows[chosen.to(rows.device)])
        found = torch.cat(samples)[:most]
        from_patches = self.settings.start_from in starts.FROM_PATCHES
        if from_patches and len(found) < self.bank.num_units:
            raise ValueError(
                f"start_from is '{self.settings.start_from}': {self.bank.num_units} units "
                f"need as many training patches, and there are {len(found)}: take fewer "
                "units or more images"
            )
        return found

    def inputs(
        self, x: Float[Tensor, "image *shape"]
    ) -> tuple[Float[Tensor, "row input"], Shape]:
        """Return what comes to the units, and the dims (image, ...) of the rows."""
        raise NotImplementedError

    def rows(
        self, x: Float[Tensor, "image *shape"]
    ) -> tuple[Float[Tensor, "row input"], Shape]:
        """Return what the units learn from: the inputs, whitened if the settings say so."""
        rows, dims = self.inputs(x)
        if self.whitening is None:
            return rows, dims
        return self.whitening(rows, self.bank.buffer("whitened", *rows.shape)), dims

    def filters(self) -> tuple[Float[Tensor, "unit input"], Float[Tensor, " unit"] | None]:
        """Return the filters that see the inputs as they come, and their biases."""
        if self.whitening is None:
            return self.weights, None
        return self.whitening.folded(self.weights)

    def learn(
        self,
        x: Float[Tensor, "image *shape"],
        competition: Competition,
        *,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize,
        team: Team | None,
        outputs: bool = True,
    ) -> Float[Tensor, "image *shape_out"]:
        """Change the weights by one mini-batch; return the outputs before the change.

        Without `outputs` the drive is returned: cosines would cost another product, and
        nothing sees those of the last layer. `competition` serves if the stage has none of
        its own. The next call reuses the memory of what is returned. In a `team`, each
        process passes images of its own.
        """
        rows, dims = self.rows(x)
        own = self.settings.competition
        product = self.settings.response == "product"
        out = None
        if outputs and (not product or self.bank.p != 2):  # the drive is something else
            out = self.respond(rows @ self.weights.T, rows)
        drive = self.bank.step(
            rows,
            self.bank.check_competition(competition if own is None else own),
            lr=lr * self.settings.lr_scale,
            normalize=normalize,
            team=team,
        )
        return (drive if out is None else out).unflatten(0, dims)

    def respond(
        self, product: Float[Tensor, "row unit"], rows: Float[Tensor, "row input"]
    ) -> Float[Tensor, "row unit"]:
        """Return the outputs, given the products W·v."""
        if self.settings.response == "product":
            return product
        return self.as_cosine(product, rows.norm(dim=1, keepdim=True))

    def as_cosine(
        self, product: Float[Tensor, "*row unit"], norms: Float[Tensor, "*row 1"]
    ) -> Float[Tensor, "*row unit"]:
        """Return cosines, given products and the norms of what the units see."""
        return product / (norms * self.weights.norm(dim=1)).clamp(min=1e-12)
