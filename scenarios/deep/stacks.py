"""The stacks of the study: layers of SoftHebb, and what is changed in them.

Source of the layers for CIFAR-10: A. Journé et al., ICLR 2023 (`4SoftHebbCnnCIFAR`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastpath.competition import Soft
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    LearningStage,
    MaxPool,
    Read,
    Stage,
    Triangle,
)
from fastpath.training.loop import Training

# One epoch, mini-batches of 10 images, as published.
SOFTHEBB = Training(epochs=1, batch_size=10, lr=0.08)
INITIAL_NORM = 25.0
NORM = BatchNorm()
OVERLAPPING = MaxPool(size=4, stride=2, padding=1)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: its filters, activation and pooling."""

    num_units: int
    kernel_size: int = 3
    temperature: float = 1.0
    """Of the softmax, in units of the drive."""
    lr_scale: float = 1.0
    """Step size, in units of that of the first layer."""
    power: float = 1.0
    """Exponent of the triangle activation."""
    pool: Stage = OVERLAPPING
    grid: int | None = 4
    """The readout sees means over grid x grid regions [all positions]."""
    margin: int = 0
    """Units beyond each edge of the inputs, which are reflected there."""

    @property
    def filters(self) -> Convolution:
        """The stage that learns, with SoftHebb's rule."""
        return Convolution(
            num_units=self.num_units,
            kernel_size=self.kernel_size,
            padding=self.kernel_size // 2 + self.margin,
            padding_mode="reflect",
            competition=Soft(temperature=self.temperature, anti=True),
            lr_scale=self.lr_scale,
            rate_power=0.5,
            initial_norm=INITIAL_NORM,
        )


def layers(first: int) -> tuple[Layer, Layer, Layer]:
    """Return SoftHebb's layers; each has four times as many filters as the one below."""
    return (
        Layer(num_units=first, kernel_size=5, power=0.7),
        Layer(num_units=4 * first, temperature=1 / 0.65, lr_scale=1 / 16, power=1.4),
        Layer(
            num_units=16 * first, temperature=4.0, lr_scale=1 / 8, pool=AveragePool(size=2)
        ),
    )


type Change = Callable[[int, Convolution], Sequence[Stage]]


def stack(
    chosen: Sequence[Layer],
    *,
    norm: BatchNorm = NORM,
    change: Change = lambda _, filters: [filters],
    greedy: bool = False,
) -> StackSettings:
    """Return a stack in which a readout can see each layer.

    Parameters
    ----------
    norm
        Normalization of the inputs of each layer.
    change
        Returns the stages of a layer from its inputs to its units, given its index from 0
        and SoftHebb's filters.
    """
    stages: list[Stage] = []
    for index, layer in enumerate(chosen):
        stages += [norm, *change(index, layer.filters), Triangle(power=layer.power)]
        stages += [layer.pool, Read(grid=layer.grid)]
    return StackSettings(stages=tuple(stages), greedy=greedy)


def changed(settings: StackSettings, **filters: Any) -> StackSettings:
    """Return a stack whose filters all have these settings."""
    stages = tuple(
        replace(stage, **filters) if isinstance(stage, LearningStage) else stage
        for stage in settings.stages
    )
    greedy = settings.greedy or any(getattr(stage, "fitted_once", 0) for stage in stages)
    return replace(settings, stages=stages, greedy=greedy)
