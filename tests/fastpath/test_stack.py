"""Stacks against layers that are trained one after another by hand, and what they fit."""

import copy
import pickle

import numpy as np
import pytest
import torch

from fastpath.competition import Ranking, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, StackSettings
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    Decorrelate,
    FullyConnected,
    MaxPool,
    Rectifier,
    RecurrentInhibition,
    SubtractMean,
    Triangle,
    UnitNorm,
)
from fastpath.layers.stages.fully_connected import FullyConnectedPart
from fastpath.training.loop import Training, train
from tests.fastpath.stage_loops import (
    decorrelation,
    images_of,
    normal,
    normalized,
    patches,
    pooled,
    seeded,
    started,
    triangle,
)

CENTRED = Preprocess(subtract_mean=True, unit_norm=True)


def trained(layer, x, *, preprocess=None, competition=None, generator=None, **training):
    """Train a layer, by default from a generator of its own."""
    preprocess = Preprocess() if preprocess is None else preprocess
    settings = {"epochs": 2, "batch_size": 7} | training
    return train(
        layer,
        x,
        competition=competition or Ranking(),
        training=Training(**settings),
        preprocess=preprocess.fit(x),
        generator=generator or seeded(5),
        progress=False,
    )


@pytest.mark.parametrize(
    ("decorrelate", "own"),
    [
        (False, (None, None, None)),
        (True, (None, None, None)),
        (True, (0, None, None)),
        (True, (None, 0, None)),
        (True, (None, None, 0)),
        (True, (0, 0, 3)),
        (True, (1, 0, 0)),
        (True, (0, 0, 0)),
    ],
)
def test_greedy_dense_stages_are_layers_trained_one_after_another(decorrelate, own):
    """Each layer sees the features of the one below; those of 0 epochs keep their start."""
    x = normal(40, 4, 3, 1).abs()  # rates: a mean of pixels would be rounded to float32
    rules = Ranking(k=2), Ranking(k=3), Soft(temperature=0.1)
    sizes, cosine = (9, 8, 7), {"response": "cosine"}
    epochs = [2 if n is None else n for n in own]
    stages = [
        SubtractMean(),
        UnitNorm(),
        FullyConnected(num_units=9, competition=rules[0], epochs=own[0], **cosine),
        Rectifier(power=2.0),
        *[Decorrelate(ridge=0.2)] * decorrelate,
        SubtractMean(),
        UnitNorm(),
        FullyConnected(num_units=8, p=3.0, competition=rules[1], epochs=own[1], **cosine),
        Rectifier(power=3.0),
        *[Decorrelate(ridge=0.3)] * decorrelate,
        SubtractMean(),
        UnitNorm(),
        FullyConnected(num_units=7, competition=rules[2], epochs=own[2], **cosine),
        Rectifier(power=1.0),
    ]
    stack = started(tuple(stages), (4, 3, 1), greedy=True)
    starts = [stack.parts[i].weights.clone() for i in stack.learners]
    assert stack.phases(2) == epochs
    history = trained(stack, x)
    assert history.sizes["epoch"] == stack.settings.num_epochs(2) == sum(epochs)
    rates = [0.04 * (1 - epoch / n) for n in epochs for epoch in range(n)]
    np.testing.assert_allclose(history["lr"], rates)

    generator, below = seeded(5), x
    for k, (weights, rule, size) in enumerate(zip(starts, rules, sizes, strict=True)):
        if k and decorrelate:
            below = below @ torch.from_numpy(decorrelation(below, (None, 0.2, 0.3)[k]))
        layer = Dense(weights, p=(2.0, 3.0, 2.0)[k])
        fitted = CENTRED.fit(below)
        settings = {"preprocess": CENTRED, "competition": rule, "epochs": epochs[k]}
        trained(layer, below, **settings, generator=generator)
        # Measured 4e-15, with the decorrelation too: cosines are rounded differently.
        ours = stack.parts[stack.learners[k]].weights
        torch.testing.assert_close(ours, layer.weights, rtol=0, atol=1e-11)
        change = (ours - starts[k]).abs().max()
        assert change > 0.03 if epochs[k] else change == 0
        assert ours.shape[0] == size
        v = fitted.to(torch.float64)(below)
        below = layer.features(v, power=(2.0, 3.0, 1.0)[k])
    found = stack.features(x.flatten(1), power=1.0)
    torch.testing.assert_close(found, below, rtol=0, atol=1e-11)


@pytest.mark.parametrize("greedy", [False, True])
def test_what_nothing_sees_is_not_computed(greedy, monkeypatch):
    """Cosines of the last layer that learns would cost a product in every step."""
    kind = {"num_units": 5, "response": "cosine", "p": 3.0}
    stages = FullyConnected(**kind), Rectifier(), FullyConnected(**kind)
    stack = started(stages, (4, 3, 1), greedy=greedy)
    x, seen = images_of(7, 4, 3, 1), []
    respond = FullyConnectedPart.respond
    monkeypatch.setattr(
        FullyConnectedPart,
        "respond",
        lambda part, *args: seen.append(part) or respond(part, *args),
    )
    before = {name: tensor.clone() for name, tensor in stack.state.items()}
    for phase in range(len(stack.phases(1))):
        fitted = Preprocess().fit(x).to(torch.float64)
        stack.begin_phase(phase, x, fitted, resumed=False)
        stack.learn(fitted(x), Ranking(), lr=0.1)
    assert seen == [stack.parts[0]]
    assert not any(torch.equal(before[name], stack.state[name]) for name in before)


