"""What every competition keeps; competitions, rules and layers from outside the package.

Each class of `competition.KINDS` is tried; one that is new joins there.
"""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import fastpath
from fastpath import kernels, layers, plasticity, plots
from fastpath.cli import main
from fastpath.competition import KINDS, Equilibrium, Ranking, Rule, Soft
from fastpath.compute import Compute
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig
from fastpath.runs.execute import execute, save
from fastpath.training.callbacks import Callback
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Threshold(Rule):
    """Every unit above the mean drive of the image learns, by its share."""

    gain: float = 1.0
    calls: ClassVar[list[int]] = []  # after so many there is an interruption

    def __call__(self, drive):
        if self.calls:
            self.calls[0] -= 1
            if not self.calls[0]:
                self.calls.clear()
                raise KeyboardInterrupt
        above = (drive - drive.mean(dim=1, keepdim=True)).clamp(min=0)
        return self.gain * above / above.sum(dim=1, keepdim=True).clamp(min=1e-12)


@pytest.fixture(params=[*KINDS, "from outside"])
def rule(request, monkeypatch):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    return KINDS[request.param]()


@pytest.fixture
def drive():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 9, generator=generator, dtype=torch.float64)


@pytest.fixture
def digits():
    return torch.from_numpy(fastpath.load("digits").x_train).flatten(1)


def dense(learners, drive):
    g = torch.zeros_like(drive)
    g[learners.image, learners.unit] = learners.g
    assert torch.equal(learners.drive, drive[learners.image, learners.unit])
    assert (learners.image.diff() >= 0).all()
    return g


def test_g_is_a_function_of_the_drive_alone(rule, drive):
    before = drive.clone()
    g = rule(drive)
    assert g.shape == drive.shape
    assert torch.equal(rule(before), g)
    # Each image by itself, and the units in any order: measured equal but for the sums.
    alone = torch.cat([rule(row[None]) for row in before])
    torch.testing.assert_close(alone, g, rtol=0, atol=1e-14)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rule(before[:, order]), g[:, order], rtol=0, atol=1e-14)
    if rule.keeps_drive:
        assert torch.equal(drive, before)


@pytest.mark.parametrize("fixed_size", [False, True])
@pytest.mark.parametrize("name", ["pytorch", "cpp"])
def test_every_kernel_finds_who_learns(rule, drive, name, fixed_size):
    if reason := kernels.why_not(name, CPU, torch.float64):
        pytest.skip(reason)
    step = kernels.choose(CPU, torch.float64, name)
    step.fixed_sizes = fixed_size
    learners = step.learners(rule, drive)
    g = step.activation(rule, drive) if learners is None else dense(learners, drive)
    torch.testing.assert_close(g, rule(drive), rtol=0, atol=1e-14)


def test_a_layer_learns_eq_3(rule, drive):
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    images = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    layer = Dense(weights)
    layer.learn(images, rule, lr=0.01, normalize=None)
    w, v = weights.numpy(), images.numpy()
    g = rule(images @ weights.T).numpy()
    change = np.zeros_like(w)
    for b in range(20):
        change += g[b][:, None] * (v[b] - (w @ v[b])[:, None] * w)
    # Measured 4e-16: sums in another order.
    np.testing.assert_allclose(layer.weights, w + 0.01 * change, rtol=0, atol=1e-13)


def configured(**changes):
    settings = {
        "data": "digits",
        "layer": DenseSettings(num_units=20),
        "seed": 0,
        "validation": 0,
        "competition": Ranking(),
        "training": Training(epochs=3),
        "preprocess": Preprocess(unit_norm=True),
        "readout": Readout(epochs=2),
    }
    return RunConfig(**settings | changes)


def executed(config, folder):
    images, compute = fastpath.load("digits"), Compute(threads=1)
    folder.mkdir()
    checkpoints = Checkpoints(folder=folder, epochs=1, minutes=None)
    trained = execute(config, images, checkpoints, compute=compute)
    save(folder, trained, config, images, compute)
    return trained


