"""Several layers on top of each other, with what stands between them.

The layers learn all at once, each from the outputs that the layers below have in the same
mini-batch, or one after another, each from the finished layers below. Nothing goes back
from a layer to those below it.
"""

import copy
import functools
import math
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.data.preprocess import FittedPreprocess
from fastpath.layers.inputs import prepared
from fastpath.layers.stages import LearningPart, LearningStage, Part, canonical
from fastpath.layers.stages.reading import read
from fastpath.plasticity import Normalize, check_normalize
from fastpath.training.distributed import Team

# Numbers that a part may hold for a block of images: 64 MB, which caches do not hold
# either, and more images at a time are no faster.
BLOCK_SIZE = 2**24
MOST_IMAGES = 256


class Stack:
    """Layers at work: see the module. `StackSettings.start` returns one.

    Parameters
    ----------
    parts
        The started stages, from the lowest.
    input_shape
        (height, width, channel) of an image, or (pixel,).
    settings
        A `StackSettings`.
    """

    def __init__(
        self, parts: list[Part], input_shape: tuple[int, ...], settings: Any
    ) -> None:
        self.parts = parts
        self.input_shape = tuple(input_shape)
        self.settings = settings
        self._phase = 0

    @cached_property
    def learners(self) -> list[int]:
        """The indices of the parts that learn, from the lowest."""
        return [i for i, part in enumerate(self.parts) if isinstance(part, LearningPart)]

    @property
    def first(self) -> LearningPart:
        """The lowest part that learns."""
        part = self.parts[self.learners[0]]
        assert isinstance(part, LearningPart)
        return part

    @property
    def weights(self) -> Float[Tensor, "unit input"]:
        """The receptive fields of the lowest layer that learns."""
        return self.first.weights

    @property
    def p(self) -> float:
        """Exponent of the norm of a row that the history shows."""
        return self.first.bank.p

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors that learning changes, by the index of their stage and their name."""
        return {
            f"{i}.{name}": tensor
            for i, part in enumerate(self.parts)
            for name, tensor in part.named_buffers()
        }

    @cached_property
    def flop(self) -> int:
        """Number of operations for the features of an image."""
        total, shape = 0, self.input_shape
        for stage in self.settings.stages:
            after = stage.output_shape(shape)
            if isinstance(stage, LearningStage):
                outputs = math.prod(after[:-1]) * stage.num_units
                total += 2 * outputs * stage.num_inputs(shape)
            shape = after
        return total

    @cached_property
    def block(self) -> int:
        """Number of images for which features are computed at a time."""
        most = max(
            stage.step_size(shape)
            for stage, shape in zip(
                self.settings.stages,
                self.settings.input_shapes(self.input_shape),
                strict=False,
            )
        )
        return min(MOST_IMAGES, max(1, BLOCK_SIZE // most))

    def capturable(self, competition: Competition) -> bool:
        """Return whether a step never waits for the device, so that a graph can hold it."""
        stages = (each for each in self.settings.stages if isinstance(each, LearningStage))
        return all(
            getattr(each.competition or competition, "capturable", False)
            and not each.orthogonal
            for each in stages
        )

    def phases(self, epochs: int) -> list[int]:
        """Return the number of epochs of each phase: of each layer in turn if greedy."""
        if not self.settings.greedy:
            return [epochs]
        own = (self.settings.stages[i].epochs for i in self.learners)
        return [epochs if n is None or not epochs else n for n in own]

    @isolated(grad=False)
    def begin_phase(
        self,
        phase: int,
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
        *,
        resumed: bool,
    ) -> None:
        """Choose the layers that learn now; fit what stands below them."""
        self._phase = phase
        if resumed:  # the state has it all
            return
        if self.settings.greedy:
            below = self.learners[phase - 1] if phase else -1
            indices = range(below + 1, self.learners[phase] + 1)
        else:
            # Those by batch can wait for the end, unless one that cannot stands on them.
            stages = self.settings.stages[: self.learners[0] + 1]
            once = [getattr(stage, "fitted_once", False) for stage in stages]
            indices = range(max((i + 1 for i, each in enumerate(once) if each), default=0))
        self._fit(indices, x, preprocess)

    @isolated(grad=False)
    def end(self, x: Num[Tensor, "image *shape"], preprocess: FittedPreprocess) -> None:
        """Fit what depends on the final weights to all training images."""
        last = range(self.learners[-1] + 1, len(self.parts))
        by_batch = (i for i, part in enumerate(self.parts) if part.by_batch)
        indices = last if self.settings.greedy else sorted({*last, *by_batch})
        self._fit(indices, x, preprocess)

    def _fit(
        self,
        indices: Iterable[int],
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
    ) -> None:
        for i in indices:
            self.parts[i].fit(functools.partial(self._outputs_below, i, x, preprocess))

    def _outputs_below(
        self, i: int, x: Num[Tensor, "image *shape"], preprocess: FittedPreprocess
    ) -> Iterator[Tensor]:
        for block in x.split(self.block):
            yield self._forward(self._shaped(preprocess(block)), i)

    def _forward(self, x: Tensor, stop: int | None = None) -> Tensor:
        for part in self.parts[:stop]:
            x = part(x)
        return x

    def _shaped(
        self, images: Float[Tensor, "image pixel"]
    ) -> Float[Tensor, "image *shape"]:
        images = checks.tensor("images", images)
        if images.ndim != 2 or images.shape[1] != math.prod(self.input_shape):
            raise ValueError(
                f"the images have shape {tuple(images.shape)}, but this stack sees images "
                f"of {self.input_shape}, flattened: (image, {math.prod(self.input_shape)})"
            )
        if (images.device, images.dtype) != (self.weights.device, self.weights.dtype):
            raise ValueError(
                f"the images are {images.dtype} on {images.device}, the weights "
                f"{self.weights.dtype} on {self.weights.device}: they must be alike"
            )
        return images.view(len(images), *self.input_shape)

    @isolated(grad=False)
    def prepare(
        self,
        x: Num[Tensor, "all *shape"],
        index: Int[Tensor, " image"],
        preprocess: FittedPreprocess,
    ) -> Float[Tensor, "image pixel"]:
        """Return the input rates of images x[index]; the next call reuses the memory.

        Raises
        ------
        ValueError
            If the images have another size, or an argument another number format.
        IndexError
            If there are no such images.
        """
        x, index = checks.images("x", x), checks.tensor("index", index)
        num_pixels = math.prod(self.input_shape)
        if canonical(x.shape[1:]) not in (self.input_shape, (num_pixels,)):
            raise ValueError(
                f"the images are {tuple(x.shape[1:])}, but this stack sees images of "
                f"{self.input_shape}: make them alike"
            )
        bank = self.first.bank
        out = bank.buffer("images", index.numel(), num_pixels)
        return prepared(x, index, preprocess, kernels=bank.kernels, out=out)

    @isolated(grad=False)
    def outputs(
        self, images: Float[Tensor, "image pixel"], stages: Collection[int]
    ) -> dict[int, Float[Tensor, "image *shape"]]:
        """Return the outputs of the stages with these indices, by their index.

        Raises
        ------
        ValueError
            If the images have another size, number format or device.
        """
        x, found = self._shaped(images), {}
        for i, part in enumerate(self.parts[: max(stages, default=-1) + 1]):
            x = part(x)
            if i in stages:
                found[i] = x
        return found

    @isolated(grad=False)
    def drive(
        self, images: Float[Tensor, "image pixel"]
    ) -> Float[Tensor, "image *position unit"]:
        """Return the drive of the last layer at each position."""
        last = self.parts[self.learners[-1]]
        assert isinstance(last, LearningPart)
        rows, dims = last.rows(self._forward(self._shaped(images), self.learners[-1]))
        return last.bank.product(rows).clone().unflatten(0, dims)

    @isolated(grad=False)
    def learn(
        self,
        images: Float[Tensor, "image pixel"],
        competition: Competition,
        *,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize = "max",
        team: Team | None = None,
    ) -> None:
        """Change the weights of the layers that learn now by one mini-batch.

        `competition` serves the layers that have none of their own. A `team` shares the
        images of the mini-batch; ΔW is summed over its processes.

        Raises
        ------
        ValueError
            If the images have another size, number format or device, fewer units compete
            than a competition needs, or lr is not a finite number.
        """
        if not isinstance(lr, Tensor) and not math.isfinite(lr := checks.number("lr", lr)):
            raise ValueError(f"lr is {lr}: the step size must be finite")
        normalize = check_normalize("normalize", normalize)
        x = self._shaped(images)
        x = x if team is None else x[team.share(len(x))]
        greedy = self.settings.greedy
        last = self.learners[self._phase if greedy else -1]
        for i, part in enumerate(self.parts[: last + 1]):
            if isinstance(part, LearningPart) and (i == last or not greedy):
                x = part.learn(
                    x,
                    competition,
                    lr=lr,
                    normalize=normalize,
                    team=team,
                    outputs=i < last,
                )
            else:
                x = part(x) if greedy else part.learning(x, team)

    @isolated(grad=False)
    def features(
        self, images: Float[Tensor, "image pixel"], *, power: float
    ) -> Float[Tensor, "image feature"]:
        """Return what the readout sees, numbers below 0 set to 0, to this power.

        These are the outputs of the last stage, or those at the stages `Read`.

        Raises
        ------
        ValueError
            If the images have another size, number format or device.
        """
        x = read(self.parts, self._shaped(images)).clamp(min=0)
        return x if power == 1 else x.pow_(power)

    def to_module(self, *, power: float) -> nn.Module:
        """Return `features` as an `nn.Module`."""
        parts = [copy.deepcopy(part) for part in self.parts]
        return StackFeatures(parts, self.input_shape, power, block=self.block)


class StackFeatures(nn.Module):
    """Input rates to the features of a stack, at best of `block` images at a time."""

    def __init__(
        self,
        parts: list[Part],
        input_shape: tuple[int, ...],
        power: float,
        *,
        block: int,
    ) -> None:
        super().__init__()
        self.input_shape, self.power, self.block = input_shape, power, block
        self.parts = nn.Sequential(*parts)

    def forward(self, v: Float[Tensor, "image pixel"]) -> Float[Tensor, "image feature"]:
        """Return the features."""
        x = read(self.parts, v.unflatten(1, self.input_shape)).clamp(min=0)
        return x if self.power == 1 else x.pow(self.power)