def test_greedy_layers_in_float32():
    x = images_of(40, 4, 3, 1)
    stages = (
        FullyConnected(num_units=9, competition=Ranking(k=2)),
        Rectifier(),
        FullyConnected(num_units=8, competition=Ranking(k=3)),
    )
    stack = StackSettings(stages=stages, greedy=True).start((4, 3, 1), generator=seeded(3))
    first, second = (Dense(stack.parts[i].weights) for i in stack.learners)
    trained(stack, x)
    generator = seeded(5)
    trained(first, x, competition=Ranking(k=2), generator=generator)
    assert torch.equal(stack.parts[0].weights, first.weights)
    v = Preprocess().fit(x)(x)
    below = torch.cat([part @ first.weights.T for part in v.split(7)]).clamp(min=0)
    trained(second, below, competition=Ranking(k=3), generator=generator)
    # Measured 0, but products of other mini-batches may be rounded differently.
    torch.testing.assert_close(stack.parts[2].weights, second.weights, rtol=0, atol=1e-5)


@pytest.mark.parametrize("below", [(), (SubtractMean(), UnitNorm())], ids=["", "fitted"])
def test_of_one_layer_greedy_or_not_is_the_same(below):
    stages = (*below, Convolution(num_units=5, kernel_size=2), Triangle(), BatchNorm())
    x = images_of(20, 4, 3, 2)
    one, other = (started(stages, (4, 3, 2), greedy=greedy) for greedy in (False, True))
    for stack in (one, other):
        assert stack.phases(3) == [3]
        trained(stack, x)
    assert one.state.keys() == other.state.keys()
    for name, tensor in one.state.items():
        assert torch.equal(tensor, other.state[name]), name


def test_one_dense_stage_is_the_dense_layer():
    x = images_of(30, 4, 3, 2)
    stack = started((FullyConnected(num_units=6, p=3.0),), (4, 3, 2))
    layer = Dense(stack.weights, p=3.0)
    ours, theirs = (trained(each, x, preprocess=CENTRED) for each in (stack, layer))
    assert torch.equal(stack.weights, layer.weights)
    for name in ("norm_mean", "norm_max", "learning", "lr"):
        np.testing.assert_array_equal(ours[name], theirs[name])