def test_a_run_is_saved_and_opened(rule, tmp_path):
    config = configured(competition=rule)
    assert RunConfig.from_json(config.as_json(), tmp_path) == config
    trained = executed(config, tmp_path / "run")
    model = fastpath.load_model(tmp_path / "run")
    assert model.competition == rule
    np.testing.assert_array_equal(model.weights, trained.weights)


def test_a_run_of_a_version_that_knew_dense_layers_alone_is_opened(tmp_path):
    expected = executed(configured(layer=DenseSettings(num_units=9, p=3.0)), tmp_path / "r")
    path = tmp_path / "r" / "config.json"
    config = json.loads(path.read_text())
    layer = config.pop("layer")
    for name in ("kind", "sha256", "metrics_sha256"):
        del config[name]
    path.write_text(json.dumps(config | {"units": layer["num_units"], "p": layer["p"]}))
    model = fastpath.load_model(tmp_path / "r")
    assert (model.num_units, model.p, model.layer) == (9, 3.0, None)
    np.testing.assert_array_equal(model.weights, expected.weights)


def test_one_from_outside_is_resumed_and_drawn(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    config = configured(competition=Threshold())
    expected = executed(config, tmp_path / "whole")
    Threshold.calls.append(20)  # 15 mini-batches an epoch
    with pytest.raises(KeyboardInterrupt):
        executed(config, tmp_path / "run")
    main(["resume", str(tmp_path / "run")])
    model = fastpath.load_model(tmp_path / "run")
    np.testing.assert_array_equal(model.weights, expected.weights)
    main(["plot", str(tmp_path / "run")])
    assert "wrote" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [Ranking, Equilibrium, Soft])
def test_a_subclass_with_a_call_of_its_own_inherits_no_promise(kind):
    class Own(kind):
        def __call__(self, drive):
            return torch.zeros_like(drive)

    class Nothing:
        def __call__(self, drive):
            return torch.zeros_like(drive)

    class Mixed(Nothing, kind):
        pass

    class Same(kind):
        pass

    for name in ("dense", "capturable", "keeps_drive", "learners", "check"):
        assert getattr(Own, name) == getattr(Mixed, name) == getattr(Rule, name)
        assert getattr(Same, name) == getattr(kind, name)


def test_a_class_that_is_not_listed_is_not_saved():
    with pytest.raises(
        ValueError, match=r"competition is Threshold.*add the class.* KINDS"
    ):
        configured(competition=Threshold())


@dataclass(frozen=True, kw_only=True)
class WithDecay:
    """Hebb's rule with a decay that no activity is needed for."""

    decay: float = 0.01

    def __call__(self, g, drive, images, weights):
        return g.T @ images - len(images) * self.decay * weights


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("name", ["pytorch", "cpp"])
def test_a_plasticity_rule_from_outside_is_the_one_that_learns(name, p, drive):
    if reason := kernels.why_not(name, CPU, torch.float64):
        pytest.skip(reason)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    images = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    layer = Dense(weights, p=p, plasticity=WithDecay(), kernels=name)
    layer.learn(images, Ranking(k=2), lr=0.01, normalize=None)
    w, v = weights.numpy(), images.numpy()
    i = v @ (np.sign(w) * np.abs(w) ** (p - 1)).T
    change = np.zeros_like(w)
    for b in range(20):
        first, second = np.argsort(-i[b])[:2]
        change[first] += v[b]
        change[second] -= 0.4 * v[b]
        change -= 0.01 * w
    # Measured 4e-16: sums in another order.
    np.testing.assert_allclose(layer.weights, w + 0.01 * change, rtol=0, atol=1e-13)
    # And the next drive is that of the new weights.
    np.testing.assert_allclose(
        layer.drive(images),
        images @ (layer.weights.sign() * layer.weights.abs() ** (p - 1)).T,
        rtol=0,
        atol=1e-12,
    )


