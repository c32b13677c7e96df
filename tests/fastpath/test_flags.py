"""What a command line gives: nothing empty, nothing in vain, and messages it can follow."""

import itertools
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from sklearn.cluster import MiniBatchKMeans

from fastpath import baselines, experiment
from fastpath.cli import main
from fastpath.commands.flags import GIVEN, Train
from fastpath.commands.train import HEAD_FLAGS, configured
from fastpath.competition import KINDS, Ranking, RunnersUp, ranking
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.data.preprocess import Preprocess
from fastpath.layers import DenseSettings
from fastpath.readout import LOSSES, SCALINGS, SCHEDULES
from fastpath.runs import storage
from fastpath.training.loop import Training
from neurodyn.flags import refuse_without_effect
from tests.helpers import refused

QUICK = ["--data", "digits", "--units", "15", "--epochs", "1", "--head-epochs", "1"]
SETTINGS = {name: {f.name for f in fields(kind)} for name, kind in KINDS.items()}


def flag(name: str) -> list[str]:
    """Return a setting of a competition as it is given, by its default."""
    default = next(
        f.default for kind in KINDS.values() for f in fields(kind) if f.name == name
    )
    named = "--" + name.replace("_", "-")
    return [named] if isinstance(default, bool) else [named, str(default)]


@pytest.mark.parametrize(
    ("name", "listed"),
    [("loss", LOSSES), ("scaling", SCALINGS), ("schedule", SCHEDULES)],
)
def test_every_choice_of_the_readout_is_a_choice_of_the_flag(name, listed):
    hint = get_type_hints(Train)[f"head_{name}"]
    assert get_args(get_args(hint)[0]) == tuple(listed)


def test_every_competition_can_be_chosen_and_set():
    hints = get_type_hints(Train)
    names = get_args(get_args(hints["competition"])[0])
    assert names == tuple(KINDS)
    assert set().union(*SETTINGS.values()) <= hints.keys()


@pytest.mark.parametrize(
    ("competition", "name"),
    [
        (competition, name)
        for competition, other in itertools.permutations(KINDS, 2)
        for name in sorted(SETTINGS[other] - SETTINGS[competition])
    ],
)
def test_settings_of_another_competition_are_refused_by_default_too(
    tmp_path, capsys, competition, name
):
    chosen = ["--competition", competition]
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "r", *chosen, *flag(name))
    assert f"{flag(name)[0]}" in line
    assert f"no effect with --competition {competition}: leave it out" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--w-inh", "0.5"], "--w-inh 0.5 has no effect with --competition ranking"),
        (["--no-anti"], "--no-anti has no effect with --competition ranking"),
        (
            ["--competition", "soft", "--delta", "0.3"],
            "--delta 0.3 has no effect with --competition soft, where nothing unlearns: "
            "leave it out, or give --anti too",
        ),
        (["--epochs", "0", "--lr", "0.04", "--k", "2"], "--lr 0.04, --k 2 have no effect"),
        (["--epochs", "0", "--competition", "soft"], "--competition soft has no effect"),
        (["--epochs", "0", "--normalize", "max"], "--normalize max has no effect"),
        (["--epochs", "0", "--checkpoint-minutes", "5"], "--checkpoint-minutes 5.0 has"),
        (["--epochs", "0", "--snapshots", "25"], "--snapshots 25 has no effect"),
        (["--epochs", "0", "--batch-size", "100"], "--batch-size 100 has no effect"),
        (["--epochs", "0", "--kernels", "pytorch"], "--kernels pytorch has no effect"),
        (["--k", "2", "--delta", "0"], "--k 2 has no effect with --delta 0"),
        (
            ["--competition", "runners-up", "--k", "2", "--delta", "0"],
            "--k 2 has no effect with --delta 0",
        ),
        (
            ["--competition", "runners-up", "--k", "15"],
            "k is 15, but only 15 units compete",
        ),
        (["--head-smoothing", "0.1"], "no effect with --head-loss tanh, the default here"),
        (["--head-loss", "tanh", "--head-smoothing", "0"], "with --head-loss tanh: leave"),
        (
            ["--head-loss", "cross-entropy", "--head-exponent", "6"],
            "--head-exponent 6.0 has no effect with --head-loss cross-entropy: leave it "
            "out, or give --head-loss tanh",
        ),
        (["--data-root", "/tmp"], "--data-root /tmp has no effect on digits"),
        (["--head-exponent", "-1"], "the readout's exponent m is -1.0"),
        (["--head-lr", "0"], "the readout's lr is 0.0"),
        (["--units", "1"], "units is 1: a ranking needs at least 2"),
        (["--seed", "-1"], "seed is -1: 0 to 2^63 - 1 is needed"),
        (["--seed", 2**63], f"seed is {2**63}: 0 to 2^63 - 1 is needed"),
        (["--data", ""], "--data is empty"),
        (["--data="], "--data is empty"),
        (["--data-root", " "], "--data-root is empty"),
    ],
)
def test_what_a_run_cannot_use_is_refused(tmp_path, capsys, flags, message):
    line = refused(capsys, "train", *QUICK, "--out", tmp_path / "run", *flags)
    assert message in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["train", "--data", "digits", "--out", ""],
        ["train", "--data", "digits", "--out="],
        ["resume", ""],
        ["evaluate", ""],
        ["plot", "run", "--out", ""],
        ["export", "run", "--out", ""],
        ["backprop", "--data", ""],
    ],
)
def test_no_command_takes_an_empty_value(tmp_path, monkeypatch, capsys, args):
    monkeypatch.chdir(tmp_path)
    assert "is empty: give a value" in refused(capsys, *args)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["backprop", "export"])
