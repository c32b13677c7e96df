"""Models as scikit-learn's users know them: `fit`, `transform`, `predict`, `score`."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from fastpath.baselines import Backprop
from fastpath.estimators.backprop import BackpropNetwork as BackpropNetwork
from fastpath.estimators.competing_units import CompetingUnits as CompetingUnits
from fastpath.runs import storage
from fastpath.runs.execute import Plan
from fastpath.runs.folder import BACKPROP, LOCAL, check_known, named, open_run


def load_model(folder: Path | str) -> CompetingUnits | BackpropNetwork:
    """Return the model of a finished run: of `fastpath train` or `backprop`, or saved.

    `predict` returns indices of `class_names_` for a run of a command, else the labels that
    the model was fitted with.

    Raises
    ------
    ValueError
        If the folder holds no finished run, or it is damaged or of another version.
    """
    folder = Path(folder)
    run = open_run(folder)
    path, config = folder / storage.CONFIG, run.config
    if config.get("kind", LOCAL) == BACKPROP:
        held = {name: config.get(name) for name in ("backprop",)}
        check_known(held, {"backprop": Backprop}, path, config.get("fastpath"))
        with named(path):
            backprop = Backprop(**config["backprop"])
        model: Any = BackpropNetwork(
            len(run.weights),
            backprop=backprop,
            preprocessing=run.preprocess,
            seed=config["seed"],
        )
        model.backprop_ = backprop
    else:
        plan = Plan.from_json({f.name: config.get(f.name) for f in fields(Plan)}, path)
        model = CompetingUnits(
            plan.units,
            p=plan.p,
            competition=plan.competition,
            training=plan.training,
            preprocessing=plan.preprocess,
            readout=plan.readout,
            seed=plan.seed,
        )
        model.p_, model.competition_ = plan.p, plan.competition
        model.training_, model.readout_ = plan.training, plan.readout
    model.history_ = storage.load_dataset(folder / storage.HISTORY)
    model._take(run)
    return model
