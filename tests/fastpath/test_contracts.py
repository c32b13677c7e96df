"""What every competition keeps; competitions and rules from outside the package."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import fastpath
from fastpath import kernels, plasticity
from fastpath.cli import main
from fastpath.competition import KINDS, Equilibrium, Ranking, Rule, RunnersUp, Soft
from fastpath.competition.base import PROMISES
from fastpath.layers import Dense, DenseSettings
from fastpath.runs.config import RunConfig
from tests.fastpath.contracts import Threshold, configured, executed
from tests.helpers import normal

CPU = torch.device("cpu")


@pytest.fixture(params=[*KINDS, "from outside"])
def rule(request, monkeypatch):
    monkeypatch.setitem(KINDS, "from outside", Threshold)
    return KINDS[request.param]()


@pytest.fixture
def drive():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 9, generator=generator, dtype=torch.float64)


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


def test_the_sparse_form_has_as_many_entries_an_image_as_it_says(rule, drive):
    learners = rule.learners(drive)
    assert (learners is None) == (rule.per_image is None)
    if learners is not None:
        assert torch.equal(
            learners.image, torch.arange(20).repeat_interleave(rule.per_image)
        )
        torch.testing.assert_close(dense(learners, drive), rule(drive), rtol=0, atol=1e-14)


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


@pytest.mark.parametrize("kind", [Ranking, RunnersUp, Equilibrium, Soft])
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

    for name in PROMISES:
        assert getattr(Own, name) == getattr(Mixed, name) == getattr(Rule, name)
        assert getattr(Same, name) == getattr(kind, name)


def test_a_class_that_is_not_listed_is_not_saved():
    with pytest.raises(
        ValueError, match=r"competition is Threshold.*Add the class.* KINDS"
    ):
        configured(competition=Threshold())


@pytest.fixture(params=[*plasticity.KINDS])
def learning(request):
    return plasticity.KINDS[request.param]()


def test_a_plasticity_rule_is_a_sum_over_images(learning, drive):
    g, images, weights = normal(20, 9), normal(20, 6, seed=1), normal(9, 6, seed=2)
    before = [part.clone() for part in (g, drive, images, weights)]
    whole = learning(g, drive, images, weights)
    alone = [
        learning(g[b : b + 1], drive[b : b + 1], images[b : b + 1], weights)
        for b in range(20)
    ]
    # Measured 9e-15: sums in another order.
    torch.testing.assert_close(torch.stack(alone).sum(dim=0), whole, rtol=0, atol=1e-13)
    for part, expected in zip((g, drive, images, weights), before, strict=True):
        assert torch.equal(part, expected)
    idle = learning(torch.zeros_like(g), drive, images, weights)
    assert torch.equal(idle, torch.zeros_like(weights))


def test_a_layer_learns_by_each_plasticity_rule(learning):
    weights, images = normal(9, 6), normal(20, 6, seed=1)
    layer = Dense(weights, plasticity=learning)
    layer.learn(images, RunnersUp(k=3), lr=0.01, normalize=None)
    drive = images @ weights.T
    change = learning(RunnersUp(k=3)(drive), drive, images, weights)
    torch.testing.assert_close(layer.weights, weights + 0.01 * change, rtol=0, atol=1e-13)


def test_a_run_of_each_plasticity_rule_is_saved_and_opened(learning, tmp_path):
    config = configured(layer=DenseSettings(num_units=12, plasticity=learning))
    assert RunConfig.from_json(config.as_json(), tmp_path) == config
    trained = executed(config, tmp_path / "run")
    model = fastpath.load_model(tmp_path / "run")
    # Of a layer that learns by eq. 3 the model keeps num_units and p alone.
    eq_3 = learning == plasticity.KrotovHopfield()
    assert model.layer == (None if eq_3 else config.layer)
    np.testing.assert_array_equal(model.weights, trained.weights)


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
    with pytest.raises(ValueError, match=r"plasticity is WithDecay.*Add the class.* KINDS"):
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
