"""Summaries: which of least and most, mean and median, they report, and over what."""

import statistics

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from neurodyn import equilibrium
from scenarios import dale_learns, hebbian_first_layer, hidden_size, multilayer, quickstart
from scenarios.hebbian_first_layer.networks import Curve
from scenarios.ladder import answers, training
from scenarios.ladder.networks import Source
from scenarios.support import statistics as seed_statistics
from scenarios.support.circuit import Learned

SEEDS, UNITS = 3, (10, 20)


def random(rng, **dims):
    """Return different numbers between 0 and 0.9, labelled."""
    shape = [len(values) for values in dims.values()]
    values = rng.permutation(np.linspace(0, 0.9, int(np.prod(shape)))).reshape(shape)
    return xr.DataArray(values, dims=list(dims), coords=dims)


@pytest.fixture
def ladder():
    """Results of the ladder in which no two numbers of one kind are the same."""
    rng = np.random.default_rng(8)
    place = {"num_units": list(UNITS), "images": ["raw", "unit norm"]}
    place["seed"] = list(range(SEEDS))
    step = place | {"stage": ["early", "late"], "w_inh": [0.5, 0.9, 1.2]}
    levels = ["continuous", "gated", "settled", "ranking", "Hebb only"]
    chosen = {"k": [2, 3], "delta": [0.2, 0.4]}
    of_level = {"h_star": ["fixed", "0.5", "0.99"], "duration": [5.0, 20.0, 100.0]} | chosen
    of_level |= {"level": levels, "reference": ["equilibrium", "ranking"]}
    kinds = {"threshold": ["fixed", "share", "share, any delta"]}
    mimic = place | chosen
    dale = {"dale_w_inh": [0.5, 1.2], "tau_inh": [0.1, 0.5, 2.0], "seed": place["seed"]}
    dale["dale_duration"] = [20.0, 100.0]
    result = xr.Dataset(
        {
            "cosine": random(rng, **step, **of_level),
            "same_g": random(rng, **step, **of_level),
            "order_equal": random(rng, **step, duration=of_level["duration"]),
            **{
                f"mimic_{name}": random(rng, **mimic, **kinds)
                for name in ("w_inh", "h_star", "cosine")
            },
            "mimic_floor": random(rng, **mimic),
            **{
                f"ei_{name}": random(rng, **dale)
                for name in ("same_g", "cosine_continuous")
            },
            "ei_bounded": xr.ones_like(random(rng, **dale)),
        }
    )
    return result


def percent(value):
    return f"{value:.0%}"


def test_the_time_needed_is_that_of_the_worst_case(ladder):
    """Two sizes, of which one is near from 5 τ on, the other from 100 τ on."""
    cosine = ladder["cosine"]
    cosine[:] = 0.0
    near = xr.DataArray(
        [[1.0, 1.0, 1.0], [0.5, 0.98, 0.995]],
        dims=("num_units", "duration"),
        coords={"num_units": list(UNITS), "duration": [5.0, 20.0, 100.0]},
    )
    cosine.loc[{"w_inh": 0.5, "k": 2, "delta": 0.4, "reference": "equilibrium"}] = near
    assert answers.needed(ladder, "settled") == {0.5: (100.0, 100.0), 0.9: (np.inf, 100.0)}
    cosine.loc[{"w_inh": 0.9, "k": 2, "delta": 0.4, "reference": "equilibrium"}] = 1.0
    said = answers.circuit_by_equilibrium(ladder)
    assert "from 100 τ at w_inh 0.5, 5 τ at w_inh 0.9" in said
    assert "(T (1 - w_inh)/τ: at most 50.0)" in said  # of 50 and 0.5
    order = percent(ladder["order_equal"].values.min())
    assert f"have the same order on {order} of images" in said


def test_seeds_are_averaged_before_the_worst_case_is_taken(ladder):
    """One seed below the bound, but not their mean."""
    where = {"w_inh": 0.5, "k": 2, "delta": 0.4, "reference": "equilibrium"}
    ladder["cosine"].loc[where] = xr.DataArray([0.985, 0.995, 0.996], dims="seed")
    assert answers.needed(ladder, "gated")[0.5] == (5.0, 100.0)


