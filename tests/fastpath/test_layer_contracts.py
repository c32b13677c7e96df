"""Layer kinds and callbacks from outside the package."""

import copy
import math
import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import fastpath
from fastpath import layers, plots, readout
from fastpath.cli import main
from fastpath.competition import Ranking
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings
from fastpath.layers.constraints import same_sign
from fastpath.runs.folder import open_run
from fastpath.training.callbacks import Callback
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots
from tests.fastpath.contracts import configured, executed


@pytest.fixture
def digits():
    return torch.from_numpy(fastpath.load("digits").x_train).flatten(1)


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

    def load(self, tensors, *, input_shape):
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


@pytest.mark.slow
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
    assert len(fitted.get_feature_names_out()) == 10


def test_callbacks_see_every_epoch_and_its_numbers(digits):
    class Noting(Callback):
        def __init__(self):
            self.begun, self.epochs, self.lengths, self.moments = 0, [], [], []

        def on_train_begin(self, progress):
            assert progress.epoch == 0
            self.begun += 1

        def on_batch_end(self, progress):
            self.moments.append(progress.moment)

        def on_epoch_end(self, progress):
            assert self.moments[-1] == progress.moment == progress.epoch
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
    assert noting.moments == [n / 15 for n in range(1, 46)]
    assert history.sizes["epoch"] == 3


def test_names_that_the_files_of_a_run_need_are_refused(monkeypatch, tmp_path):
    class Clashing(HalvesSettings):
        def shapes(self, input_shape):
            return {"mean": (self.num_units, math.prod(input_shape))}

    monkeypatch.setitem(layers.KINDS, "clashing", Clashing)
    with pytest.raises(
        ValueError, match=r"Clashing calls a tensor 'mean', the name of the"
    ):
        executed(configured(layer=Clashing()), tmp_path / "run")


def test_a_layer_may_call_a_tensor_bias(digits, monkeypatch, tmp_path):
    class Biased(Dense):
        @property
        def state(self):
            return {"weights": self.weights, "bias": self.weights[:, 0]}

    @dataclass(frozen=True, kw_only=True)
    class BiasedSettings(DenseSettings):
        def start(self, input_shape, *, generator, device="cpu", kernels=None):
            weights = torch.randn(self.num_units, 64, generator=generator)
            return Biased(weights)

        def load(self, tensors, *, input_shape):
            return Biased(tensors["weights"])

        def shapes(self, input_shape):
            return super().shapes(input_shape) | {"bias": (self.num_units,)}

    monkeypatch.setitem(layers.KINDS, "biased", BiasedSettings)
    trained = executed(configured(layer=BiasedSettings(num_units=9)), tmp_path / "run")
    opened = open_run(tmp_path / "run")
    assert opened.bias is None
    features = readout.features(trained.layer, trained.preprocess(digits), trained.readout)
    torch.testing.assert_close(
        opened.to_module()(digits), trained.head(features), rtol=1e-5, atol=1e-5
    )


def test_a_layer_can_be_copied_after_it_has_learned():
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(5, 9, generator=generator, constraint=same_sign(1))
    images = torch.rand(20, 9, generator=generator)
    layer.learn(images, Ranking(), lr=0.1)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    layer.learn(images, Ranking(), lr=0.1)
    for each in copies:
        each.learn(images, Ranking(), lr=0.1)
        assert torch.equal(each.weights, layer.weights)
        assert each.constraint.signs.item() == 1
    settings = DenseSettings(num_units=5, constraint=same_sign(1))
    loaded = settings.load({"weights": layer.weights}, input_shape=(9,)).constraint
    assert torch.equal(loaded.signs, settings.constraint.signs)
