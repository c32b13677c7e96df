"""Readouts of several layers of a stack: against loops, saved, exported, with controls."""

import numpy as np
import pytest
import torch

from fastpath.baselines.end_to_end import Backprop
from fastpath.baselines.stacks import backprop_stack
from fastpath.competition import Ranking
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    FullyConnected,
    MaxPool,
    Read,
    Triangle,
)
from fastpath.readout import Readout
from fastpath.runs.folder import open_run
from tests.fastpath.contracts import configured, executed
from tests.fastpath.stage_loops import images_of, normal, seeded

SHAPE = (8, 6, 2)
STAGES = (
    Convolution(num_units=5, kernel_size=3, padding=1),
    Triangle(),
    MaxPool(size=2),
    Read(grid=2),
    BatchNorm(),
    Convolution(num_units=4, kernel_size=2),
    Read(),
    FullyConnected(num_units=3),
    Read(),
)
SIZE = 2 * 2 * 5 + 3 * 2 * 4 + 3


def averaged(x, grid):
    """Return the means over regions, a loop over images and regions."""
    rows, columns = (np.linspace(0, n, grid + 1) for n in x.shape[1:3])
    out = np.zeros((len(x), grid, grid, x.shape[3]))
    for i in range(grid):
        for j in range(grid):
            top, bottom = int(np.floor(rows[i])), int(np.ceil(rows[i + 1]))
            left, right = int(np.floor(columns[j])), int(np.ceil(columns[j + 1]))
            out[:, i, j] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    return out.reshape(len(x), -1)


def test_features_are_the_outputs_at_all_views():
    settings = StackSettings(stages=STAGES)
    stack = settings.start(SHAPE, generator=seeded())
    v = torch.rand(7, 8 * 6 * 2, generator=seeded())
    outputs = stack.outputs(v, [2, 5, 7])
    expected = np.concatenate(
        [
            averaged(outputs[2].double().numpy(), 2),
            outputs[5].flatten(1).numpy(),
            outputs[7].numpy(),
        ],
        axis=1,
    ).clip(min=0)
    assert settings.num_features(SHAPE) == SIZE == expected.shape[1]
    found = stack.features(v, power=1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(stack.features(v, power=2.0), expected**2, rtol=1e-4)
    assert torch.equal(stack.to_module(power=1.0)(v), found)


def test_regions_of_unequal_size_overlap():
    part = Read(grid=2).start((5, 3, 4), generator=seeded(), kernels=None)
    x = normal(3, 5, 3, 4)
    assert part(x) is x
    np.testing.assert_allclose(part.read(x), averaged(x.numpy(), 2), rtol=0, atol=1e-12)


def test_views_change_nothing_that_is_learned():
    x = images_of(30, *SHAPE)
    fitted = Preprocess().fit(x)
    with_views, without = (
        StackSettings(stages=stages).start(SHAPE, generator=seeded())
        for stages in (STAGES, tuple(each for each in STAGES if not isinstance(each, Read)))
    )
    for stack in (with_views, without):
        stack.begin_phase(0, x, fitted, resumed=False)
        stack.learn(fitted(x), Ranking(), lr=0.1)
        stack.end(x, fitted)
    for one, other in zip(with_views.state.values(), without.state.values(), strict=True):
        assert torch.equal(one, other)


def test_a_run_reads_all_layers_and_is_opened_again(tmp_path):
    stages = (
        Convolution(num_units=6, kernel_size=3),
        Triangle(),
        Read(grid=3),
        MaxPool(size=2),
        Convolution(num_units=5, kernel_size=2),
        Read(),
    )
    config = configured(layer=StackSettings(stages=stages))
    trained = executed(config, tmp_path / "run")
    assert trained.head.weights.shape[1] == 3 * 3 * 6 + 2 * 2 * 5
    opened = open_run(tmp_path / "run")
    v = torch.rand(4, 64, generator=seeded())
    expected = trained.layer.features(v, power=1.0)
    assert torch.equal(opened.layer.features(v, power=1.0), expected)


def test_back_propagation_sees_all_layers():
    """The lowest filters get a gradient though the readout does not see the last layer."""
    stages = (
        Convolution(num_units=4, kernel_size=3),
        Read(grid=1),
        Convolution(num_units=3, kernel_size=2),
    )
    x = images_of(60, *SHAPE)
    x[::2] = x[::2] // 8  # dark and bright
    split = Split(x, torch.arange(60) % 2, x[:10], torch.arange(10) % 2, "test")
    stack = StackSettings(stages=stages).start(SHAPE, generator=seeded())
    before = [part.weights.clone() for part in (stack.parts[0], stack.parts[2])]
    backprop_stack(
        stack,
        split,
        num_classes=2,
        backprop=Backprop(epochs=2, batch_size=20),
        preprocess=Preprocess().fit(x),
        generator=seeded(),
        progress=False,
    )
    assert not torch.allclose(stack.parts[0].weights, before[0], atol=1e-4)
    assert torch.allclose(stack.parts[2].weights, before[1])


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ((STAGES[0], Read(grid=7)), "grid is 7, but the outputs to read have 8 x 6 positi"),
        ((FullyConnected(num_units=3), Read(grid=1)), "Read needs images of"),
    ],
)
def test_views_that_do_not_fit_are_refused(stages, reason):
    with pytest.raises(ValueError, match=f"stage 2 of the stack, Read: {reason}"):
        StackSettings(stages=stages).num_features(SHAPE)


def test_a_grid_is_a_count():
    with pytest.raises(ValueError, match="grid is 0: "):
        Read(grid=0)


def test_a_readout_of_a_stack_without_views_sees_the_last_stage():
    stack = StackSettings(stages=STAGES[:3]).start(SHAPE, generator=seeded())
    v = torch.rand(2, 8 * 6 * 2, generator=seeded())
    expected = stack.outputs(v, [2])[2].flatten(1)
    assert torch.equal(stack.features(v, power=Readout().power), expected.pow(4.5))
