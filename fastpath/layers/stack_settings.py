"""Settings of a stack: its stages, and the order in which its layers learn."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fastpath import checks
from fastpath.kernels import Name
from fastpath.layers.stack import MOST_IMAGES, Stack
from fastpath.layers.stages import LearningPart, LearningStage, Stage, canonical
from fastpath.layers.stages.reading import num_read


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """The stages of a stack, from the lowest, and the order in which they learn."""

    block: ClassVar[int] = MOST_IMAGES
    """Largest number of images for which features are computed at a time."""

    stages: tuple[Stage, ...]
    greedy: bool = False
    """One layer learns after another, each for all epochs; else all learn at once."""

    def __post_init__(self) -> None:
        checks.fields(self, greedy=checks.flag, stages=_stages)
        learned = False
        for stage in self.stages:
            once = getattr(stage, "fitted_once", False)
            if learned and once and not self.greedy:
                raise ValueError(
                    f"{type(stage).__name__} stands on a layer that learns, and it is "
                    "fitted once: set greedy=True, so that the layers below have learned "
                    "before"
                )
            if isinstance(stage, LearningStage):
                learned = True
                if stage.epochs is not None and not self.greedy:
                    raise ValueError(
                        f"{type(stage).__name__} has epochs of its own, but all layers "
                        "learn at once: set greedy=True, or leave them out"
                    )

    @property
    def num_units(self) -> int:
        """Number of units of the lowest layer that learns."""
        return self.sizes[0]

    def num_epochs(self, epochs: int) -> int:
        """Return the number of epochs of a training, given that of a run."""
        if not self.greedy or not epochs:
            return epochs
        learning = (each for each in self.stages if isinstance(each, LearningStage))
        return sum(epochs if each.epochs is None else each.epochs for each in learning)

    def input_shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shape of an image below each stage, and after the last one.

        Raises
        ------
        ValueError
            If a stage cannot see the outputs of the one below it; the message says which.
        """
        shapes = [canonical(input_shape)]
        for i, stage in enumerate(self.stages, start=1):
            try:
                shapes.append(stage.output_shape(shapes[-1]))
            except ValueError as error:
                name = type(stage).__name__
                raise ValueError(f"stage {i} of the stack, {name}: {error}") from error
        return shapes

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of units of each layer that learns, from the lowest."""
        stages = (each for each in self.stages if isinstance(each, LearningStage))
        return tuple(each.num_units for each in stages)

    def field_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (height, width, channel) of a row of `Stack.weights` as a picture."""
        shapes = self.input_shapes(input_shape)
        return next(
            stage.field_shape(shape)
            for stage, shape in zip(self.stages, shapes, strict=False)
            if isinstance(stage, LearningStage)
        )

    def num_features(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of features that a readout gets."""
        shapes = self.input_shapes(input_shape)
        return num_read(self.stages, shapes, shapes[-1])

    def start(
        self,
        input_shape: tuple[int, ...],
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        kernels: Name | None = None,
    ) -> Stack:
        """Return the stack before training, its weights drawn on the CPU."""
        generator = checks.generator(generator)
        shapes = self.input_shapes(input_shape)
        parts = [
            stage.start(shape, generator=generator, kernels=kernels).to(device)
            for stage, shape in zip(self.stages, shapes, strict=False)
        ]
        return Stack(parts, shapes[0], self)

    def load(self, tensors: dict[str, Tensor], *, input_shape: tuple[int, ...]) -> Stack:
        """Return the stack with the tensors of a finished run."""
        names = self.shapes(input_shape)
        device = tensors[next(iter(names))].device
        stack = self.start(input_shape, generator=torch.Generator(), device=device)
        state = stack.state
        for name, shape in names.items():
            if tensors[name].shape != shape:
                raise ValueError(
                    f"'{name}' has shape {tuple(tensors[name].shape)}, but this stack "
                    f"needs {shape}"
                )
            state[name].copy_(tensors[name])
        for i in stack.learners:
            part = stack.parts[i]
            assert isinstance(part, LearningPart)
            part.bank.renew()
        return stack

    def shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors that `load` needs, by name."""
        shapes = self.input_shapes(input_shape)
        return {
            f"{i}.{name}": of_tensor
            for i, (stage, shape) in enumerate(zip(self.stages, shapes, strict=False))
            for name, of_tensor in stage.shapes(shape).items()
        }

    def memory(self, input_shape: tuple[int, ...], *, batch_size: int) -> dict[str, int]:
        """Return the bytes that training holds beside the images, by what holds them."""
        shapes = self.input_shapes(input_shape)
        of_step = sum(
            stage.step_size(shape)
            for stage, shape in zip(self.stages, shapes, strict=False)
        )
        weights = sum(math.prod(shape) for shape in self.shapes(input_shape).values())
        return {"weights": 4 * 4 * weights, "mini-batch": 4 * batch_size * of_step}


def _stages(name: str, value: Any) -> tuple[Stage, ...]:
    if not isinstance(value, tuple | list):
        raise ValueError(f"{name} is {checks.quoted(value)}: a tuple of stages is needed")
    for i, each in enumerate(value, start=1):
        if not isinstance(each, Stage) or isinstance(each, type):
            raise ValueError(
                f"stage {i} of the stack is {checks.quoted(each)}: an object from "
                "fastpath.layers.stages is needed, such as MaxPool(size=2)"
            )
    stages = tuple(value)
    if not any(isinstance(each, LearningStage) for each in stages):
        raise ValueError(
            "no stage of the stack learns: add a Convolution or a FullyConnected stage"
        )
    return stages
