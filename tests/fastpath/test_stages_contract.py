"""A stage from outside the package joins by one line in `stages.KINDS`."""

import math
from dataclasses import dataclass

import pytest
import torch

import fastpath
from fastpath.cli import main
from fastpath.competition import KINDS, Soft
from fastpath.layers import StackSettings, stages
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    LearningPart,
    LearningStage,
    MaxPool,
    Part,
    Triangle,
)
from fastpath.runs import storage
from fastpath.runs.config import RunConfig
from fastpath.runs.folder import open_run
from fastpath.training.loop import Training
from tests.fastpath.contracts import Threshold, configured, executed
from tests.fastpath.stage_loops import normal, seeded


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A stage from outside that is nothing but the protocol: columns in reverse."""

    gain: float = 2.0

    def output_shape(self, input_shape):
        return input_shape

    def start(self, input_shape, *, generator, kernels):
        return FlipPart(self.gain)

    def shapes(self, input_shape):
        return {}

    def step_size(self, input_shape):
        return math.prod(input_shape)


class FlipPart(Part):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * x.flip(2)


@dataclass(frozen=True, kw_only=True)
class LargestOne:
    """A stage from outside that is fitted: divide by the largest input of all images."""

    fitted_once = True

    def output_shape(self, input_shape):
        return input_shape

    def start(self, input_shape, *, generator, kernels):
        return LargestOnePart()

    def shapes(self, input_shape):
        return {"largest": ()}

    def step_size(self, input_shape):
        return math.prod(input_shape)


class LargestOnePart(Part):
    def __init__(self):
        super().__init__()
        self.register_buffer("largest", torch.ones(()))

    def forward(self, x):
        return x / self.largest

    def fit(self, blocks):
        self.largest.copy_(max(block.amax() for block in blocks()))


@dataclass(frozen=True, kw_only=True)
class Pixelwise(LearningStage):
    """A stage from outside that learns: units that see one position, all its channels."""

    def num_inputs(self, input_shape):
        return input_shape[-1]

    def output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_units)

    def start(self, input_shape, *, generator, kernels):
        bank = self.bank(input_shape, generator=generator, kernels=kernels)
        return PixelwisePart(bank, self)

    def step_size(self, input_shape):
        return math.prod(input_shape) + 2 * math.prod(self.output_shape(input_shape))


class PixelwisePart(LearningPart):
    def inputs(self, x):
        return x.flatten(0, -2).contiguous(), x.shape[:-1]

    def forward(self, x):
        return x @ self.weights.T


OURS = {"flip": Flip, "largest one": LargestOne, "pixelwise": Pixelwise}


@pytest.fixture
def listed(monkeypatch):
    for name, kind in OURS.items():
        monkeypatch.setitem(stages.KINDS, name, kind)


def config_of(*, greedy):
    own = Threshold()
    layer = StackSettings(
        greedy=greedy,
        stages=(
            LargestOne(),
            Convolution(num_units=4, kernel_size=3, competition=own),
            Flip(gain=0.5),
            Triangle(),
            *([LargestOne()] if greedy else []),
            BatchNorm(),
            Pixelwise(num_units=6, competition=own, p=3.0),
            MaxPool(size=3),
        ),
    )
    return configured(layer=layer, training=Training(epochs=2, batch_size=250))


@pytest.mark.parametrize(
    ("greedy", "calls"),
    [
        (False, 0),
        (True, 0),
        (True, 15),
    ],
)
def test_it_is_saved_resumed_opened_and_exported(
    greedy, calls, listed, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    config = config_of(greedy=greedy)
    assert RunConfig.from_json(config.as_json(), tmp_path) == config
    whole = executed(config, tmp_path / "whole")
    if calls:
        Threshold.calls.append(calls)
        with pytest.raises(KeyboardInterrupt):
            executed(config, tmp_path / "run")
        main(["resume", str(tmp_path / "run")])
    else:
        executed(config, tmp_path / "run")
    ours, theirs = (
        storage.load_tensors(tmp_path / name / storage.WEIGHTS) for name in ("run", "whole")
    )
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    for name in ("0.largest", "4.largest") if greedy else ("0.largest",):
        assert theirs[name] != 1
    capsys.readouterr()
    main(["evaluate", str(tmp_path / "run")])
    assert f"{whole.metrics['test_error']:.2f} %" in capsys.readouterr().out
    model = fastpath.load_model(tmp_path / "run")
    assert model.layer == config.layer
    x = torch.from_numpy(fastpath.load("digits").x_test[:9])
    module = open_run(tmp_path / "run").to_module()
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x), rtol=0, atol=1e-5)


def test_it_computes_what_it_says():
    settings = StackSettings(stages=(Flip(), Pixelwise(num_units=5, competition=Soft())))
    stack = settings.start((3, 4, 2), generator=seeded())
    x = normal(6, 3, 4, 2, dtype=torch.float32)
    expected = 2 * x.flip(2) @ stack.weights.T
    torch.testing.assert_close(stack.drive(x.flatten(1)), expected)
    found = stack.features(x.flatten(1), power=1.0)
    torch.testing.assert_close(found, expected.clamp(min=0).flatten(1))
    assert stack.flop == 2 * 12 * 5 * 2


def test_one_that_is_not_listed_is_not_saved():
    layer = StackSettings(stages=(Flip(), Convolution(num_units=4, kernel_size=3)))
    with pytest.raises(ValueError, match=r"stages is Flip.*Add the class.* KINDS"):
        configured(layer=layer)


def test_one_that_is_fitted_once_stands_on_no_layer_that_learns_at_the_same_time():
    layers = Pixelwise(num_units=3), LargestOne(), Pixelwise(num_units=4)
    with pytest.raises(ValueError, match="LargestOne stands on a layer that learns"):
        StackSettings(stages=layers)
    StackSettings(stages=layers, greedy=True)