def test_the_ranking_is_shown_at_its_best_inhibition_beside_its_floor(ladder):
    view = {"duration": 5.0, "reference": "equilibrium", "stage": "late"}
    view |= {"k": 2, "delta": 0.4}
    said = answers.equilibrium_by_ranking(ladder)
    for num_units in UNITS:
        one = ladder.sel(view | {"num_units": num_units}).mean(("seed", "images"))
        best = one.sel(h_star="0.99")
        by_w = best["cosine"].sel(level="ranking").values
        at = {"w_inh": [0.5, 0.9, 1.2][int(by_w.argmax())]}
        fixed = one["cosine"].sel(h_star="fixed", level="ranking", **at).item()
        floor = best["cosine"].sel(level="Hebb only", **at).item()
        same = best["same_g"].sel(level="ranking", **at).item()
        assert (
            f"{num_units} units: {by_w.max():.2f} at best (w_inh {at['w_inh']:g}, h* just "
            f"below the winner's activity; {fixed:.2f} with one fixed h*), {floor:.2f} "
            f"without the anti-Hebbian term; g is identical on {percent(same)} of images"
        ) in said


@pytest.mark.parametrize(("worst", "verdict"), [(0.01, "above"), (-0.01, "not in every")])
def test_an_imitation_is_above_its_floor_if_it_is_in_every_seed(ladder, worst, verdict):
    away = xr.DataArray([worst, 0.2, 0.1], dims="seed")
    ladder["mimic_cosine"].loc[{"threshold": "share"}] = ladder["mimic_floor"] + away
    said = answers.imitation(ladder).split("give ")[1:]
    assert len(said) == len(UNITS) * 2
    for clause in said:
        assert clause.split(", ")[1].startswith(verdict)


def test_the_circuit_of_dales_law_is_judged_by_its_worst_time_constant(ladder):
    said = answers.exc_inh(ladder)
    last = ladder.sel(dale_duration=100.0)
    for w_inh in (0.5, 1.2):
        one = last.sel(dale_w_inh=w_inh)
        same = one["ei_same_g"].values.mean(axis=1)
        cosine = one["ei_cosine_continuous"].values.mean(axis=1)
        assert (
            f"w {w_inh:g}: the equilibrium's g on {percent(same.min())} of images or more, "
            f"continuous cos(ΔW) with eq. 8 of {cosine.min():.3f} or more"
        ) in said
    assert "T = 100 τ" in said
    bounded = ladder["ei_bounded"]
    bounded.loc[{"dale_w_inh": 1.2, "tau_inh": 2.0}] = 0
    ladder["ei_same_g"].loc[{"dale_w_inh": 1.2, "tau_inh": 2.0}] = np.nan
    assert "; activity runs away with τ_I/τ_E = 2" in answers.exc_inh(ladder)


def test_features_are_medians_of_units_and_means_of_seeds():
    rng = np.random.default_rng(9)
    rules = ["ranking", "equilibrium"]
    units = {"unit": range(5), "seed": range(SEEDS)}
    result = xr.Dataset(
        {
            "feature_cosine": random(rng, rule=rules, other_rule=rules, **units),
            "other_seed_cosine": random(rng, rule=rules, **units),
            "same_unit_cosine": random(rng, rule=rules, snapshot=[0, 5], seed=range(SEEDS)),
            "train_w_inh": 0.75,
        },
        attrs={"config": '{"train_duration": 50}'},
    ).expand_dims(num_units=[10])

    def spoken(values):
        return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"

    def of(name, **where):
        return result[name].isel(num_units=0).sel(where).values

    alike = np.median(
        of("feature_cosine", rule="ranking", other_rule="equilibrium"), axis=0
    )
    other = np.median(of("other_seed_cosine", rule="equilibrium"), axis=0)
    end = of("same_unit_cosine", rule="ranking", snapshot=5)
    said = answers.features(result)
    assert f"mean of units: ranking {spoken(end)} (the settled" in said
    assert "T (1 - w_inh) / τ = 25.0," in said  # 2 · 50 · (1 − 0.75)
    assert f"median of units: ranking {spoken(alike)}; " in said
    assert said.endswith(f"the equilibrium with another seed {spoken(other)}.")


def test_costs_are_of_the_fastest_circuit():
    ways = {
        "continuous, cpp": 0.5,
        "settled, numpy": 90.0,
        "settled, cpp": 6.0,
        "settled, cython": 30.0,
        "equilibrium, batch 100": 0.3,
        "ranking, batch 100": 0.1,
    }
    result = xr.Dataset(
        {"seconds_per_1000": (("num_units", "way"), [list(ways.values())])},
        coords={"num_units": [10], "way": list(ways)},
    ).assign(full_w_inh=("num_units", [0.7]))
    said = answers.gain(result)
    assert "10 units: settled, cpp 6, equilibrium 0.3, ranking 0.1" in said
    assert "the equilibrium is 20 times as fast as the circuit" in said
    assert "the ranking 3.0 times as fast as the equilibrium" in said


VALUES = np.array([2.0, 3.0, 7.0])  # mean 4, median 3, sd √7 over the seeds, not √(14/3)