def test_a_plasticity_rule_from_outside_is_saved_resumed_and_opened(
    monkeypatch, tmp_path, capsys
):
    layer = DenseSettings(num_units=12, plasticity=WithDecay(decay=0.02))
    with pytest.raises(ValueError, match=r"layer is DenseSettings.*add the class.* KINDS"):
        configured(layer=layer)
    monkeypatch.setitem(plasticity.KINDS, "with decay", WithDecay)
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    config = configured(layer=layer, competition=Threshold())
    assert RunConfig.from_json(config.as_json(), tmp_path) == config
    expected = executed(config, tmp_path / "whole")
    Threshold.calls.append(20)  # 15 mini-batches an epoch
    with pytest.raises(KeyboardInterrupt):
        executed(config, tmp_path / "run")
    main(["resume", str(tmp_path / "run")])
    model = fastpath.load_model(tmp_path / "run")
    assert model.layer == config.layer
    np.testing.assert_array_equal(model.weights, expected.weights)
    eq_3 = executed(configured(layer=DenseSettings(num_units=12)), tmp_path / "eq. 3")
    assert not torch.allclose(eq_3.weights, expected.weights, atol=0.01)


def test_a_plasticity_rule_of_another_shape_is_refused():
    layer = Dense(torch.ones(3, 4), plasticity=lambda g, *_: g)
    with pytest.raises(ValueError, match=r"returned ΔW of shape \(5, 3\) for weights"):
        layer.learn(torch.ones(5, 4), Ranking(), lr=0.1)
    with pytest.raises(ValueError, match="plasticity is the class WithDecay"):
        Dense(torch.ones(3, 4), plasticity=WithDecay)


class Halves:
    """A layer kind from outside: each half of the units sees one half of the pixels."""

    stop_after: ClassVar[list[int]] = []  # after so many mini-batches

    def __init__(self, parts):
        self.parts, self.p = parts, 2.0

    @property
    def weights(self):
        zeros = torch.zeros_like(self.parts[0].weights)
        first, second = (part.weights for part in self.parts)
        return torch.cat([torch.cat([first, zeros], 1), torch.cat([zeros, second], 1)])

    @property
    def state(self):
        return {f"half {i}": part.weights for i, part in enumerate(self.parts)}

    def prepare(self, x, index, preprocess):
        return preprocess(x[index])

    def drive(self, images):
        halves = zip(self.parts, images.chunk(2, dim=1), strict=True)
        return torch.cat([part.drive(half) for part, half in halves], dim=1)

    def learn(self, images, competition, **settings):
        if self.stop_after:
            self.stop_after[0] -= 1
            if not self.stop_after[0]:
                self.stop_after.clear()
                raise KeyboardInterrupt
        for part, half in zip(self.parts, images.chunk(2, dim=1), strict=True):
            part.learn(half.contiguous(), competition, **settings)

    def features(self, images, *, power):
        return self.to_module(power=power)(images)

    def to_module(self, *, power):
        return HalvesModule(self.parts, power)


class HalvesModule(torch.nn.Module):
    def __init__(self, parts, power):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.stack([part.weights for part in parts]))
        self.power = power

    def forward(self, v):
        halves = v.unflatten(1, (2, -1)).transpose(0, 1)
        return (
            (halves @ self.weight.mT)
            .clamp(min=0)
            .pow(self.power)
            .transpose(0, 1)
            .flatten(1)
        )


@dataclass(frozen=True, kw_only=True)
class HalvesSettings:
    num_units: int = 10

    def num_features(self, input_shape):
        return self.num_units

    def start(self, input_shape, *, generator, device="cpu", kernels=None):
        half = self.num_units // 2, math.prod(input_shape) // 2
        return Halves([Dense.random(*half, generator=generator) for _ in range(2)])

    def load(self, tensors):
        return Halves([Dense(tensors[f"half {i}"]) for i in range(2)])

    def shapes(self, input_shape):
        half = self.num_units // 2, math.prod(input_shape) // 2
        return {"half 0": half, "half 1": half}

    def memory(self, input_shape, *, batch_size):
        return {"weights": 4 * self.num_units * math.prod(input_shape)}


