"""Everything that learns, small: what it is given is chosen, what it learned is seen.

`LEARNERS` names each baseline, network of a scenario and command; one that is new belongs
there. Each is called with a seed, a number of validation images and a folder, and returns
its results. `watching` gives it the images, and sees what else it learned and drew.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import baselines, cli, experiment
from fastpath.baselines import Backprop, KMeans
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.estimators import BackpropNetwork, CompetingUnits
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.runs import storage
from fastpath.training.loop import Training
from scenarios import (
    dale_learns,
    dale_training,
    faces,
    hebbian_first_layer,
    hidden_size,
    inhibition_learns,
    multilayer,
    quickstart,
    settling,
)
from scenarios.ladder import networks as ladder
from scenarios.ladder.mimic import Mimic
from scenarios.ladder.one_step import OneStep
from scenarios.ladder.training import BackProp, Circuit, FullScale, OneByOne
from scenarios.support import study, trials
from tests import deep_learners, search_learners, spiking_learners
from tests.watching import CLASSES, SIDE, Learner, Results, given, images, numbers

UNITS = SIDE * SIDE  # as many as pixels: layers one above the other are of one shape
CENTRED = Preprocess(subtract_mean=True, unit_norm=True)
TRAINING = Training(epochs=2, batch_size=44, lr=0.1)
READOUT = Readout(epochs=2, batch_size=44, power=2.0, lr=0.05)
BACKPROP = Backprop(epochs=2, batch_size=44, lr=1e-2)


def _split(seed: int, validation: int) -> tuple[experiment.Split, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    shown = datasets.load("given")
    split = experiment.split(shown, validation=validation, generator=generator)
    return split, generator


def learn(competition: Any, p: float) -> Learner:
    def learner(seed: int, validation: int, folder: Path) -> Results:
        split, generator = _split(seed, validation)
        trained = experiment.learn(
            split,
            layer=DenseSettings(num_units=UNITS, p=p),
            num_classes=CLASSES,
            competition=competition,
            training=TRAINING,
            preprocess=CENTRED,
            readout=READOUT,
            generator=generator,
            progress=False,
        )
        tensors = {
            "weights": trained.weights,
            "mean": trained.preprocess.mean,
            **vars(trained.head),
        }
        arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
        history = numbers(trained.history)
        return {**arrays, **history, **{k: np.array(v) for k, v in trained.metrics.items()}}

    return learner


def backprop(seed: int, validation: int, folder: Path) -> Results:
    split, generator = _split(seed, validation)
    trained = baselines.backprop(
        split,
        num_units=UNITS,
        num_classes=CLASSES,
        backprop=BACKPROP,
        preprocess=CENTRED,
        generator=generator,
        progress=False,
    )
    return {name: np.array(error) for name, error in trained.errors.items()}


def linear(seed: int, validation: int, folder: Path) -> Results:
    split, generator = _split(seed, validation)
    errors = baselines.linear(
        split,
        num_classes=CLASSES,
        preprocess=CENTRED,
        readout=READOUT,
        generator=generator,
        progress=False,
    )
    return {name: np.array(error) for name, error in errors.items()}


def kmeans(seed: int, validation: int, folder: Path) -> Results:
    split, _ = _split(seed, validation)
    weights = baselines.kmeans(
        split.x_train,
        num_units=UNITS,
        kmeans=KMeans(passes=2),
        preprocess=CENTRED.fit(split.x_train),
        seed=seed,
    )
    return {"weights": weights.numpy()}


def small(trial: Any, **changes: Any) -> Any:
    """Return a network of a scenario that learns for a moment; 0 epochs stay 0."""
    shorter: dict[str, Any] = {}
    for name, value in vars(trial).items():
        if isinstance(value, Training):
            shorter[name] = replace(TRAINING, epochs=min(value.epochs, TRAINING.epochs))
        elif isinstance(value, Readout):
            shorter[name] = replace(value, epochs=2, batch_size=44)
        elif isinstance(value, Backprop):
            shorter[name] = BACKPROP
        elif name == "layers":
            shorter[name] = tuple(small(layer) for layer in value)
        elif isinstance(value, trials.Network):
            shorter[name] = small(value, **changes)
    return replace(trial, **shorter, **changes)


def network(trial: Any) -> Learner:
    """Return what computes a network, and before it those that it needs."""

    def learner(seed: int, validation: int, folder: Path) -> Results:
        mine = small(trial, seed=seed, validation=validation)
        found: dict[Any, xr.Dataset] = {}

        def computed(one: Any) -> xr.Dataset:
            if one not in found:
                found[one] = one.compute(*map(computed, study.needs(one)))
            return found[one]

        computed(mine)
        return {
            (name if one == mine else f"{name} {place}"): value
            for place, (one, result) in enumerate(found.items())
            for name, value in numbers(result).items()
        }

    return learner


def networks() -> dict[str, Learner]:
    """Return all networks of the studies, as the studies themselves make them."""
    source = trials.Source(name="given", path="given")
    quick: dict[str, Any] = {"preset": "quick", "units": UNITS, "seeds": 1}
    with given(images()):
        made = {
            "hidden_size": hidden_size.trials(
                hidden_size.Config(**quick | {"units": (UNITS,)}), source
            ),
            "faces": faces.trials(
                faces.Config(**quick), faces.networks.Faces(**vars(source))
            ),
            "multilayer": multilayer.trials(multilayer.Config(**quick), source),
            "dale_training": dale_training.trials(
                dale_training.Config(**quick, interneurons=7), source
            ),
            "hebbian_first_layer": hebbian_first_layer.trials(
                hebbian_first_layer.Config(**quick), source
            ),
            "inhibition_learns": [
                replace(trial, side=2, presentations=12, scored=9, image_ms=2.0, num_inh=2)
                for trial in inhibition_learns.trials(
                    inhibition_learns.Config(**quick, backend="numpy"), source
                )[::3]
            ],
            "diehl_cook": spiking_learners.networks(source),
            **search_learners.networks(source, UNITS),
        }
    return {
        f"{study}: {trial.network}": network(trial)
        for study, found in made.items()
        for trial in found
    }


def ladder_source(seed: int) -> ladder.Source:
    return ladder.Source(data="given", unit_norm=True, seed=seed)


def of_the_ladder(kind: Callable[..., Any], **settings: Any) -> Learner:
    def learner(seed: int, validation: int, folder: Path) -> Results:
        more = {} if kind is BackProp else {"validation": validation > 0}
        trial = kind(source=ladder_source(seed), num_units=UNITS, **settings, **more)
        return numbers(trial.compute())

    return learner


LEVEL = {"presentations": 20, "rate": 0.05}
JUDGED = {"head_epochs": 1, "probe_w_inh": 0.7}
LADDER: dict[str, Learner] = {
    **{
        f"ladder: one by one, {name}": of_the_ladder(
            OneByOne, name=name, level=level, **LEVEL, **JUDGED
        )
        for name, level in (
            ("ranking", Ranking()),
            ("equilibrium", Equilibrium(w_inh=0.7, h_star=0.3)),
        )
    },
    "ladder: full scale": of_the_ladder(
        FullScale, name="ranking", level=Ranking(), epochs=2, **JUDGED
    ),
    "ladder: random weights": of_the_ladder(
        FullScale, name="random weights", level=Ranking(), epochs=0, **JUDGED
    ),
    "ladder: back-propagation": of_the_ladder(BackProp, epochs=1),
}


def ladder_circuit(seed: int, validation: int, folder: Path) -> Results:
    level = Circuit(
        w_inh=0.7, h_star=0.3, delta=0.4, duration=0.5, continuous=False, backend="numpy"
    )
    trial = {"name": "circuit", "level": level, **LEVEL, **JUDGED}
    return of_the_ladder(OneByOne, **trial)(seed, validation, folder)


def train_command(*flags: str) -> Learner:
    def learner(seed: int, validation: int, folder: Path) -> Results:
        settings = ["--data", "given", "--units", str(UNITS), "--snapshots", "0"]
        settings += ["--seed", str(seed), "--validation", str(validation)]
        settings += ["--out", str(folder / "run"), "--overwrite", "--head-epochs", "1"]
        cli.main(["train", *settings, *flags])
        run = folder / "run"
        tensors = storage.load_tensors(run / storage.WEIGHTS)
        results = {name: tensor.numpy() for name, tensor in tensors.items()}
        metrics = storage.load_json(run / storage.METRICS)
        history = numbers(storage.load_dataset(run / storage.HISTORY))
        return results | history | {k: np.array(v) for k, v in metrics.items()}

    return learner


def backprop_command(seed: int, validation: int, folder: Path) -> Results:
    flags = ["--data", "given", "--units", str(UNITS), "--epochs", "2"]
    flags += ["--seed", str(seed), "--validation", str(validation)]
    reported: Results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fastpath.commands.backprop.report",
            lambda metrics: reported.update({k: np.array(v) for k, v in metrics.items()}),
        )
        cli.main(["backprop", *flags, "--batch-size", "44"])
    return reported


def estimator(kind: type, **settings: Any) -> Learner:
    def learner(seed: int, validation: int, folder: Path) -> Results:
        model = kind(UNITS, seed=seed, preprocessing=CENTRED, **settings)
        model.fit(images := datasets.load("given"))
        head = {name: tensor.numpy() for name, tensor in vars(model.head_).items()}
        error = np.array(100 * (1 - model.score(images)))
        return {"test_error": error, "hidden": model.weights} | head

    return learner


ESTIMATORS: dict[str, Learner] = {
    "CompetingUnits": estimator(CompetingUnits, training=TRAINING, readout=READOUT),
    "BackpropNetwork": estimator(BackpropNetwork, backprop=BACKPROP),
}


def quick_start(seed: int, validation: int, folder: Path) -> Results:
    """Without a split of its own: its seeds are counted from 0."""
    config = quickstart.Config(units=UNITS, epochs=2, seeds=1 + seed, num_images=5)
    learned, by_network = quickstart.experiment.learn(config, datasets.load("given"))
    found = vars(learned) | {"h_star": learned.threshold(w_inh=0.7)}
    errors = [error[-1] for error in by_network.values()]
    return {"test_error": np.array(errors)} | {k: np.asarray(v) for k, v in found.items()}


def settle(seed: int, validation: int, folder: Path) -> Results:
    config = settling.Config(units=UNITS, epochs=2, num_images=5)
    learned = config.learn(datasets.load("given"), seed=seed)
    found = {name: np.asarray(getattr(learned, name)) for name in ("weights", "seen")}
    return found | {"held_out": learned.held_out.numpy()}


def dale_circuit(seed: int, validation: int, folder: Path) -> Results:
    config = dale_learns.Config(
        units=UNITS,
        num_inh=2,
        epochs=1,
        fast_epochs=20,  # until no two outputs of a readout are alike
        image_ms=0.5,
        rate=0.005,  # of weights that are slower than activity
        max_images=100,
        validation=validation,
        backend="numpy",
    )
    split = dale_learns.experiment.train_eval_split(config, datasets.load("given"), seed)
    run = dale_learns.experiment.simulate(config, split, seed)
    weights = {dale_learns.experiment.DALE: torch.from_numpy(run["weights"].values).float()}
    weights |= dale_learns.experiment.rivals(config, split, seed)
    errors = [
        dale_learns.experiment.read_out(config, split, name, one, seed)
        for name, one in weights.items()
    ]
    errors.append(dale_learns.experiment.back_propagated(config, split, seed))
    found = {name: one.numpy() for name, one in weights.items()}
    return found | {"error": np.array(errors), "weights_ie": run["weights_ie"].values}


FULL: dict[str, Learner] = {
    "learn": learn(Ranking(), 2.0),
    "learn, equilibrium": learn(Equilibrium(w_inh=0.7, h_star=0.1), 3.0),
    "learn, soft": learn(Soft(), 2.0),
    "backprop": backprop,
    "linear": linear,
    "kmeans": kmeans,
    **networks(),
    **deep_learners.networks(network, TRAINING, READOUT, BACKPROP),
    "command train": train_command("--epochs", "2", "--batch-size", "44"),
    "command train, random weights": train_command("--epochs", "0"),
    "command backprop": backprop_command,
    "dale_learns": dale_circuit,
}


# Those whose images held out are not of a number that is asked for.
LEARNERS: dict[str, Learner] = {
    **FULL,
    "quickstart": quick_start,
    "settling": settle,
    **ESTIMATORS,
    **LADDER,
    "ladder: circuit": ladder_circuit,
}


# One of each kind; the others differ in settings alone, or build a circuit.
OFTEN = (
    *("learn", "learn, equilibrium", "backprop", "linear", "kmeans"),
    *(f"hidden_size: {method}" for method in trials.METHODS),
    *("faces: local rule", "faces: back-propagation", "faces: largest class"),
    *("multilayer: 3 layers", "multilayer: 2 layers, rates centred, random"),
    *("dale_training: excitatory + interneurons", "dale_training: 80/20 by input"),
    *(f"hebbian_first_layer: {name}" for name in ("Hebbian start", "Hebbian own readout")),
    *("deep: learned", "deep: back-propagation", "joint_search: published search"),
    *("command train", "command backprop", "quickstart", "settling", *ESTIMATORS, *LADDER),
)


def some(names: Iterable[str]) -> list[Any]:
    """Return the names as parameters of a test, those not in OFTEN for the slow run."""
    return [
        name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


def one_step(stage: str, shown: int) -> OneStep:
    """Return a step of learning of the ladder, which chooses h* on images not shown."""
    return OneStep(
        network=ladder.Network(source=ladder_source(0), num_units=UNITS, epochs=1),
        stage=stage,
        w_inh=0.6,
        num_images=shown,
        durations=(5.0,),
        shares=(),
        ks=(2,),
        deltas=(0.4,),
        backend="numpy",
    )


def imitation() -> Mimic:
    """Return the search of the ladder, which chooses on the first half of the images."""
    network = ladder.Network(source=ladder_source(0), num_units=UNITS, epochs=1)
    return Mimic(network=network, stage="late", num_images=11, ks=(2,), deltas=(0.4,))