SOFT = Soft(anti=True)
NETWORK = (
    BatchNorm(),
    Convolution(num_units=4, kernel_size=3, padding=1, competition=SOFT, rate_power=0.5),
    Triangle(power=0.7),
    MaxPool(size=2),
    BatchNorm(epsilon=1e-3),
    Convolution(num_units=5, kernel_size=2, competition=SOFT, padding_mode="reflect"),
    Triangle(power=1.4),
    AveragePool(size=2),
    BatchNorm(),
)


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("greedy", [False, True])
def test_statistics_are_those_of_the_final_weights_over_all_images(
    greedy, epochs, monkeypatch
):
    """Also without learning: the control with random filters."""
    monkeypatch.setattr("fastpath.layers.stack.BLOCK_SIZE", 3000)  # several blocks
    stack = started(NETWORK, (6, 6, 2), greedy=greedy)
    assert 1 < stack.block < 10
    starts = [stack.parts[i].weights.clone() for i in (1, 5)]
    x = images_of(20, 6, 6, 2)
    trained(stack, x, epochs=epochs)
    for i, start in zip((1, 5), starts, strict=True):
        assert torch.equal(stack.parts[i].weights, start) == (epochs == 0)

    v = x.numpy() / 255
    for i, size, padding, power in ((0, 3, 1, 0.7), (4, 2, 0, 1.4)):
        mean, variance = v.mean(axis=(0, 1, 2)), v.var(axis=(0, 1, 2))
        # Measured 5e-15; the features 6e-14, below two normalizations.
        np.testing.assert_allclose(stack.parts[i].mean, mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(stack.parts[i].variance, variance, rtol=1e-12)
        v = normalized(v, mean, variance, stack.settings.stages[i].epsilon)
        rows, dims = patches(v, size=size, padding=padding)
        w = stack.parts[i + 1].weights.numpy()
        v = triangle((rows @ w.T).reshape(*dims, len(w)), power)
        v = pooled(v, np.max if i == 0 else np.mean, size=2, stride=2)
    mean, variance = v.mean(axis=(0, 1, 2)), v.var(axis=(0, 1, 2))
    np.testing.assert_allclose(stack.parts[8].mean, mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(stack.parts[8].variance, variance, rtol=1e-11)
    v = normalized(v, mean, variance).reshape(20, -1)
    flat = (x.double() / 255).flatten(1)
    for power in (1.0, 2.0):
        found = stack.features(flat, power=power)
        expected = np.maximum(v, 0) ** power
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_a_mean_that_is_taken_above_a_normalization_is_that_of_normalized_images():
    stages = (BatchNorm(), SubtractMean(), Convolution(num_units=4, kernel_size=2))
    stack = started(stages, (4, 4, 2))
    x = images_of(20, 4, 4, 2)
    trained(stack, x, epochs=1)
    v = x.numpy() / 255
    v = normalized(v, v.mean(axis=(0, 1, 2)), v.var(axis=(0, 1, 2)))
    np.testing.assert_allclose(stack.parts[1].mean, v.mean(axis=0), rtol=0, atol=1e-13)


def test_layers_below_are_left_alone_while_one_learns():
    stack = started(NETWORK, (6, 6, 2), greedy=True)
    x, fitted = images_of(20, 6, 6, 2), Preprocess().fit(images_of(20, 6, 6, 2))
    fitted = fitted.to(torch.float64)
    stack.begin_phase(0, x, fitted, resumed=False)
    stack.learn(fitted(x), SOFT, lr=0.1)
    below = {name: tensor.clone() for name, tensor in stack.state.items()}
    stack.begin_phase(1, x, fitted, resumed=False)
    stack.learn(fitted(x), SOFT, lr=0.1)
    changed = {n for n, before in below.items() if not torch.equal(before, stack.state[n])}
    assert changed == {"4.mean", "4.variance", "5.weights"}


def everything():
    """Return a stack with a stage of each kind, its numbers fitted."""
    stages = (
        BatchNorm(),
        SubtractMean(),
        Convolution(num_units=4, kernel_size=3, padding=1, stride=2, orthogonal=True),
        Triangle(),
        Convolution(
            num_units=5, kernel_size=2, padding=1, padding_mode="reflect", response="cosine"
        ),
        MaxPool(size=2, stride=1, padding=1),
        Decorrelate(),
        AveragePool(size=2, stride=1),
        RecurrentInhibition(num_inh=2),
        UnitNorm(),
        FullyConnected(num_units=6, p=3.0, response="cosine"),
        Rectifier(power=1.5),
    )
    stack = StackSettings(stages=stages, greedy=True).start((6, 5, 2), generator=seeded(1))
    trained(stack, images_of(20, 6, 5, 2), epochs=1)
    return stack


def test_the_module_gives_the_features_and_is_exported(tmp_path):
    stack, v = everything(), normal(7, 60, dtype=torch.float32).abs()
    for power in (1.0, 2.5):
        expected = stack.features(v, power=power)
        assert expected.shape == (7, stack.settings.num_features((6, 5, 2)))
        assert (expected.std(dim=0) > 0).any()
        module = stack.to_module(power=power)
        assert torch.equal(module(v), expected)
        assert module.block == stack.block
        exported = torch.export.export(module, (v,))
        # Measured 0; other kernels may take the same sums.
        torch.testing.assert_close(exported.module()(v), expected, rtol=0, atol=1e-6)
        other = StackSettings(stages=stack.settings.stages, greedy=True).start(
            (6, 5, 2), generator=seeded(2)
        )
        blank = other.to_module(power=power)
        assert not torch.equal(blank(v), expected)
        blank.load_state_dict(module.state_dict())
        assert torch.equal(blank(v), expected)
        # Measured 1e-8: rounding of float32.
        twice = copy.deepcopy(module).double()(v.double())
        torch.testing.assert_close(twice.float(), expected, rtol=0, atol=1e-5)
        assert torch.equal(pickle.loads(pickle.dumps(module))(v), expected)
        assert torch.equal(module.to("cpu")(v), expected)
    # The module is a copy.
    stack.weights.zero_()
    assert torch.equal(module(v), expected)


def test_a_finished_stack_is_loaded_and_copied_and_learns_on():
    stack, v = everything(), normal(7, 60, dtype=torch.float32).abs()
    tensors = {name: stack.state[name].clone() for name in stack.settings.shapes((6, 5, 2))}
    loaded = stack.settings.load(tensors, input_shape=(6, 5, 2))
    stacks = [stack, loaded, copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))]
    for each in stacks:
        assert torch.equal(each.features(v, power=1.0), stack.features(v, power=1.0))
    for each in stacks:
        each._phase = 2
        each.learn(v, Ranking(), lr=0.1)
    assert not torch.equal(stack.parts[10].weights, tensors["10.weights"])
    for each in stacks:
        # Of the one loaded, sign(W)|W|^2 is rounded differently: measured 0.
        weights = each.parts[10].weights
        torch.testing.assert_close(weights, stack.parts[10].weights, rtol=0, atol=1e-6)


def test_the_work_of_an_image_is_counted():
    settings = StackSettings(stages=NETWORK)
    stack = settings.start((6, 6, 2), generator=seeded())
    # 36 positions of 4 filters of 18 weights, then 4 positions of 5 filters of 16.
    assert stack.flop == 2 * (36 * 4 * 18 + 4 * 5 * 16)
    assert settings.num_units == 4
    assert settings.num_features((6, 6, 2)) == 5
    assert settings.shapes((6, 6, 2)) == {
        name: tuple(tensor.shape) for name, tensor in stack.state.items()
    }
