"""Studies that search: what was found is recorded, and trained as it was found."""

import json

import pytest
import xarray as xr

from fastpath.cli import main
from fastpath.search.objective import Objective
from scenarios import augmentation, joint_search
from scenarios.support.searches import Tuned, as_texts
from scenarios.support.trials import Source
from tests.helpers import mistake, run_scenario

DIGITS = Source.of("digits", None)
QUICK = ("units=10", "epochs=2", "head_epochs=1")


def test_a_tuned_network_is_that_of_the_command(tmp_path):
    trial = Tuned(
        network="x", source=DIGITS, num_units=10, seed=1, settings=(*QUICK, "lr=0.3")
    )
    found = trial.compute()
    out = tmp_path / "run"
    flags = ["--units", "10", "--epochs", "2", "--head-epochs", "1", "--lr", "0.3"]
    main(["train", "--data", "digits", *flags, "--seed", "1", "--out", str(out)])
    metrics = json.loads((out / "metrics.json").read_text())
    assert float(found["error"]) == metrics["test_error"]
    assert float(found["train_error"]) == metrics["train_error"]


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
    assert by_name["its own search"].settings == ("lr=0.5", "units=30")
    assert by_name["search over all"].settings == ("lr=0.25", "units=30")
    assert by_name["defaults"].settings == ("units=30",)
    assert "p=4" in by_name["published search"].settings
    assert by_name["back-propagation"].backprop.epochs == 100


def test_policies_reach_the_trainings_that_they_are_for():
    config = augmentation.Config(preset="quick", data=("digits",), seeds=1)
    found = {
        f"digits by {name}": {"best": {"augment_crop": i, "augment_use": use, "units": 20}}
        for i, (name, (_, use)) in enumerate(augmentation.SEARCHES.items(), start=1)
    }
    by_name = {n.network: n.settings for n in augmentation.networks(config, DIGITS, found)}
    quick = config.settings
    assert by_name["none"] == quick
    crop, use = "augment_crop={}", "augment_use={}"
    for name, number, where in (
        ("features (rotation)", 1, "features"),
        ("features (labels)", 2, "features"),
        ("readout (labels)", 3, "readout"),
        ("both (rotation)", 1, "both"),
        ("both (labels)", 2, "both"),
    ):
        assert by_name[name] == (crop.format(number), use.format(where), *quick)
    control = by_name["random weights, readout (labels)"]
    assert control[:3] == ("control=random", "augment_crop=3", "augment_use=readout")
    assert not any(text.startswith("epochs=") for text in control)


@pytest.mark.parametrize("name", ["joint_search", "augmentation"])
def test_mistakes_get_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert "trials is 0" in mistake(capsys, name, "--trials", "0")
    assert "units is -1" in mistake(capsys, name, "--units", "-1")
    assert "did you mean 'mnist'" in mistake(capsys, name, "--data", "mnits").lower()