def test_seeds_are_summed_up_by_mean_and_the_sd_of_a_sample():
    expected = {"mean": 4.0, "sd": pytest.approx(7**0.5), "seeds": VALUES.tolist()}
    assert seed_statistics.summary(VALUES.tolist()) == expected
    assert seed_statistics.summary([5.0]) == {"mean": 5.0, "sd": 0.0, "seeds": [5.0]}
    assert seed_statistics.entry(VALUES) == "4.00 ± 2.65"
    assert seed_statistics.entry(np.append(VALUES, np.nan)) == "4.00 ± 2.65"
    assert (seed_statistics.entry(VALUES[:1]), seed_statistics.entry(VALUES[:0])) == (
        "2.00 (1)",
        "-",
    )
    seeds = xr.DataArray(VALUES, dims="seed")
    assert seed_statistics.mean_sd(seeds) == "4.00 ± 2.65"
    assert seed_statistics.mean_sd(seeds[:1]) == "2.00 ± 0.00"


def test_figures_show_the_same_means_and_spreads():
    figure, axes = plt.subplots(2, 2)
    errors = xr.DataArray(
        np.tile(VALUES, (2, 1, 1)),
        dims=("network", "num_units", "seed"),
        coords={"network": ["local rule", "k-means"], "num_units": [10], "seed": range(3)},
        name="error",
    )
    hidden_size.draw_set(axes[0, 0], errors.to_dataset())
    bars = axes[0, 0].containers[0]
    assert bars.lines[0].get_ydata().tolist() == [4.0]
    (segment,) = bars.lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [4 - 7**0.5, 4 + 7**0.5])
    renamed = errors.isel(num_units=0).assign_coords(network=["1 layer", "2 layers"])
    multilayer.draw_set(axes[0, 1], renamed.to_dataset())
    drawn = axes[0, 1].containers[-1]
    np.testing.assert_allclose([bar.get_width() for bar in drawn], [4, 4])
    (segment, _) = drawn.errorbar.lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 0], [4 - 7**0.5, 4 + 7**0.5])
    curve = errors.isel(num_units=0).expand_dims(epoch=[1, 2], axis=1)
    names = ["end to end", "Hebbian start"]
    hebbian_first_layer.draw_errors(axes[1, 0], curve.assign_coords(network=names))
    assert axes[1, 0].lines[0].get_ydata().tolist() == [4.0, 4.0]
    band = axes[1, 0].collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [4 - 7**0.5, 4 + 7**0.5])
    plt.close(figure)


def test_classes_shown_are_those_that_are_recognised_least():
    accuracy = xr.DataArray(
        np.stack([np.arange(12.0), np.arange(12.0)[::-1] * 3])[:, None],
        dims=("network", "epoch", "label"),
        coords={"label": list("abcdefghijkl")},
    )
    # The mean over networks falls from a to l: the first two have the highest.
    shown = hebbian_first_layer.hardest(accuracy)["label"].values.tolist()
    assert shown == list("lkjihgfedc")


def test_the_curve_counts_the_images_of_each_class():
    y = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    curve = Curve([torch.eye(3)[[0, 1, 0]], torch.eye(3)[[1, 2, 1, 0, 1]]], y, "abc")
    for _ in range(2):
        curve.add(1, lambda block: block)
    found = curve.dataset()
    np.testing.assert_allclose(found["error"], [37.5, 37.5])
    np.testing.assert_allclose(found["accuracy"][0], [200 / 3, 60.0, np.nan], rtol=1e-6)


def test_what_is_judged_of_weights_is_counted_over_the_probes(monkeypatch):
    """Wins of 3, 1 and 0 probes; active units of the fixed point."""
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    probes = torch.tensor([[1.0, 0.2], [1.0, 0.9], [0.7, 0.1], [0.3, 0.4]]).double()
    monkeypatch.setattr(Source, "seen", lambda *_: probes)
    monkeypatch.setattr(
        training.experiment, "read_out", lambda *_, **__: (None, {"test_error": 12.0})
    )
    source = Source(data="digits", unit_norm=False, seed=0)
    found = training.judged(weights, source, w_inh=0.5, head_epochs=1, validation=False)
    assert int(found["winless"]) == 1
    shares = [0.75, 0.25]
    assert float(found["used"]) == pytest.approx(
        np.exp(-sum(p * np.log(p) for p in shares))
    )
    # Both are active where the smaller drive is above half of the larger.
    assert float(found["active"]) == (1 + 2 + 1 + 2) / 4
    np.testing.assert_allclose(found["weight_norm"], [1, 1, 2**0.5])


