"""Committed results are found by what their settings mean."""

import functools
import importlib
import json
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fastpath.baselines import Backprop
from fastpath.data.images import Images
from fastpath.data.preprocess import Preprocess
from scenarios import faces
from scenarios.support import searches, settings, trials
from scenarios.support.searches import SearchStudy
from scenarios.support.study import paths
from scenarios.support.trials import EndToEnd, Source

RECORDS = {
    "augmentation": 54,
    "dale_training": 36,
    "diehl_cook": 12,
    "faces": 72,
    "hebbian_first_layer": 30,
    "hidden_size": 177,
    "inhibition_learns": 15,
    "joint_search": 54,
    "multilayer": 72,
    "spiking_ladder": 13,
}


def committed(name):
    """Return the settings of the results in a record of `figures/data`."""
    with xr.open_dataset(f"figures/data/{name}.nc", engine="h5netcdf") as record:
        return [str(text) for text in record["settings"].values.ravel() if text]


def trial(**changes):
    made = {
        "network": "back-propagation",
        "source": Source.of("digits", None),
        "num_units": 20,
        "seed": 0,
        "preprocess": Preprocess(),
        "backprop": Backprop(epochs=3, batch_size=100, lr=0.001),
    }
    return EndToEnd(**made | changes)


def test_a_key_stays_what_it_is():
    """A change here loses hours of committed results: see `scenarios.support.settings`."""
    assert settings.canonical(trial()) == (
        '{"backprop":{"batch_size":100,"class":"Backprop","epochs":3,"lr":0.001},'
        '"class":"EndToEnd","network":"back-propagation","num_units":20,'
        '"preprocess":{"center_images":false,"class":"Preprocess","subtract_mean":false,'
        '"unit_norm":false},"seed":0,'
        '"source":{"class":"Source","digest":"","gray":false,"name":"digits"},'
        '"validation":0}'
    )
    assert settings.key(trial()) == "e79b021c70"


def test_a_key_follows_values_not_how_numbers_are_written():
    same = (
        trial(num_units=20.0),
        trial(num_units=np.int64(20)),
        trial(device="cuda"),
        trial(source=Source(name="digits", path="elsewhere", root=Path("there"))),
    )
    assert {settings.key(one) for one in same} == {settings.key(trial())}
    others = (
        trial(seed=1),
        trial(backprop=Backprop(epochs=3, batch_size=100, lr=0.002)),
        trial(backprop=Backprop(epochs=3, batch_size=100, lr=0.001, smoothing=0.1)),
        trial(source=Source(name="digits", path="digits", gray=True)),
        trial(preprocess=Preprocess(unit_norm=True)),
        trial(),
    )
    assert len({settings.key(one) for one in others}) == len(others)


def test_added_and_renamed_fields_keep_the_key(monkeypatch):
    @dataclass
    class Rate:
        lr: float

    added = field(default=0.5, metadata={"neutral": 0.0})
    later = make_dataclass("Rate", [("decay", float, added), ("lr", float)], kw_only=True)
    assert settings.key(later(lr=2, decay=0)) == settings.key(Rate(2.0))
    assert settings.key(later(lr=2)) != settings.key(Rate(2.0))  # its default has an effect
    renamed = make_dataclass("Step", ["size"])
    assert settings.key(renamed(2)) != settings.key(Rate(2))
    names = {"Step": "Rate", "Step.size": "lr"}
    monkeypatch.setattr(settings, "FORMER_NAMES", names)
    assert settings.key(renamed(2)) == settings.key(Rate(2))


@pytest.mark.parametrize("value", [object(), max, Preprocess, {1, 2}])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(TypeError, match="cannot be part of the settings"):
        settings.canonical([value])


@pytest.mark.parametrize(("name", "number"), RECORDS.items())
def test_all_committed_results_are_there_with_canonical_settings(name, number):
    with xr.open_dataset(f"figures/data/{name}.nc", engine="h5netcdf") as record:
        texts = [str(text) for text in record["settings"].values.ravel() if text]
        # The parts of spiking_ladder have no measure in common.
        names = ("error", "dimension", "seconds")
        measured = record[next(name for name in names if name in record)].notnull()
        assert int(measured.any(set(record.dims) & {"epoch"}).sum()) == number
    assert len(set(texts)) == number
    assert [settings.canonical(json.loads(text)) for text in texts] == texts


def images_of(name):
    numbers = {"faces_real_fake": 1633, "cifar10": 50_000, "cifar100": 50_000}
    number = numbers.get(name, 60_000 if name.endswith("mnist") else 20_000)
    shown = np.broadcast_to(np.uint8(0), (number, 28, 28, 1))  # one byte of memory
    labels = np.zeros(number, np.int64)
    return Images(shown, labels, shown[:10_000], labels[:10_000], name, "0", origin=name)


@pytest.mark.parametrize("name", RECORDS)
def test_a_study_finds_all_of_its_committed_results(name, tmp_path, monkeypatch):
    """Without the images: only how many there are has an effect on the settings."""
    study = importlib.import_module(f"scenarios.{name}")
    config = study.Config(out=tmp_path)
    if name == "faces":
        sources = [
            faces.networks.Faces(name=known, digest=digest, gray=gray, path="")
            for digest, known in faces.defaults.KNOWN.items()
            for gray in (True, False)
        ]
    else:
        gray = name == "inhibition_learns"
        sources = [Source(name=data, path=data, gray=gray) for data in config.sets]
    monkeypatch.setattr(Source, "load", stub := lambda self: images_of(self.name))
    monkeypatch.setattr(faces.networks.Faces, "load", stub)
    for module, load in ((trials, "_loaded"), (searches, "load")):
        monkeypatch.setattr(module, load, lambda path, root: images_of(path))
    if isinstance(config, SearchStudy):
        monkeypatch.setattr(searches, "run", None)  # nothing is searched again
        found = study.search(config, paths(config, name))
        networks = functools.partial(study.networks, results=found)
    else:
        networks = study.trials
    asked = [settings.canonical(trial) for s in sources for trial in networks(config, s)]
    assert sorted(asked) == sorted(committed(name))
