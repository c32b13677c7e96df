"""Controls are what they are said to be: random weights, and back-propagation's steps."""

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastpath import baselines, experiment, readout
from fastpath.baselines import Backprop
from fastpath.commands.flags import Train
from fastpath.commands.train import configured
from fastpath.data.defaults import defaults_for
from fastpath.data.preprocess import Preprocess
from fastpath.readout import Readout
from scenarios import dale_training, faces, hebbian_first_layer, hidden_size, multilayer
from scenarios import quickstart as quick
from scenarios.ladder import networks as ladder
from scenarios.ladder import training
from scenarios.support.trials import Source

LEARNED, RANDOM, KMEANS = (Readout(power=n, epochs=round(n)) for n in (2.25, 5.75, 7.5))
SOURCE = Source(name="digits", path="digits")
QUICK = {"preset": "quick", "units": 20, "seeds": 1}
KNOWN = ["", "digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]


@pytest.fixture
def told_apart(monkeypatch):
    """Let each kind of weights have a readout of its own, whatever the data set."""

    def told(origin, num_units=2000):
        known = defaults_for(origin, num_units)
        return replace(known, readout=LEARNED, random=RANDOM, kmeans=KMEANS)

    for module in (hidden_size, faces, multilayer, dale_training, hebbian_first_layer):
        monkeypatch.setattr(module, "defaults_for", told)
    # Not by its path: the package holds a function of that name.
    monkeypatch.setattr(sys.modules[configured.__module__], "defaults_for", told)
    monkeypatch.setattr(dale_training, "READOUTS", {})


def by_name(trials):
    return {trial.network: trial for trial in trials}


@pytest.mark.usefixtures("told_apart")
def test_each_kind_of_weights_has_its_own_readout():
    config = hidden_size.Config(**QUICK | {"units": (20,)})
    found = {"hidden_size": by_name(hidden_size.trials(config, SOURCE))}
    found["faces"] = by_name(faces.trials(faces.Config(**QUICK), SOURCE))
    for networks in found.values():
        learned, random = networks["local rule"], networks["random weights"]
        assert learned.readout == LEARNED
        assert networks["k-means"].readout == KMEANS
        assert random.readout == RANDOM
        assert random.training.epochs == 0 < learned.training.epochs
        for name in ("preprocess", "num_units", "seed", "p", "source"):
            assert getattr(random, name) == getattr(learned, name)


@pytest.mark.usefixtures("told_apart")
def test_random_layers_have_the_readout_of_random_weights():
    towers = by_name(multilayer.trials(multilayer.Config(**QUICK), SOURCE))
    for name, trial in towers.items():
        random = name.endswith(", random")
        assert (trial.readout == RANDOM) == random
        assert (trial.layers[-1].training.epochs == 0) == random
        assert all(layer.training.epochs > 0 for layer in trial.layers[:-1])
    signed = by_name(dale_training.trials(dale_training.Config(**QUICK), SOURCE))
    for title in dale_training.TITLES.values():
        learned, random = signed[title], signed[f"{title}, random"]
        assert (learned.readout, random.readout) == (LEARNED, RANDOM)
        training = replace(learned.training, epochs=0)
        changes = {"network": learned.network, "readout": LEARNED}
        assert random.training == training
        assert replace(random, **changes, training=learned.training) == learned
    for epochs in (0, 2):
        flags = {"data": "digits", "out": Path("x"), "epochs": epochs}
        assert configured(Train(**flags), "digits").readout == (
            LEARNED if epochs else RANDOM
        )


def test_the_power_of_random_weights_is_1_for_every_data_set(monkeypatch):
    """What serves them best, by `baselines`; whatever the units that learned have."""
    for origin in KNOWN:
        for num_units in (200, 2000, 8000):
            assert defaults_for(origin, num_units).random.power == 1
    for settings in faces.defaults.SETTINGS.values():
        assert settings.random.power == 1
    powers = []

    def read_out(*args, readout, **kwargs):
        powers.append(readout.power)
        return None, {"test_error": 0.0}

    monkeypatch.setattr(experiment, "read_out", read_out)
    source = ladder.Source(data="digits", unit_norm=True, seed=0)
    for random in (False, True):
        training.judged(
            np.ones((3, 64)),
            source,
            w_inh=0.5,
            head_epochs=1,
            validation=False,
            random=random,
        )
    assert powers == [4.5, 1.0]
    [control, _] = training.controls(source, 10, head_epochs=1, probe_w_inh=0.5)
    assert control.epochs == 0


def test_random_weights_of_the_quickstart_are_read_out_their_own_way(monkeypatch):
    asked = []

    class Enough(Exception):
        pass

    def learn(split, *, training, readout, **settings):
        asked.append((training.epochs, readout.power))
        if len(asked) == 2:
            raise Enough
        return SimpleNamespace(metrics={"test_error": 0.0})

    monkeypatch.setattr(quick.experiment.experiment, "learn", learn)
    with pytest.raises(Enough):
        quick.learn(quick.Config(epochs=3), quick.datasets.load("digits"))
    known = defaults_for("digits")
    assert asked == [(3, known.readout.power), (0, 1.0)]
    assert known.readout.power != 1


NUM_IMAGES, SIZES = 25, (9, 6, 3)
SETTINGS = Backprop(epochs=3, batch_size=10, lr=0.02)
STEPS = 9  # 3 in each epoch, the last of 5 images


@pytest.fixture
def split():
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (NUM_IMAGES, 3, 3, 1), generator=generator).byte()
    y = torch.arange(NUM_IMAGES) % SIZES[-1]
    return experiment.Split(x, y, x[:7], y[:7].flip(0), "test")


