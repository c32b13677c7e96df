"""The plan of the deep study: what it compares, chooses and has on record."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from fastpath.layers.stages import Convolution, Interneurons
from scenarios import deep
from scenarios.deep import plan, questions, tables
from scenarios.deep.page import SECTIONS, page
from scenarios.deep.plan import LEARNED
from scenarios.deep.sources import Faces
from scenarios.support import grid, settings
from scenarios.support.trials import Source
from tests.test_scenarios_deep import QUICK, planned


def held_out(errors, question="readouts"):
    """Return a record of errors, by network and readout."""
    networks, views = (list(dict.fromkeys(names)) for names in zip(*errors, strict=True))
    values = [[[errors.get((n, view), np.nan)] for view in views] for n in networks]
    return xr.Dataset(
        {
            "error": (("network", "view", "seed"), values),
            "balanced_error": (("network", "view", "seed"), np.add(values, 7.0)),
            "largest_class": (("network", "seed"), np.full((len(networks), 1), 52.3)),
            "seconds": (("network", "seed"), np.full((len(networks), 1), 1800.0)),
            "learn_seconds": (("network", "seed"), np.full((len(networks), 1), 3600.0)),
        },
        coords={
            "network": [f"digits, {question}, {name}" for name in networks],
            "view": views,
            "seed": [0],
        },
    )


def test_the_best_readout_is_that_of_least_error_on_held_out_images():
    errors = {
        ("learned", "a"): 30.0,
        ("learned", "b"): 29.0,
        ("back-propagation, 0.1", "a"): 20.0,
        ("back-propagation, 0.1", "b"): 22.0,
        ("back-propagation, 0.3", "b"): 19.0,
    }
    assert tables.best(held_out(errors), "digits") == {
        "learned": ("learned", "b"),
        "back-propagation": ("back-propagation, 0.3", "b"),
    }


def test_a_network_as_accurate_as_another_is_the_nearest_with_its_best_readout():
    errors = {
        ("learned", "a"): 30.0,
        ("brief, epochs 1", "a"): 33.0,
        ("brief, epochs 1", "b"): 29.5,
        ("brief, epochs 2", "a"): 29.0,
        ("brief, epochs 2", "b"): 25.0,
    }
    found = tables.as_accurate(held_out(errors), "digits", "brief", "learned")
    assert found == ("brief, epochs 1", "b")


def test_balanced_accuracies_are_shown_of_unbalanced_classes_only():
    errors = {("learned", "a"): 30.0, ("random", "a"): 41.5}
    [title, gain, text, table] = SECTIONS["faces"](held_out(errors, "faces"), "digits")
    wanted = "Learned locally minus controls, balanced accuracy in points: +11.5 (random)"
    assert gain == f"- {wanted}"
    assert title == "## Faces (digits)"
    assert "largest class has 52.3 %" in text
    assert table.splitlines()[2:] == [
        "| learned locally | a | 70.00 (1) | 63.00 (1) | 1.50 |",
        "| random | a | 58.50 (1) | 51.50 (1) | 1.50 |",
    ]
    [*_, table] = SECTIONS["dale"](held_out(errors, "dale"), "digits")
    assert table.splitlines()[2] == "| learned locally | a | 70.00 (1) | 1.50 |"


def test_learned_filters_are_compared_with_controls_of_their_number():
    errors = {
        ("learned", "a"): 30.0,
        ("random", "a"): 41.5,
        ("learned, 48 filters", "a"): 20.0,
        ("random, 48 filters", "a"): 25.0,
    }
    [_, gain, _, _] = SECTIONS["faces"](held_out(errors, "faces"), "digits")
    text = "balanced accuracy in points"
    assert gain.splitlines() == [
        f"- Learned locally minus controls, {text}: +11.5 (random)",
        f"- Learned locally, 48 filters minus controls, {text}: +5.0 (random, 48 filters)",
    ]


def test_faces_have_more_epochs_and_readouts_that_were_compared():
    made = {trial.network: trial for trial in questions.faces(planned("faces"))}
    wide = f"{LEARNED}, {2 * QUICK.small} filters"
    assert set(made) == {
        LEARNED,
        plan.RANDOM,
        plan.KMEANS,
        plan.PATCHES,
        plan.BACKPROP,
        wide,
        f"{plan.RANDOM}, {2 * QUICK.small} filters",
    }
    assert made[wide].num_units == 2 * made[LEARNED].num_units
    assert made[LEARNED].filters.training.epochs == 4
    assert made[plan.RANDOM].filters.training.epochs == 0
    assert made[plan.BACKPROP].filters.backprop.epochs == 4 * QUICK.backprop.epochs
    [short, long] = questions.sizes(planned("sizes", scale=plan.FULL))[0].views
    assert (short.readout.epochs, long.readout.epochs) == (20, 50)
    full = {
        trial.network: trial for trial in questions.faces(planned("faces", scale=plan.FULL))
    }
    assert full[LEARNED].views[-1].readout == long.readout


def test_strengths_of_unlearning_are_compared_for_all_signs_of_weights():
    made = questions.unlearning(planned("unlearning"))
    deltas = {
        trial.network: {
            stage.competition.delta
            for stage in trial.filters.stack.stages
            if isinstance(stage, Convolution)
        }
        for trial in made
    }
    assert deltas == {
        f"{signs}, strength {delta:g}": {delta}
        for signs in ("free signs", "excitatory", "interneurons")
        for delta in (0.1, 0.3, 1.0)
    }
    assert {trial.validation for trial in made} == {QUICK.held_out}


def test_the_cost_of_dales_law_compares_filters_with_those_of_free_signs():
    errors = {
        ("free signs", "all"): 10.0,
        ("free signs, ON and OFF", "all"): 20.0,
        ("excitatory, ON and OFF", "all"): 25.0,
        ("free signs, ON and OFF, random", "all"): 40.0,
        ("interneurons, ON and OFF, random", "all"): 38.0,
    }
    [_, cost, _, _] = SECTIONS["dale"](held_out(errors, "dale"), "digits")
    gap, signed, same = (
        "minus free signs",
        "that see signed rates",
        "that see the same cells",
    )
    assert cost.splitlines() == [
        f"- Excitatory {gap}, learned filters, in points: -15.0 ({signed}), -5.0 ({same})",
        f"- Interneurons {gap}, random filters, in points: +2.0 ({same})",
        "- Learned minus random filters, in points: +20.0 (free signs, ON and OFF)",
    ]


def test_there_is_an_interneuron_for_an_on_and_an_off_cell():
    """With as many as both, inhibition outweighs excitation, and weights grow."""
    made = questions.dale(planned("dale", scale=plan.FULL))  # of gray images
    [stack] = {t.filters.stack for t in made if t.network == "interneurons, ON and OFF"}
    numbers = [stage.num_units for stage in stack.stages if isinstance(stage, Interneurons)]
    assert numbers == [1, plan.FULL.small, 4 * plan.FULL.small]


def test_the_cost_of_dales_law_in_a_dense_layer_is_that_on_record():
    error = grid.read(Path("figures/data/dale_training.nc"))["error"].mean("seed").squeeze()
    found = {
        signs: round(float(error.sel(network=name) - error.sel(network="no signs")), 2)
        for signs, name in (
            ("excitatory", "excitatory only"),
            ("interneurons", "excitatory + interneurons"),
        )
    }
    assert found == tables.DENSE_COST


def test_gains_are_told_of_each_layer_and_control():
    errors = {
        (network, view): error
        for network, errors in (("learned", (30, 20)), ("patches", (45, 33)))
        for view, error in zip(("layer 1", "layer 2"), errors, strict=True)
    }
    [_, gains, *_] = SECTIONS["layers"](held_out(errors, "layers"), "digits")
    assert gains == (
        "- Learned locally minus whitened patches, in points: +15.0 (layer 1), "
        "+13.0 (layer 2)"
    )


def test_settings_are_those_that_were_best_on_held_out_images():
    """They are written in the plan by hand, from the record."""
    record = grid.read(Path("figures/data/deep.nc"))
    found = tables.best(record, "cifar10")
    found[plan.BRIEF] = tables.as_accurate(record, "cifar10", plan.BRIEF, LEARNED)
    assert {kind: view for kind, (_, view) in found.items()} == plan.BEST_HEAD
    assert found[plan.BACKPROP][0] == f"{plan.BACKPROP}, {plan.FULL.backprop.lr:g}"
    assert found[plan.BRIEF][0] == f"{plan.BRIEF}, epochs {plan.FULL.brief}"
    for signs, (_, delta) in questions.SIGNS.items():
        errors = {
            strength: float(
                tables.of(
                    record, "unlearning", "cifar10", f"{signs}, strength {strength:g}"
                )["error"].min()
            )
            for strength in questions.DELTAS
        }
        assert min(errors, key=lambda strength: errors[strength]) == delta


FACES = {
    kind: Faces(name=name, digest=digest, path=name, kind=kind)
    for kind, name, digest in (
        ("gender", "faces_utk", "aedbea0ba9"),
        ("ethnicity", "faces_utk", "aedbea0ba9"),
        ("real or fake", "faces_real_fake", "0d3e994f1f"),
    )
}
SHAPES = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1)}
SHAPES |= {face.name: (64, 64, 3) for face in FACES.values()}


def test_the_study_finds_its_committed_results(monkeypatch):
    for kind in (Source, Faces):
        monkeypatch.setattr(
            kind,
            "load",
            lambda self: SimpleNamespace(shape=SHAPES.get(self.name, (32, 32, 3))),
        )
    config = deep.Config()
    wanted = {
        settings.canonical(trial)
        for question in config.questions
        for data in config.sets(question)
        for seed in config.seeds_for(question)
        for trial in questions.NETWORKS[question](
            planned(
                question,
                source=FACES.get(data, Source(name=data, path=data)),
                seed=seed,
                scale=plan.FULL,
            )
        )
    }
    record = grid.read(Path("figures/data/deep.nc"))
    found = [str(text) for text in record["settings"].values.ravel() if text]
    assert found
    assert wanted.issuperset(found)


def test_each_question_has_its_data_and_seeds():
    assert deep.Config(preset="quick").sets("faces") == ("digits",)
    assert deep.Config(data=("mnist",)).sets("records") == ("mnist",)
    assert list(deep.Config(seeds=2).seeds_for("ablation")) == [0, 1]


def test_the_page_is_that_of_the_committed_record():
    record = grid.read(Path("figures/data/deep.nc"))
    assert Path("figures/deep.md").read_text(encoding="utf-8") == page(record, "deep.png")


def test_the_readme_tells_what_is_on_record():
    record = grid.read(Path("figures/data/deep.nc")).sel(seed=0)

    def accuracy(question, data, network, view="all layers, mirror mean"):
        name = f"{data}, {question}, {network}"
        return f"{100 - float(record['error'].sel(network=name, view=view)):.1f}"

    def beside_random(question, data, suffix="", **view):
        learned, random = (
            accuracy(question, data, network + suffix, **view)
            for network in (LEARNED, plan.RANDOM)
        )
        return f"{learned} ({random})"

    backprop, local = (
        accuracy("layers", "cifar10", network, "all layers")
        for network in (plan.BACKPROP, LEARNED)
    )
    text = " ".join(Path("README.md").read_text(encoding="utf-8").split())
    for told in (
        f"CIFAR-10 {beside_random('records', 'cifar10')}",
        f"CIFAR-100 {beside_random('records', 'cifar100')}",
        f"Fashion-MNIST {beside_random('records', 'fashion_mnist')}",
        f"MNIST {beside_random('records', 'mnist', view='all layers')}",
        f"gender from colour faces {beside_random('faces', 'gender', ', 48 filters')}",
        f"back-propagation has {backprop} on CIFAR-10 and the local rule {local}",
    ):
        assert told in text


@pytest.mark.parametrize(("gain", "chance"), [(0.42, True), (1.0, False)])
def test_a_gain_that_may_be_chance_is_called_so(gain, chance):
    errors = {("learned", "all layers"): 7.0, ("random", "all layers"): 7.0 + gain}
    _, told, *_ = SECTIONS["records"](held_out(errors, "records"), "digits")
    assert f"learning adds {gain:.2f} points to random filters" in told
    # 2 sqrt((0.07 * 0.93 + 0.0742 * 0.9258) / 10000) = 0.0073
    assert ("which may be chance (two standard errors: 0.73 points)" in told) == chance


def test_the_part_of_layer_1_is_told():
    errors = {
        ("learned", "layer 3"): 20.0,
        ("random", "layer 3"): 30.0,
        (plan.FIRST, "layer 3"): 21.0,
    }
    [_, told, *_] = SECTIONS["ablation"](held_out(errors, "ablation"), "digits")
    assert told == (
        "- **Learning adds 10.0 points to random filters, read from layer 3. If only "
        "layer 1 learns, it adds 9.0.**"
    )