def test_a_layer_kind_from_outside_learns_as_its_halves_alone(digits):
    generator = torch.Generator().manual_seed(0)
    layer, snapshots = HalvesSettings().start((64,), generator=generator), Snapshots([0, 4])
    history = train(
        layer,
        digits,
        competition=Ranking(),
        training=Training(epochs=4),
        preprocess=Preprocess().fit(digits),
        generator=generator,
        progress=False,
        callbacks=[snapshots],
    )
    assert (history["learning"] > 0).all()
    # By hand: the first half is a layer of its own, on the same images in the same order.
    generator = torch.Generator().manual_seed(0)
    alone = Dense.random(5, 32, generator=generator)
    Dense.random(5, 32, generator=generator)
    for epoch in range(4):
        for batch in torch.randperm(len(digits), generator=generator).split(100):
            images = digits[batch, :32].float() / 255
            alone.learn(images, Ranking(), lr=0.04 * (1 - epoch / 4))
    np.testing.assert_allclose(layer.weights[:5, :32], alone.weights, rtol=0, atol=1e-5)
    axes = plots.receptive_fields(snapshots.as_dataset()["weights"][-1], (8, 8, 1))
    assert len(axes.images) == 1


def test_a_layer_kind_from_outside_is_saved_resumed_opened_and_drawn(
    digits, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(layers.KINDS, "halves", HalvesSettings)
    config = configured(layer=HalvesSettings(num_units=12))
    whole = executed(config, tmp_path / "whole")
    Halves.stop_after.append(20)  # 15 mini-batches an epoch
    with pytest.raises(KeyboardInterrupt):
        executed(config, tmp_path / "run")
    main(["resume", str(tmp_path / "run")])
    capsys.readouterr()
    main(["evaluate", str(tmp_path / "run")])
    assert f"{whole.metrics['test_error']:.2f} %" in capsys.readouterr().out
    main(["plot", str(tmp_path / "run")])
    assert "wrote" in capsys.readouterr().out
    model = fastpath.load_model(tmp_path / "run")
    assert model.layer == config.layer
    np.testing.assert_array_equal(model.weights, whole.weights)
    images = fastpath.load("digits")
    error = 100 * (1 - model.score(images))
    assert error == pytest.approx(whole.metrics["test_error"], abs=1e-9)
    model.save(tmp_path / "again")
    np.testing.assert_array_equal(
        fastpath.load_model(tmp_path / "again").predict(images), model.predict(images)
    )
    fitted = fastpath.CompetingUnits(layer=HalvesSettings(), training=Training(epochs=1))
    assert fitted.fit(images).score(images) > 0.3


def test_callbacks_see_every_epoch_and_its_numbers(digits):
    class Noting(Callback):
        def __init__(self):
            self.begun, self.epochs, self.lengths = 0, [], []

        def on_train_begin(self, progress):
            assert progress.epoch == 0
            self.begun += 1

        def on_epoch_end(self, progress):
            self.epochs.append(progress.epoch)
            self.lengths.append(len(progress.history))

    noting, generator = Noting(), torch.Generator().manual_seed(0)
    history = train(
        Dense.random(5, 64, generator=generator),
        digits,
        competition=Ranking(),
        training=Training(epochs=3),
        preprocess=Preprocess().fit(digits),
        generator=generator,
        progress=False,
        callbacks=[noting],
    )
    assert (noting.begun, noting.epochs, noting.lengths) == (1, [1, 2, 3], [1, 2, 3])
    assert history.sizes["epoch"] == 3