def test_the_verdict_of_dales_circuit_is_by_the_larger_spread():
    def error(mean, sd):
        return {"mean": mean, "sd": sd}

    errors = {
        dale_learns.experiment.DALE: error(5.0, 0.4),
        dale_learns.experiment.RANKED: error(5.3, 0.1),
    }
    errors[dale_learns.experiment.RANDOM] = error(6.0, 1.1)
    said = dale_learns.summary.verdict({"error": errors})
    assert said.count("within the seeds' spread") == 2


def test_dale_summaries_are_of_late_samples_and_all_units():
    rng = np.random.default_rng(10)
    h = rng.normal(0.1, 0.3, (9, 4))
    h[:, 3] = -1.0
    h[0, 3] = 9.0  # at the start, which is no presentation
    weights = rng.random((3, 4, 6)) - 0.1
    run = xr.Dataset(
        {
            "activity": (("time", "unit"), h),
            "inhibition": (("time", "unit"), abs(rng.normal(0.2, 0.1, (9, 4)))),
            "weights": (("unit", "pixel"), np.maximum(weights[-1], 0)),
            "weights_snapshots": (("snapshot", "unit", "pixel"), weights),
            "weight_norm": (("image", "unit"), [[9.0] * 4, [1.0, 2.0, 4.0, 9.0]]),
        },
        attrs={"run_seconds": 2.0},
    )
    config = dale_learns.Config(units=4, num_inh=1, epochs=2)
    names = (*dale_learns.experiment.POWER, dale_learns.experiment.BACKPROP)
    generator = torch.Generator().manual_seed(0)
    fields = {
        name: [torch.rand(4, 6, generator=generator) for _ in range(2)]
        for name in dale_learns.experiment.POWER
    }
    errors = {name: [2.0, 4.0] for name in names}
    found = dale_learns.summary.summarise(config, [run, run], fields, errors, num_images=7)
    late, i = h[-2:], run["inhibition"].values[-2:]
    assert found["presentations"] == 14
    assert found["sign_violations"] == {"weights": 2 * int((weights < 0).sum())}
    assert found["zero_weights"] == pytest.approx((weights[-1] <= 0).mean())
    assert found["active_units"] == (late > 0).sum(axis=1).mean()
    assert found["hebbian_units"] == (late >= 0.3).sum(axis=1).mean()
    assert found["units_that_never_win"] == (h[1:] < 0.3).all(axis=0).sum()
    e = np.maximum(late + i, 0)
    balance = ((e - i) / (e + i))[late > 0]
    assert found["balance_of_active_units"] == pytest.approx(np.median(balance))
    assert found["norm_median"] == 3.0
    assert found["run_seconds"] == 4.0
    assert found["error"][dale_learns.experiment.FREE]["sd"] == pytest.approx(
        statistics.stdev([2, 4])
    )


def test_the_quickstart_compares_by_largest_and_median_distance():
    """Against loops over images and units."""
    rng = np.random.default_rng(12)
    weights = rng.normal(0.2, 1.0, (5, 6))
    seen, held_out = rng.random((30, 6)), rng.random((4, 6))
    drive = held_out @ weights.T
    settled = equilibrium.settle(drive, w_inh=0.6)
    h = settled + rng.normal(0, 0.02, settled.shape)
    run = xr.Dataset(
        {
            "drive": (("image", "unit"), drive),
            "final_activity": (("image", "unit"), h),
        },
        attrs={"config": '{"dt_ms": 0.5}'},
    )
    tensors = (torch.from_numpy(array) for array in (weights, held_out, seen))
    learned = Learned(*tensors)
    found = quickstart.experiment.compare(run, learned, w_inh=0.6)
    away = [abs(h[b] - settled[b]) / drive[b].max() for b in range(4)]
    assert found["distance_max"] == pytest.approx(np.max(away))
    assert found["distance_median"] == pytest.approx(np.median(np.ravel(away)))
    order = [(np.argsort(h[b]) == np.argsort(drive[b])).all() for b in range(4)]
    assert found["order_equal"] == np.mean(order)
    sets = [((h[b] > 0) == (settled[b] > 0)).all() for b in range(4)]
    assert found["active_sets_equal"] == np.mean(sets)
    ours = [[1 if x >= found["h_star"] else -0.4 if x >= 0 else 0 for x in r] for r in h]
    theirs = [
        [1 if x >= found["h_star"] else -0.4 if x >= 0 else 0 for x in r] for r in settled
    ]
    assert found["g_circuit"] == np.mean(
        [a == b for a, b in zip(ours, theirs, strict=True)]
    )
    assert found["active_units"] == (h > 0).sum(axis=1).mean()
    before = equilibrium.settle(seen @ weights.T, w_inh=0.6)
    single = [np.sum((before >= c).sum(axis=1) == 1) for c in before.max(axis=1)]
    chosen = ((before >= found["h_star"]).sum(axis=1) == 1).sum()
    assert chosen >= max(single) - 1