@pytest.fixture
def rates_of(monkeypatch):
    """What Adam's steps were taken with."""
    rates, step = [], torch.optim.Adam.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    return rates


def trained(split, **changes):
    """Return the parameters after each epoch, and the errors."""
    epochs = []
    settings = {
        "num_units": SIZES[1],
        "num_classes": SIZES[2],
        "backprop": SETTINGS,
        "preprocess": Preprocess(subtract_mean=True),
        "generator": torch.Generator().manual_seed(0),
        "progress": False,
        "on_epoch_end": lambda _, network: epochs.append(
            [p.detach().double().numpy().copy() for p in network.parameters()]
        ),
    }
    network = baselines.backprop(split, **settings | changes)
    return epochs, network.errors


@pytest.mark.parametrize("frozen", [False, True])
def test_the_cosine_of_back_propagation_falls_with_every_mini_batch(
    split, rates_of, frozen
):
    trained(split, frozen=frozen)
    cosine = [0.02 * (1 + math.cos(math.pi * t / STEPS)) / 2 for t in range(STEPS)]
    np.testing.assert_allclose(rates_of, cosine, rtol=1e-12)


def test_the_schedules_of_the_readout_fall_with_every_mini_batch(rates_of):
    x = torch.rand(95, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(95) % 3
    num = 4 * 10  # epochs, mini-batches in each; the first two are a warm-up
    for schedule in ("cosine", "step"):
        rates_of.clear()
        readout.fit(
            x,
            y,
            num_classes=3,
            readout=Readout(epochs=4, batch_size=10, lr=0.3, schedule=schedule),
            generator=torch.Generator().manual_seed(0),
            progress=False,
        )
        shape = {
            "cosine": [(1 + math.cos(math.pi * t / num)) / 2 for t in range(num)],
            "step": [0.5 ** (t // 8) for t in range(num)],  # halved every fifth
        }[schedule]
        expected = [0.3 * rate * min(1, (t + 1) / 2) for t, rate in enumerate(shape)]
        np.testing.assert_allclose(rates_of, expected, rtol=1e-12)


def by_hand(split, *, frozen=False):
    """Return parameters after each epoch, of loops in NumPy: gradients and Adam."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for inputs, outputs in pairwise(SIZES):
        for shape in ((outputs, inputs), (outputs,)):
            drawn = torch.empty(shape).uniform_(-1, 1, generator=generator)
            values.append(drawn.double().numpy() / math.sqrt(inputs))
    x, y = split.x_train.double().numpy().reshape(NUM_IMAGES, -1) / 255, split.y_train
    x -= x.mean(axis=0)
    first, second = ([np.zeros_like(v) for v in values] for _ in range(2))
    epochs, t = [], 0
    for _ in range(SETTINGS.epochs):
        order = torch.randperm(NUM_IMAGES, generator=generator).numpy()
        for batch in (order[:10], order[10:20], order[20:]):
            w, b, c, d = values
            before = x[batch] @ w.T + b
            rate = np.maximum(before, 0)
            out = rate @ c.T + d
            away = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
            away[np.arange(len(batch)), y[batch]] -= 1
            away /= len(batch)
            back = (away @ c) * (before > 0)
            slopes = [back.T @ x[batch], back.sum(0), away.T @ rate, away.sum(0)]
            lr = SETTINGS.lr * (1 + math.cos(math.pi * t / STEPS)) / 2
            t += 1
            values = [v.copy() for v in values]
            for k in range(2 * frozen, 4):
                first[k] += 0.1 * (slopes[k] - first[k])
                second[k] += 0.001 * (slopes[k] ** 2 - second[k])
                size = np.sqrt(second[k] / (1 - 0.999**t)) + 1e-8
                values[k] -= lr * first[k] / (1 - 0.9**t) / size
        epochs.append(values)
    w, b, c, d = values
    answers = (np.maximum(x @ w.T + b, 0) @ c.T + d).argmax(axis=1)
    wrong = {
        "train_error": answers != y.numpy(),
        "test_error": answers[:7] != y[:7].flip(0).numpy(),
    }
    return epochs, {name: 100 * one.mean() for name, one in wrong.items()}


@pytest.mark.parametrize("frozen", [False, True])
def test_back_propagation_is_a_loop_of_its_equations(split, frozen):
    epochs, errors = trained(split, frozen=frozen)
    expected, wrong = by_hand(split, frozen=frozen)
    for one, other in zip(epochs, expected, strict=True):
        for found, value in zip(one, other, strict=True):
            # Measured: 2e-6 in float32.
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-4)
    assert errors == pytest.approx(wrong)
