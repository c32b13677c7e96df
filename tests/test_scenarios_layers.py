"""Layers under signs, and layers one above the other: against loops, and in small."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath.competition import Ranking
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import LearningStage
from fastpath.readout import Readout
from fastpath.training.loop import Training, train
from scenarios import dale_training, multilayer
from scenarios.dale_training import SIGNS
from scenarios.dale_training.networks import Signed
from scenarios.support.trials import Source
from tests.fastpath.stage_loops import decorrelation
from tests.helpers import few_digits, figures_saved, heights, small_study

DIGITS = Source.of("digits", None)


def signed(signs, **changes):
    made = {
        "network": "signed",
        "source": DIGITS,
        "num_units": 12,
        "seed": 0,
        "preprocess": Preprocess(subtract_mean=True, unit_norm=True),
        "signs": signs,
        "p": 2.0,
        "competition": Ranking(k=2, delta=0.4),
        "training": Training(epochs=3, lr=0.5),
        "readout": Readout(epochs=2),
        "num_interneurons": 5 if signs == "interneurons" else 0,
    }
    return Signed(**made | changes)


@pytest.mark.parametrize("signs", SIGNS)
def test_signs_hold_and_break_where_nothing_keeps_them(signs, monkeypatch):
    assert float(signed(signs).compute()["wrong_signs"]) == 0
    if signs == "free":
        return
    kind = type(signed(signs).constraint(64, torch.Generator()))
    monkeypatch.setattr(kind, "__call__", lambda self, rows, units: rows)
    assert float(signed(signs).compute()["wrong_signs"]) > 0


def test_interneurons_are_non_negative_and_balanced():
    trial = signed("interneurons", preprocess=Preprocess())
    _, parts, generator = trial.begin()
    wrong: list[int] = []
    relay = trial.interneurons(parts, generator, wrong).balanced(parts.x_train)
    assert wrong == [0] * trial.training.epochs
    assert (relay.weights >= 0).all()
    inputs = relay.beside(parts.x_train[:50])
    pixels = parts.x_train[:50].flatten(1) / 255
    rates = relay.gain * pixels @ relay.weights.T
    torch.testing.assert_close(inputs, torch.cat([pixels, rates], dim=1))
    norms = [part.norm(dim=1).mean() for part in relay.beside(parts.x_train).split(64, 1)]
    assert float(norms[0] / norms[1]) == pytest.approx(1, rel=1e-5)
    signs = trial.constraint(64 + 5, generator).signs[0]
    assert signs.tolist() == [1] * 64 + [-1] * 5
    units = torch.rand(3, 69, generator=generator) * signs
    drive = relay.effective(units) @ pixels.T
    torch.testing.assert_close(drive, units @ inputs.T, rtol=1e-4, atol=1e-4)


def test_share_of_signs_is_that_of_dales_law():
    trial = signed("by input")
    generator = torch.Generator().manual_seed(0)
    signs = trial.constraint(5000, generator).signs
    assert signs.shape == (1, 5000)
    assert float((signs == 1).float().mean()) == pytest.approx(0.8, abs=0.02)
    rows = replace(trial, signs="by unit").constraint(5000, generator).signs
    assert rows.shape == (12, 1)


@pytest.mark.slow
def test_a_layer_on_top_sees_the_rates_of_the_one_below():
    trials = multilayer.trials(multilayer.Config(preset="quick", seeds=1, units=30), DIGITS)
    deep = next(trial for trial in trials if trial.network == "3 layers")
    towers: list[xr.Dataset] = []
    for tower in deep.needs:
        towers.append(tower.compute(*towers))
    _, parts, _ = deep.begin()
    v = parts.x_train.flatten(1).double() / 255
    for layer, tower in zip(deep.layers[:-1], towers, strict=False):
        w = torch.from_numpy(tower["weights"].values).double()
        if layer.decorrelate is not None:
            expected = decorrelation(v, layer.decorrelate)
            np.testing.assert_allclose(tower["mixing"], expected, rtol=0, atol=1e-3)
            v = v @ torch.from_numpy(tower["mixing"].values).double()
            mean = v.mean(dim=0).float()
            np.testing.assert_allclose(tower["mean"], mean, rtol=0, atol=1e-4)
        v = v - v.mean(dim=0) * layer.preprocess.subtract_mean
        cosine = (v / v.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=1, keepdim=True)).T
        v = cosine.clamp(min=0) ** layer.power
    assert [layer.decorrelate for layer in deep.layers] == [None, 0.1, 0.1]
    x, fitted = parts.x_train, deep.layers[0].preprocess.fit(parts.x_train)
    stack = multilayer.networks.loaded(deep.layers[:-1], towers[:-1], x)
    seen = multilayer.networks.outputs(stack, x, fitted)
    torch.testing.assert_close(seen.double(), v, rtol=1e-3, atol=1e-5)
    result = deep.compute(*towers)
    assert float(result["error"]) < 60  # chance: 90


def test_a_tower_is_a_greedy_stack_whose_lower_layers_have_learned():
    """Of 0 epochs, on top of what is there: the same weights, and what is fitted."""
    trials = multilayer.trials(multilayer.Config(preset="quick", seeds=1, units=20), DIGITS)
    deep = next(trial for trial in trials if trial.network == "3 layers")
    layers = tuple(
        replace(layer, training=replace(layer.training, epochs=2)) for layer in deep.layers
    )
    towers: list[xr.Dataset] = []
    for tower in replace(deep, layers=layers).needs:
        towers.append(tower.compute(*towers))
    *lower, top = multilayer.networks.stages(layers)
    below = [
        replace(s, epochs=0) if isinstance(s, LearningStage) else s for s in chain(*lower)
    ]
    settings = StackSettings(stages=(*below, *top), greedy=True)
    _, parts, _ = deep.begin()
    x, generator = parts.x_train, torch.Generator().manual_seed(3000)
    stack = settings.start(x.shape[1:], generator=torch.Generator())
    weights = [torch.from_numpy(tower["weights"].values) for tower in towers]
    start = torch.randn(20, 20, generator=generator)
    for i, given in zip(stack.learners, (*weights[:2], start), strict=True):
        stack.parts[i].weights.copy_(given)
        stack.parts[i].bank.renew()
    train(
        stack,
        x,
        competition=layers[-1].competition,
        training=layers[-1].training,
        preprocess=layers[0].preprocess.fit(x),
        generator=generator,
        progress=False,
    )
    assert (weights[-1] - start).abs().max() > 0.1
    expected = multilayer.networks.loaded(layers, towers, x).state
    for name, tensor in stack.state.items():
        # Measured 0, but products of other numbers of images may be rounded differently.
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_three_layers_share_the_first(tmp_path):
    result = multilayer.main(small_study(multilayer, tmp_path, units=30))
    layers = list((tmp_path / "run" / "trials").glob("Tower-*"))
    heights = [
        len(trial.needs)
        for trial in multilayer.trials(small_study(multilayer, tmp_path, units=30), DIGITS)
    ]
    assert len(layers) == 12  # a first, ten seconds, a third: 24 if each had its own
    assert sum(heights) == 24
    assert result["error"].notnull().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "few"),
    [(multilayer, {"depth": 1}), (dale_training, {"signs": ("excitatory",)})],
)
def test_other_sizes_and_sets_are_kept_but_not_shown(tmp_path, module, few):
    config = small_study(module, tmp_path, units=10, **few)
    first = module.main(config)
    other = few_digits(tmp_path, "few.npz")
    module.main(replace(config, units=12))
    sets = (other,) if module is multilayer else other
    module.main(replace(config, data=sets))
    again = module.main(config)
    xr.testing.assert_equal(of_digits(again), of_digits(first))
    assert "±" not in module.table(again)
    record = tmp_path / "run" / "data" / f"{module.__name__.split('.')[1]}_quick.nc"
    with xr.open_dataset(record) as kept:
        assert set(kept["num_units"].values) == {10, 12}
        assert set(kept["data"].values) == {"digits", "few"}


def of_digits(result):
    error = result["error"]
    return error.sel(data="digits") if "data" in error.dims else error


def test_inputs_of_dales_law_are_not_negative(tmp_path):
    config = small_study(dale_training, tmp_path, units=10)
    for source in (DIGITS, Source.of(few_digits(tmp_path, "few.npz"), None)):
        for trial in dale_training.trials(config, source):
            inhibited = trial.signs == "inhibitory"
            assert (trial.preprocess == Preprocess()) != inhibited


@pytest.mark.slow
def test_dale_main_draws_and_tells(tmp_path, capsys):
    settings = {"units": 10, "data": few_digits(tmp_path, "few.npz")}
    with figures_saved() as figures:
        result = dale_training.main(small_study(dale_training, tmp_path, **settings))
    shown = capsys.readouterr().out
    assert "80/20 by unit (not Dale)" in shown
    assert (tmp_path / "run" / "dale_training_quick.png").exists()
    titles = list(dale_training.TITLES.values())
    bars, *fields = figures[0].axes
    assert [ax.get_title() for ax in fields] == titles
    learned = result["error"].sel(network=titles).values.ravel()
    np.testing.assert_array_equal(heights(bars)[: len(titles)], learned)
