"""Studies that search: what was found is recorded, and trained as it was found."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.cli import main
from fastpath.data.augment import Augment
from fastpath.search.objective import Objective
from scenarios import augmentation, joint_search
from scenarios.augmentation.figure import drawn
from scenarios.joint_search.published import Published
from scenarios.support import settings
from scenarios.support.searches import Tuned, as_texts
from scenarios.support.trials import Source
from tests.helpers import mistake, run_scenario

DIGITS = Source.of("digits", None)
QUICK = ("units=10", "epochs=2", "head_epochs=1")


def test_a_tuned_network_is_that_of_the_command(tmp_path):
    place = {"network": "x", "num_units": 10, "source": DIGITS}
    trial = Tuned.of((*QUICK, "lr=0.3"), seed=1, **place)
    found = trial.compute()
    out = tmp_path / "run"
    flags = ["--units", "10", "--epochs", "2", "--head-epochs", "1", "--lr", "0.3"]
    main(["train", "--data", "digits", *flags, "--seed", "1", "--out", str(out)])
    metrics = json.loads((out / "metrics.json").read_text())
    assert float(found["error"]) == metrics["test_error"]
    assert float(found["train_error"]) == metrics["train_error"]


def test_the_key_of_a_tuned_network_has_the_defaults_too():
    """They may change, and with them the result."""
    trial = Tuned.of(QUICK, network="x", num_units=10, source=DIGITS, seed=0)
    other = replace(trial.config, readout=replace(trial.config.readout, power=3.0))
    assert trial.config.readout.power != 3.0
    assert settings.key(replace(trial, config=other)) != settings.key(trial)


def test_found_settings_as_text():
    params = {"lr": 0.123456789, "k": 3, "center_images": True, "head_loss": "tanh"}
    assert as_texts(params) == (
        "center_images=true",
        "head_loss=tanh",
        "k=3",
        "lr=0.123457",
    )


@pytest.mark.slow
def test_a_search_on_record_is_not_run_again(tmp_path, monkeypatch, capsys):
    flags = ["--preset", "quick", "--trials", "4", "--seeds", "1", "--out", str(tmp_path)]
    run_scenario("joint_search", *flags)
    first = capsys.readouterr().out
    record = tmp_path / "data" / "joint_search_quick_searches.json"
    [(name, found)] = json.loads(record.read_text()).items()
    assert name == "digits"
    assert found["best"]["epochs"] == 2  # what was fixed is kept with what was searched
    assert found["complete"] == 4
    assert found["error"] <= found["defaults"]
    result = xr.load_dataset(tmp_path / "data" / "joint_search_quick.nc")
    assert set(result["network"].values) == {
        "its own search",
        "defaults",
        "published search",
        "random weights",
        "back-propagation",
    }
    monkeypatch.setattr(Objective, "error", None)
    run_scenario("joint_search", *flags)
    again = capsys.readouterr().out
    assert "search digits" not in again
    assert again.partition("test error")[2] == first.partition("test error")[2]


def test_settings_reach_the_networks_that_they_are_for():
    config = joint_search.Config(data=("digits",), units=30, seeds=1)
    found = {"digits": {"best": {"lr": 0.5, "units": 30}}}
    found[joint_search.JOINT] = {"best": {"lr": 0.25, "units": 30}}
    by_name = {n.network: n for n in joint_search.networks(config, DIGITS, found)}
    defaults = by_name["defaults"].config
    assert by_name["its own search"].config.training == replace(defaults.training, lr=0.5)
    assert by_name["search over all"].config.training == replace(defaults.training, lr=0.25)
    assert by_name["random weights"].config.training.epochs == 0
    assert {c.config.layer.num_units for c in by_name.values() if isinstance(c, Tuned)} == {
        30
    }
    assert by_name["published search"].num_units == 744
    assert by_name["back-propagation"].backprop.epochs == 100


def test_policies_reach_the_trainings_that_they_are_for():
    config = augmentation.Config(preset="quick", data=("digits",), seeds=1)
    found = {
        f"digits by {name}": {"best": {"augment_crop": i, "augment_use": use, "units": 20}}
        for i, (name, (_, use)) in enumerate(augmentation.SEARCHES.items(), start=1)
    }
    by_name = {n.network: n.config for n in augmentation.networks(config, DIGITS, found)}
    for name, policy in {
        "none": Augment(),
        "features (rotation)": Augment(crop=1, use="features"),
        "features (labels)": Augment(crop=2, use="features"),
        "readout (labels)": Augment(crop=3, use="readout"),
        "both (rotation)": Augment(crop=1, use="both"),
        "both (labels)": Augment(crop=2, use="both"),
        "random weights, none": Augment(),
        "random weights, readout (labels)": Augment(crop=3, use="readout"),
    }.items():
        assert by_name[name].augment == policy
        assert by_name[name].training.epochs == (0 if name.startswith("random") else 2)


def test_what_is_never_drawn_is_not_told():
    policy = {"augment_affine": 0.0, "augment_rotate": 9.0, "augment_erase": 0.5}
    policy |= {"augment_erase_size": 0.2, "augment_crop": 0, "augment_use": "both"}
    assert drawn(policy) == {"erase": 0.5, "erase_size": 0.2}


def test_where_no_policy_is_better_nothing_is_trained_twice():
    config = augmentation.Config(preset="quick", data=("digits",))
    found = {
        f"digits by {name}": {"best": {"augment_use": use, "units": 20}}
        for name, (_, use) in augmentation.SEARCHES.items()
    }
    found["digits by rotation"]["best"]["augment_crop"] = 1
    made = augmentation.networks(config, DIGITS, found)
    assert [(n.network, n.seed) for n in made] == [
        (name, seed)
        for name in (
            "none",
            "features (rotation)",
            "both (rotation)",
            "random weights, none",
        )
        for seed in (0, 1)
    ]


@pytest.mark.parametrize("p", [2.0, 4.0])
def test_the_published_rule_against_a_loop(p):
    rng = np.random.default_rng(0)
    v, weights = rng.random((5, 6)), rng.normal(size=(9, 6))
    expected = np.zeros_like(weights)
    for image in v:
        drives = [sum(np.sign(w) * abs(w) ** (p - 1) * image) for w in weights]
        order = np.argsort(drives)[::-1]
        for place, unit in enumerate(order[:4]):
            g = 1 if place == 0 else -0.3
            expected[unit] += g * (image - drives[unit] * weights[unit])
    network = Published(
        network="x", source=DIGITS, num_units=9, seed=0, p=p, k=3, delta=0.3
    )
    change = network.change(torch.from_numpy(v), torch.from_numpy(weights))
    np.testing.assert_allclose(change, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["joint_search", "augmentation"])
def test_mistakes_get_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert "trials is 0" in mistake(capsys, name, "--trials", "0")
    assert "units is -1" in mistake(capsys, name, "--units", "-1")
    assert "did you mean 'mnist'" in mistake(capsys, name, "--data", "mnits").lower()
