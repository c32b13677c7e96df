"""The time of a learning step of a convolution layer on the CPU.

The layers are those of SoftHebb's network for CIFAR-10. A step goes from float images to
changed weights. Its floor is the forward convolution alone (oneDNN, channels last). The
rival computes ΔW by a second convolution. All three are timed alternately.
"""

import statistics
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fastpath.competition import Ranking, Soft
from fastpath.layers.stages import Convolution
from scenarios.bench import rivals
from scenarios.bench.learning import in_turn, ratio


class Shape(NamedTuple):
    """Filters, kernel size, channels and image size of a layer."""

    filters: int
    kernel: int
    channels: int
    size: int

    def __str__(self) -> str:
        return f"{self.filters}@{self.kernel}x{self.kernel}x{self.channels}"


SHAPES = (Shape(96, 5, 3, 32), Shape(384, 3, 96, 16), Shape(1536, 3, 384, 8))
BATCHES = (10, 100)
COMPETITIONS: dict[str, Ranking | Soft] = {
    "ranking": Ranking(),
    "soft": Soft(anti=True),
}


def measure() -> list[dict[str, Any]]:
    """Return a row for each layer, mini-batch and competition."""
    return [
        step(shape, batch, name, competition)
        for shape in SHAPES
        for batch in BATCHES
        for name, competition in COMPETITIONS.items()
    ]


def step(
    shape: Shape, batch: int, name: str, competition: Ranking | Soft
) -> dict[str, Any]:
    """Measure a step, the forward convolution and the rival."""
    padding = shape.kernel // 2
    stage = Convolution(
        num_units=shape.filters,
        kernel_size=shape.kernel,
        padding=padding,
        padding_mode="reflect",
        initial_norm=5.0,
        rate_power=0.5 if name == "soft" else 0.0,
    )
    inputs = shape.size, shape.size, shape.channels
    generator = torch.Generator().manual_seed(0)
    part = stage.start(inputs, generator=generator, kernels=None)
    x = torch.randn(batch, *inputs, generator=generator)
    filters = nchw(part.weights, shape)
    images = x.movedim(-1, 1)
    rival, narrow = filters.contiguous(), images.contiguous()
    own_s, forward_s, rival_s = in_turn(
        lambda: part.learn(x, competition, lr=1e-6, normalize="max", team=None),
        lambda: functional.conv2d(images, filters, padding=padding),
        lambda: rivals.by_two_convolutions(
            rival, narrow, padding=padding, competition=competition, lr=1e-6
        ),
    )
    median, low, high = ratio(own_s, forward_s)
    return {
        "layer": str(shape),
        "batch": batch,
        "competition": name,
        "threads": torch.get_num_threads(),
        "step_ms": 1e3 * statistics.median(own_s),
        "forward_ms": 1e3 * statistics.median(forward_s),
        "ratio": median,
        "ratio_q1": low,
        "ratio_q3": high,
        "rival_x": ratio(rival_s, own_s)[0],
    }


def nchw(weights: Tensor, shape: Shape) -> Tensor:
    """Return weights as filters for `conv2d`, in the memory format that is fastest."""
    filters = weights.clone().unflatten(1, (shape.kernel, shape.kernel, -1)).movedim(-1, 1)
    return filters.contiguous(memory_format=torch.channels_last)
