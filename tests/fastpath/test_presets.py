"""Presets: data that reproduce published results, and the controls beside them."""

import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import fastpath
from fastpath import experiment, presets
from fastpath.baselines.controls import CONTROLS, control_of
from fastpath.cli import main
from fastpath.competition import Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    LearningStage,
    Triangle,
)
from fastpath.layers.stages.starts import NAMES
from fastpath.layers.stages.whitening import zca
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig, of_preset
from fastpath.runs.folder import open_run
from fastpath.training.loop import Training
from tests.fastpath.contracts import configured, executed

COLOUR = (32, 32, 3)


def of(name, **settings):
    return of_preset(
        presets.load(name), **{"data": "digits", "seed": 0, "validation": 0} | settings
    )


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_a_configuration_that_a_file_can_hold(name, tmp_path):
    config = of(name)
    again = RunConfig.from_json(config.as_json(), tmp_path / "config.json")
    assert again == config
    preset = presets.load(name)
    assert preset.data in ("mnist", "fashion_mnist", "cifar10", "cifar100")
    assert preset.reproduces
    assert preset.published
    assert preset.time


def test_a_preset_has_the_published_settings():
    config = of("softhebb-cifar10")
    layer = config.layer
    assert isinstance(layer, StackSettings)
    filters = [stage for stage in layer.stages if isinstance(stage, LearningStage)]
    assert [stage.num_units for stage in filters] == [96, 384, 1536]
    assert layer.num_features(COLOUR) == 24576
    # The published inverse temperatures and learning rates (authors' presets.json).
    inverse = [1 / stage.competition.temperature for stage in filters]
    assert inverse == pytest.approx([1, 0.65, 0.25], rel=1e-9)
    rates = [config.training.lr * stage.lr_scale for stage in filters]
    assert rates == pytest.approx([0.08, 0.005, 0.01], rel=1e-9)
    powers = [stage.power for stage in layer.stages if isinstance(stage, Triangle)]
    assert powers == [0.7, 1.4, 1.0]
    assert all(stage.initial_norm == 25 and stage.rate_power == 0.5 for stage in filters)
    assert (config.training.epochs, config.training.batch_size) == (1, 10)
    dense = of("kh-mnist")
    assert (dense.layer.num_units, dense.layer.p) == (2000, 3)
    assert (dense.competition.k, dense.competition.delta) == (7, 0.4)
    assert (dense.readout.power, dense.readout.m) == (4.5, 6)


def test_the_command_lists_presets_and_prints_one(capsys):
    main(["presets"])
    listed = capsys.readouterr().out
    for name in presets.names():
        preset = presets.load(name)
        assert name in listed
        assert preset.published in listed
    main(["presets", "softhebb-cifar10"])
    settings = tomllib.loads(capsys.readouterr().out)
    assert settings["training"]["batch_size"] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "softheb-cifar10"], "did you mean softhebb-cifar10?"),
        (["--preset", "kh-mnist", "--units", "9"], "--units 9 has no effect with --preset"),
        (["--preset", "kh-mnist", "--k", "3"], "--k 3 has no effect with --preset"),
        ([], "there is no data set: give --data"),
        (["--data", "digits", "--control", "kmeans"], "control is 'kmeans', which only"),
        (
            ["--data", "digits", "--control", "random", "--lr", "0.1"],
            "--lr 0.1 has no effect with --control",
        ),
        (
            ["--data", "digits", "--control", "random", "--epochs", "3"],
            "--epochs 3 has no effect with --control",
        ),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--out", str(tmp_path / "run"), *arguments])
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_preset_of_another_architecture_is_not_resumed(tmp_path):
    first = configured(layer=small(), training=Training(epochs=2, batch_size=100))
    executed(first, tmp_path / "run")
    opened = open_run(tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text().replace('"num_units": 8', '"num_units": 9'))
    with pytest.raises(ValueError, match=r"weights"):
        open_run(tmp_path / "run")
    assert opened.layer.parts[0].weights.shape == (8, 9)


def small(**settings):
    return StackSettings(
        stages=(
            Convolution(num_units=8, kernel_size=3, padding=1, **settings),
            Triangle(),
            Convolution(num_units=12, kernel_size=2, stride=2, **settings),
            Triangle(),
        ),
        greedy=True,
    )


@pytest.fixture
def split():
    images = fastpath.load("digits")
    generator = torch.Generator().manual_seed(0)
    return experiment.split(images, validation=0, generator=generator)