@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_one_rule_for_all_seeds(tmp_path, capsys, command, seed):
    flags = {
        "backprop": ["--data", "digits", "--units", "5", "--epochs", "1"],
        "export": [tmp_path, "--out", tmp_path / "images.npz"],
    }[command]
    line = refused(capsys, command, *flags, "--seed", seed)
    assert f"seed is {seed}: 0 to 2^63 - 1 is needed" in line


def test_runners_up_take_the_delta_of_a_data_set_but_not_its_k():
    command = Train(data="mnist", out=Path("run"), competition="runners-up")
    of_mnist = defaults_for("mnist").competition
    assert of_mnist.k == 7
    assert configured(command, "mnist").competition == RunnersUp(delta=of_mnist.delta)
    chosen = configured(replace(command, k=5, delta=0.1), "mnist").competition
    assert chosen == RunnersUp(k=5, delta=0.1)


@pytest.mark.parametrize(
    "args",
    [["evaluate", "run", "--kernels", "pytorch"], ["export", "run", "--device", "cpu"]],
)
def test_what_a_command_does_not_use_it_does_not_offer(capsys, args):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    assert args[2] in capsys.readouterr().err


def test_one_random_unit_needs_no_rank(tmp_path):
    flags = ["--data", "digits", "--units", "1", "--head-epochs", "1", "--epochs", "0"]
    main(["train", *flags, "--out", str(tmp_path / "run")])
    weights = storage.load_tensors(tmp_path / "run" / "weights.safetensors")["weights"]
    assert weights.shape == (1, 64)


def test_one_unit_cannot_be_ranked():
    with pytest.raises(ValueError, match="units is 1: a ranking needs at least 2"):
        ranking(torch.zeros(3, 1), k=2, delta=0.4)


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist", "cifar10", ""])
def test_few_units_have_as_many_ranks(data):
    ks = [defaults_for(data, units).competition.k for units in (1, 2, 5, 7, 100)]
    assert ks == [2, 2, 5, 7, 7]


def small(num_images: int = 30) -> datasets.Images:
    digits = datasets.load("digits")
    some = slice(num_images)
    return datasets.Images(
        digits.x_train[some],
        digits.y_train[some],
        digits.x_test[some],
        digits.y_test[some],
        "small",
        digits.classes,
    )


def parts_of(images: datasets.Images) -> experiment.Split:
    return experiment.split(images, validation=0, generator=torch.Generator())


