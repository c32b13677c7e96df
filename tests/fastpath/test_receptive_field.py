"""The shape of weights as pictures, and the receptive fields of units in the images."""

from dataclasses import dataclass

import pytest
import torch

from fastpath.competition import Soft
from fastpath.layers import DenseSettings, StackSettings, field_shape
from fastpath.layers.receptive_field import receptive_field
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    FullyConnected,
    MaxPool,
    Rectifier,
    SubtractMean,
    Triangle,
    UnitNorm,
)

SHAPE = (21, 17, 2)


def filters(kernel_size, **settings):
    return Convolution(num_units=3, kernel_size=kernel_size, competition=Soft(), **settings)


STACKS = [
    (filters(3),),
    (filters(5, padding=2), Triangle(), AveragePool(size=2), filters(3, padding=1)),
    (BatchNorm(), filters(4, stride=3, padding=1), Rectifier(), filters(2, stride=2)),
    (SubtractMean(), filters(3), AveragePool(size=3, stride=2, padding=1), filters(3)),
    (filters(3, padding=1, padding_mode="reflect"), Triangle(power=2.0), filters(3)),
]


@pytest.mark.parametrize("stages", STACKS)
def test_an_output_depends_on_the_pixels_of_its_field_alone(stages):
    """Found by changing one pixel after the other, and looking which outputs change."""
    generator = torch.Generator().manual_seed(0)
    stack = StackSettings(stages=stages).start(SHAPE, generator=generator)
    stack.parts = [part.double() for part in stack.parts]
    image = torch.rand(1, *SHAPE, generator=generator, dtype=torch.float64)
    for i in range(len(stages)):
        before = stack.outputs(image.flatten(1), [i])[i][0]
        depends = torch.zeros(2, 21, max(before.shape[:2]), dtype=torch.bool)
        for side, length in enumerate(SHAPE[:2]):
            for pixel in range(length):
                other = image.clone()
                other.select(1 + side, pixel).add_(1e-3 * torch.rand(2, dtype=torch.double))
                changed = stack.outputs(other.flatten(1), [i])[i][0] != before
                positions = changed.any(dim=2).any(dim=1 - side)
                depends[side, pixel, : len(positions)] = positions
        size, stride, start = receptive_field(stages, i)
        for side, length in enumerate(SHAPE[:2]):
            for n in range(before.shape[side]):
                inside = range(start + n * stride, start + n * stride + size)
                expected = [pixel in inside for pixel in range(length)]
                assert depends[side, :length, n].tolist() == expected, (i, side, n)


def test_fields_of_a_known_network():
    stages = (
        filters(5, padding=2),
        MaxPool(size=4, stride=2, padding=1),
        filters(3, padding=1),
        UnitNorm(),
        FullyConnected(num_units=4),
        Rectifier(),
    )
    assert receptive_field(stages, 0) == (5, 1, -2)
    assert receptive_field(stages, 1) == (8, 2, -3)
    assert receptive_field(stages, 2) == receptive_field(stages, 3) == (12, 2, -5)
    assert receptive_field(stages, 4) is None
    assert receptive_field(stages, 5) is None


@dataclass(frozen=True)
class Outside:
    """A stage from outside that says nothing of its windows."""


def test_fields_that_nobody_knows_are_refused():
    with pytest.raises(ValueError, match="Outside has no `window`: give it the size"):
        receptive_field((filters(3), Outside()), 1)
    assert receptive_field((filters(3), Outside()), 0) == (3, 1, 0)
    for i in (-1, 2):
        with pytest.raises(ValueError, match=f"i is {i}: there are stages 0 to 1"):
            receptive_field((filters(3), Outside()), i)


def test_rows_of_weights_as_pictures():
    pools = BatchNorm(), MaxPool(size=2)
    convolution = StackSettings(stages=(*pools, filters(2), filters(2)))
    dense = StackSettings(stages=(*pools, FullyConnected(num_units=4)))
    twice = StackSettings(stages=(FullyConnected(num_units=4),))
    assert field_shape(convolution, (8, 6, 3)) == (2, 2, 3)
    assert field_shape(dense, (8, 6, 3)) == (4, 3, 3)
    assert field_shape(twice, (48,)) == (1, 48, 1)
    assert field_shape(DenseSettings(), (8, 6, 3)) == (8, 6, 3)
    assert field_shape(None, (8, 6)) == (8, 6)
    assert convolution.sizes == (3, 3)