def started(split, start, seed=0):
    """The weights of both layers of a control."""
    config = control_of(configured(layer=small(), competition=Soft()), start)
    layer, _, history = experiment.learn_features(
        split,
        layer=config.layer,
        competition=config.competition,
        training=config.training,
        preprocess=config.preprocess,
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    assert not history.sizes["epoch"]
    return layer, [layer.parts[i].weights for i in layer.learners]


@pytest.mark.parametrize("control", CONTROLS[:-1])
def test_controls_depend_on_the_seed_alone(split, control):
    _, weights = started(split, control)
    _, again = started(split, control)
    _, other = started(split, control, seed=1)
    for one, same, different in zip(weights, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.allclose(one, different, atol=1e-3)
        if control != "random":
            norms = one.norm(dim=1)
            torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-5)


def test_orthogonal_filters_are_orthonormal_where_they_can_be(split):
    _, (first, second) = started(split, "orthogonal")
    torch.testing.assert_close(first @ first.T, torch.eye(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(second @ second.T, torch.eye(12), rtol=0, atol=1e-5)
    stage = Convolution(num_units=7, kernel_size=2, start_from="orthogonal")
    part = stage.start((4, 4, 1), generator=torch.Generator().manual_seed(0), kernels=None)
    # More filters than inputs: orthonormal columns, up to the scaling of the rows.
    assert part.weights.shape == (7, 4)
    assert torch.linalg.matrix_rank(part.weights) == 4


def test_whitened_patches_are_matched_filters_of_training_patches(split):
    layer, (weights, _) = started(split, "patches")
    images = layer._shaped(
        experiment.Preprocess(unit_norm=True).fit(split.x_train)(split.x_train)
    )
    rows, _ = layer.parts[0].rows(images)
    mean, whiten = zca(rows, 0.01)
    # Each filter is Z Z (v - m) of some patch v, scaled: look for the patch.
    filters = torch.nn.functional.normalize((rows - mean) @ whiten @ whiten, dim=1)
    found = (weights @ filters.T).amax(dim=1)
    # The patches were whitened by statistics of a sample of them, here of all but some.
    assert (found > 0.999).all()


def test_too_few_patches_are_refused():
    stage = Convolution(num_units=50, kernel_size=2, start_from="kmeans")
    part = stage.start((2, 2, 1), generator=torch.Generator().manual_seed(0), kernels=None)
    x = torch.rand(10, 2, 2, 1, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match=r"50 units need as many training patches, and"):
        part.fit(lambda: iter([x]))


def test_a_control_of_a_preset_runs_from_the_command(tmp_path, capsys):
    config = replace(configured(layer=small()), training=Training(epochs=1))
    assert {*CONTROLS[1:-1]} == {*NAMES[1:]}
    run = tmp_path / "run"
    arguments = ["--preset", "kh-mnist", "--data", "digits", "--control", "random"]
    main(["train", *arguments, "--head-epochs", "2", "--out", str(run), "--threads", "1"])
    printed = capsys.readouterr().out
    assert "test error" in printed
    assert "settings not given: those of the preset kh-mnist\n" in printed
    opened = open_run(run)
    assert opened.config["training"]["epochs"] == 0
    start = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(opened.weights, start)
    assert config.training.epochs == 1
    history = xr.load_dataset(run / "history.nc")
    assert history.sizes["epoch"] == 0
    assert math.isfinite(opened.metrics["test_error"])
    assert np.isfinite(opened.weights.numpy()).all()


@pytest.mark.slow
def test_back_propagation_trains_the_same_stages(tmp_path):
    layer = StackSettings(
        stages=(
            BatchNorm(),
            Convolution(num_units=3, kernel_size=3, padding=1),
            Triangle(power=0.7),
            AveragePool(size=2),
        )
    )
    readout = Readout(epochs=10, power=1.0, scaling="unit", loss="cross-entropy")
    config = configured(layer=layer, readout=readout, preprocess=Preprocess())
    control = control_of(config, "backprop")
    assert control.layer.stages[2].power == 1
    assert RunConfig.from_json(control.as_json(), tmp_path) == control
    short = replace(control, backprop=replace(control.backprop, epochs=20, lr=0.02))
    random = executed(control_of(config, "random"), tmp_path / "random")
    trained = executed(short, tmp_path / "trained")
    # 7.7 and 10.0 %.
    assert trained.metrics["test_error"] < random.metrics["test_error"] - 1
    again = executed(short, tmp_path / "again")
    assert torch.equal(trained.weights, again.weights)
    opened = open_run(tmp_path / "trained")
    images = torch.from_numpy(fastpath.load("digits").x_test)
    torch.testing.assert_close(
        opened.to_module()[:2](images),
        trained.layer.features(trained.preprocess(images), power=1.0),
    )


def test_back_propagation_is_for_stacks():
    with pytest.raises(ValueError, match="`fastpath backprop` trains it"):
        control_of(configured(), "backprop")
