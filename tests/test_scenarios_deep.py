"""Stacks that learn locally: what readouts see, perturbations, and the study in small."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import experiment
from fastpath.competition import Equilibrium, Soft
from fastpath.layers import StackSettings
from fastpath.layers.stages import Convolution, Read
from fastpath.readout import Held
from scenarios import deep
from scenarios.deep import plan, questions, tables
from scenarios.deep.networks import PLAIN, Accuracy, Filters, Seen, View, balanced_error
from scenarios.deep.plan import LEARNED, QUICK, Plan
from scenarios.deep.sources import source_of
from scenarios.support import grid
from scenarios.support.trials import Source
from tests.helpers import figures_saved, panels

HEAD = replace(plan.HEAD, epochs=3)


def digits():
    return Source.of("digits", None)


def planned(question, **changes):
    common = {"source": digits(), "seed": 0, "scale": QUICK, "device": "cpu"}
    return Plan(question=question, **common | changes)


def only(question, name, **changes):
    """Return one network of the quick study."""
    [found] = [
        trial
        for trial in questions.NETWORKS[question](planned(question, **changes))
        if trial.network == name
    ]
    return found


@pytest.fixture(scope="module")
def learned():
    """The filters of the quick study, and what they learned."""
    filters = only("layers", LEARNED).filters
    return filters, filters.compute()


def restored(learned):
    filters, result = learned
    _, split, _ = filters.begin()
    return (*filters.load(result, split), split)


def test_filters_are_those_of_an_experiment_and_come_back_from_a_file(learned, tmp_path):
    filters, result = learned
    _, split, generator = filters.begin()
    layer, fitted, _ = experiment.learn_features(
        split,
        layer=filters.stack,
        competition=Soft(),
        training=filters.training,
        preprocess=PLAIN,
        generator=generator,
        progress=False,
    )
    result.to_netcdf(tmp_path / "filters.nc", engine="h5netcdf")
    stack, preprocess = filters.load(grid.read(tmp_path / "filters.nc"), split)
    v = fitted(split.x_eval)
    assert torch.equal(preprocess(split.x_eval), v)
    assert torch.equal(stack.features(v, power=1.0), layer.features(v, power=1.0))
    start = replace(filters, training=plan.RANDOM_TRAINING).compute()
    assert (start["1.weights"] != result["1.weights"]).all()


@pytest.mark.slow
def test_mirror_images_are_learned_from(learned):
    """Half of them: a stack that learns from images that are all alike does not notice."""
    filters, result = learned
    flipped = replace(filters, flips=True)
    assert (flipped.compute()["1.weights"] != result["1.weights"]).any()
    with pytest.MonkeyPatch.context() as patch:
        drawn = []
        plain = experiment.learn_features

        def noted(split, **settings):
            drawn.append(split.x_train)
            return plain(split, **settings)

        patch.setattr(experiment, "learn_features", noted)
        flipped.compute()
    x = filters.begin()[1].x_train
    same = (drawn[0] == x).flatten(1).all(dim=1)
    mirrored = (drawn[0] == x.flip(2)).flatten(1).all(dim=1)
    assert (same | mirrored).all()
    assert float(same.double().mean()) == pytest.approx(0.5, abs=0.05)


def test_a_readout_of_one_layer_is_that_of_a_stack_without_other_views(learned):
    filters, result = learned
    views = (
        View(name="one", layers=(1,), readout=HEAD),
        View(name="two", layers=(2,), readout=HEAD),
    )
    found = replace(only("layers", LEARNED), views=views[1:]).compute(result)
    stack, preprocess, split = restored(learned)
    second = stack.learners[1]
    stages = [
        stage
        for i, stage in enumerate(filters.stack.stages[: second + 4])
        if i > second or not isinstance(stage, Read)
    ]
    alone = StackSettings(stages=tuple(stages))
    names = alone.shapes(split.x_train.shape[1:])
    kept = [
        name
        for name in filters.stack.shapes(split.x_train.shape[1:])
        if name in stack.state
    ][: len(names)]
    tensors = {new: stack.state[old] for new, old in zip(names, kept, strict=True)}
    _, errors = experiment.read_out(
        alone.load(tensors, input_shape=split.x_train.shape[1:]),
        preprocess,
        split,
        num_classes=10,
        readout=HEAD,
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert float(found["error"].sel(view="two")) == errors["test_error"]
    assert float(found["train_error"].sel(view="two")) == errors["train_error"]


def test_a_view_shows_its_columns_and_the_mean_over_mirror_images():
    both = torch.arange(48.0).view(8, 6)  # of 4 images, then of their mirror images
    images = torch.tensor([2, 0])
    plain = Seen(Held(both), slice(1, 3), rows=4, mean=False)
    assert len(plain) == 4
    assert torch.equal(plain[images], both[images, 1:3])
    assert torch.equal(plain[1:9], both[1:4, 1:3])
    mean = Seen(Held(both), slice(1, 3), rows=4, mean=True)
    assert torch.equal(mean[images], (both[images] + both[images + 4])[:, 1:3] / 2)


def test_mirror_images_are_drawn_for_a_readout_that_asks_for_them(learned):
    """As `Readout.flips` does for a whole stack."""
    view = View(name="drawn", layers=(1, 2, 3), mirrored="drawn", readout=HEAD)
    found = replace(only("layers", LEARNED), views=(view,)).compute(learned[1])
    stack, preprocess, split = restored(learned)
    _, errors = experiment.read_out(
        stack,
        preprocess,
        split,
        num_classes=10,
        readout=replace(HEAD, flips=True),
        generator=torch.Generator().manual_seed(0),
        progress=False,
    )
    assert float(found["error"][0]) == errors["test_error"]
    assert float(found["train_error"][0]) == errors["train_error"]


def test_mean_features_are_the_same_for_an_image_and_its_mirror_image(learned):
    view = View(name="mean", layers=(1, 2, 3), mirrored="mean", readout=HEAD)
    trial = replace(only("layers", LEARNED), views=(view,))
    stack, preprocess, split = restored(learned)
    heads = []
    for x in (split.x_eval, split.x_eval.flip(2)):
        generator = torch.Generator().manual_seed(0)
        shown = replace(split, x_eval=x)
        _, errors = trial.read(stack, preprocess, shown, 10, generator)
        heads.append(errors["error"])
    assert heads[0] == heads[1]


def test_balanced_errors_weigh_classes_alike():
    confusion = torch.tensor([[90, 10, 0], [5, 5, 0], [0, 0, 0]])  # none of class 2
    assert balanced_error(confusion) == pytest.approx(100 * (0.1 + 0.5) / 2)


def test_networks_of_the_ablation_differ_in_what_their_names_say():
    made = {trial.network: trial for trial in questions.ablation(planned("ablation"))}
    base = made.pop(LEARNED)
    assert base.validation == base.filters.validation == QUICK.held_out
    differing = {
        name: sorted(
            field
            for field in ("stack", "training", "flips")
            if getattr(trial.filters, field) != getattr(base.filters, field)
        )
        for name, trial in made.items()
    }
    assert differing.pop(plan.RANDOM) == ["training"]
    assert differing.pop("mirror images learned") == ["flips"]
    assert {tuple(names) for names in differing.values()} == {("stack",)}

    def rules(name):
        stages = made[name].filters.stack.stages
        return [s.competition for s in stages if isinstance(s, Convolution)]

    assert {rule.delta for rule in rules("losers do not learn")} == {0.0}
    assert {rule.anti for rule in rules("losers learn")} == {False}
    assert {type(rule) for rule in rules("equilibrium")} == {Equilibrium}
    [first, *others] = made["patches whitened"].filters.stack.stages[1::5]
    assert first.whiten
    assert not any(stage.whiten for stage in others)


@pytest.mark.slow
def test_networks_of_dales_law_keep_their_signs():
    made = {trial.network: trial for trial in questions.dale(planned("dale"))}
    for name in ("excitatory, ON and OFF", "interneurons, ON and OFF"):
        filters = made[name].filters
        result, inhibitory = filters.compute(), []
        for i, stage in enumerate(filters.stack.stages):
            if isinstance(stage, Convolution):
                weights = result[f"{i}.weights"].values
                patch = weights.reshape(len(weights), stage.kernel_size**2, -1)
                split = patch.shape[2] - stage.inhibitory
                assert (patch[..., :split] >= 0).all()
                assert (patch[..., split:] <= 0).all()
                assert np.abs(patch).sum(axis=(1, 2)).all()
                inhibitory.append(stage.inhibitory)
        # Interneurons are excited only; units are inhibited by all interneurons.
        wanted = [0, 1, 0, 2, 0, 8] if name.startswith("inter") else [0, 0, 0]
        assert inhibitory == wanted


def faces_of(folder):
    random = np.random.default_rng(0)
    arrays = {}
    for part, number in (("train", 30), ("test", 10)):
        arrays[f"x_{part}"] = random.integers(0, 256, (number, 16, 16, 3), np.uint8)
        arrays[f"y_{part}"] = np.arange(number) % 2
        arrays[f"race_{part}"] = np.arange(number) % 5
    np.savez(folder / "faces_utk.npz", **arrays)


def test_faces_have_the_labels_that_are_asked_for(tmp_path):
    faces_of(tmp_path)
    gender, ethnicity = (source_of(kind, tmp_path) for kind in ("gender", "ethnicity"))
    assert gender.load().classes == ("male", "female")
    assert ethnicity.load().classes[0] == "white"
    np.testing.assert_array_equal(ethnicity.load().y_test, np.arange(10) % 5)
    np.testing.assert_array_equal(gender.load().y_test, np.arange(10) % 2)
    np.testing.assert_array_equal(gender.load().x_test, ethnicity.load().x_test)
    assert gender.label == "gender"
    with pytest.raises(ValueError, match=r"there is no .*faces_real_fake.npz: put it into"):
        source_of("real or fake", tmp_path)


def test_names_with_the_separator_of_the_record_are_refused(tmp_path):
    images = digits().load()
    np.savez(
        tmp_path / "my, data.npz",
        **{
            f"{a}_{part}": getattr(images, f"{a}_{part}")
            for a in "xy"
            for part in ("train", "test")
        },
    )
    with pytest.raises(ValueError, match="called 'my, data': rename the file"):
        source_of(str(tmp_path / "my, data.npz"), tmp_path)


def test_filters_that_learn_without_labels_are_learned_once_for_all_labels(tmp_path):
    faces_of(tmp_path)
    gender, ethnicity = (
        {
            trial.network: trial
            for trial in questions.faces(planned("faces", source=source_of(kind, tmp_path)))
        }
        for kind in ("gender", "ethnicity")
    )
    own = {name for name in gender if gender[name].filters != ethnicity[name].filters}
    assert own == {plan.BACKPROP}
    for trials in (gender, ethnicity):
        assert len({grid.path_of(trial, tmp_path) for trial in trials.values()}) == 7
    a, b = (trials[LEARNED] for trials in (gender, ethnicity))
    assert grid.path_of(a.filters, tmp_path) == grid.path_of(b.filters, tmp_path)
    xr.testing.assert_equal(
        a.filters.compute().drop_vars("learn_seconds"),
        replace(a.filters, source=a.source).compute().drop_vars("learn_seconds"),
    )


def quick(tmp_path, *questions, **changes):
    return deep.Config(
        preset="quick", questions=questions, out=tmp_path / "deep", **changes
    )


@pytest.mark.slow
def test_main_tells_and_draws_and_goes_on_from_its_record(tmp_path, capsys, monkeypatch):
    config = quick(tmp_path, "records", "dale")
    with figures_saved() as saved:
        result = deep.main(config)
    text = capsys.readouterr().out
    assert "digits, records: accuracy in % (largest class" in text
    assert text.count("all layers") >= 2
    mine = tables.of(result, "records", "digits", LEARNED)
    shown = f"{100 - float(mine['error'].sel(view='all layers')[0]):.2f} (1)"
    assert shown in text
    assert (tmp_path / "deep" / "deep_quick.png").exists()
    assert {"records, read from all layers", "dale, digits"} <= panels(saved[0]).keys()
    assert_whole((tmp_path / "deep" / "deep_quick.md").read_text(), result)
    monkeypatch.setattr(Filters, "compute", None)
    monkeypatch.setattr(Accuracy, "compute", None)
    again = deep.main(config)
    xr.testing.assert_identical(again, result)
    plt.close("all")


def assert_whole(text, result):
    """Check that a page has what its record has, in whole tables."""
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Best accuracy",
        "## Dale's law (digits)",
        "## Protocol",
        "## Choices made after seeing a test error",
    ]
    for table in text.split("\n\n"):
        rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1, table
    learned, random = (
        100 - float(tables.of(result, "records", "digits", n)["error"].sel(view=VIEW)[0])
        for n in (LEARNED, plan.RANDOM)
    )
    wanted = f"- **digits: {learned:.2f} %** ({VIEW}); learning adds "
    wanted += f"{learned - random:.2f} points"
    assert wanted in text
    assert text.count(" (1) |") == int(result["error"].notnull().sum())


VIEW = "all layers"


def test_questions_without_data_are_mistakes(tmp_path, capsys, monkeypatch):
    with pytest.raises(ValueError, match="questions is empty: name at least one"):
        quick(tmp_path)
    monkeypatch.setenv("NEURODYN_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no .*faces_utk.npz.*leave the faces"):
        deep.trials(deep.Config(questions=("faces",)))
    with pytest.raises(ValueError, match="nothing to train"):
        deep.main(
            deep.Config(
                questions=("layers",),
                data=("mnist",),
                figure=tmp_path / "f.png",
                out=tmp_path / "out",
            )
        )


def test_layers_that_are_no_neighbours_are_refused(learned):
    view = View(name="odd", layers=(1, 3), readout=HEAD)
    trial = replace(only("layers", LEARNED), views=(view,))
    with pytest.raises(ValueError, match=r"layers are \(1, 3\): neighbours among 1 to 3"):
        trial.compute(learned[1])


@pytest.mark.slow
def test_movement_is_the_cosine_of_filters_with_their_start():
    """Layers that keep their start have not turned."""
    made = {trial.network: trial for trial in questions.movement(planned("movement"))}
    assert f"{LEARNED}, {QUICK.record} filters" in made
    assert plan.RANDOM not in made
    still = made[plan.FIRST]
    found = still.compute(still.filters.compute())
    assert found["cosine"].values[1:] == pytest.approx([1, 1], abs=1e-6)
    np.testing.assert_array_equal(found["norm"][1:], found["start_norm"][1:])
    assert float(found["cosine"][0]) < 0.99
    for name in (LEARNED, "mirror images learned"):
        trial = made[name]
        learned = trial.filters.compute()
        start = replace(trial.filters, training=plan.RANDOM_TRAINING).compute()
        for layer, key in enumerate(("1.weights", "6.weights", "11.weights")):
            a, b = start[key].values, learned[key].values
            units = [torch.nn.functional.normalize(torch.tensor(w)) for w in (a, b)]
            cosine = (1 - (units[0] - units[1]).square().sum(dim=1) / 2).numpy()
            moved = trial.compute(learned).isel(layer=layer)
            assert float(moved["cosine"]) == pytest.approx(np.median(cosine), rel=1e-5)
            norm = np.sqrt(np.median(np.einsum("uk,uk->u", b, b)))
            assert float(moved["norm"]) == pytest.approx(norm, rel=1e-2)