def learned(batch_size: int | None) -> torch.Tensor:
    size = {} if batch_size is None else {"batch_size": batch_size}
    layer, _, _ = experiment.learn_features(
        parts_of(small()),
        layer=DenseSettings(num_units=6),
        competition=Ranking(),
        training=Training(epochs=2, **size),
        preprocess=Preprocess(),
        generator=torch.Generator().manual_seed(3),
        progress=False,
    )
    return layer.weights


def test_a_set_smaller_than_the_default_is_one_mini_batch():
    assert torch.equal(learned(None), learned(30))
    assert not torch.equal(learned(None), learned(15))
    with pytest.raises(ValueError, match="batch_size is 31, but there are only 30 images"):
        learned(31)


def test_back_propagation_takes_a_small_set_whole():
    def error(**size):
        trained = baselines.backprop(
            parts_of(small()),
            num_units=6,
            num_classes=10,
            backprop=baselines.Backprop(epochs=3, **size),
            preprocess=Preprocess(),
            generator=torch.Generator().manual_seed(3),
            progress=False,
        )
        return trained.errors

    assert error() == error(batch_size=30)
    with pytest.raises(ValueError, match="batch_size is 31"):
        error(batch_size=31)


def test_commands_take_a_small_set_whole_unless_they_are_told(tmp_path, capsys):
    images = small()
    path = tmp_path / "small.npz"
    np.savez(path, **{name: getattr(images, name) for name in datasets.ARRAYS})
    data = ["--data", path, "--units", 6, "--epochs", 1]
    for command in (["train", "--out", tmp_path / "r"], ["backprop"]):
        line = refused(capsys, *command, *data, "--batch-size", 100)
        assert "batch_size is 100, but there are only 30 images: give at most 30" in line
    main(list(map(str, ["train", "--out", tmp_path / "r", *data, "--validation", 5])))
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["training"]["batch_size"] == 25
    main(list(map(str, ["backprop", *data])))
    # Weights that stay random are in no mini-batch.
    no_epochs = ["--epochs", 0, "--overwrite"]
    main(list(map(str, ["train", "--out", tmp_path / "r", *data, *no_epochs])))


@pytest.mark.parametrize("competition", [Ranking(delta=300.0), Ranking(delta=0.0)])
@pytest.mark.parametrize("normalize", ["max", None])
def test_the_cure_of_divergence_is_none_that_is_taken_already(competition, normalize):
    from fastpath.training.loop import _against_divergence

    cure = _against_divergence(competition, Training(normalize=normalize))
    assert ("delta" in cure) == bool(competition.delta)
    assert ("normalize" in cure) == (normalize is None)
    assert "lr" in cure


def test_every_setting_of_a_loss_is_a_setting_of_one_loss_alone():
    assert HEAD_FLAGS["m"] == "head_exponent"
    used = [name for loss in LOSSES.values() for name in loss.settings]
    assert sorted(used) == sorted({*used}) == ["beta", "m", "smoothing"]


def test_a_setting_that_is_not_given_is_never_refused(tmp_path):
    command = Train(data="digits", out=tmp_path)
    refuse_without_effect(command, ["k", "w_inh", "anti"], why="at all")
    given = replace(command, k=3, anti=False)
    with pytest.raises(ValueError, match=r"--k 3, --no-anti have no effect at all: leave"):
        refuse_without_effect(given, ["k", "w_inh", "anti"], why="at all")


def test_clusters_take_every_seed():
    x = torch.from_numpy(small().x_train)

    def centres(seed):
        settings = {"num_units": 3, "kmeans": baselines.KMeans(passes=1)}
        preprocess = Preprocess().fit(x)
        return baselines.kmeans(x, seed=seed, preprocess=preprocess, **settings)

    assert torch.equal(centres(2**40), centres(2**40))
    assert not torch.equal(centres(2**40), centres(0))
    clusters = MiniBatchKMeans(
        3, init="random", n_init=1, batch_size=4096, max_iter=1, random_state=5
    ).fit(x.flatten(1).numpy() / np.float32(255))
    np.testing.assert_allclose(centres(5).numpy(), clusters.cluster_centers_, atol=1e-6)
    with pytest.raises(ValueError, match="seed is -1: 0 to 2"):
        centres(-1)


def test_help_names_the_data_sets_that_there_are():
    assert GIVEN == datasets.GIVEN
