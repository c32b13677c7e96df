"""Models as scikit-learn's users know them: `fit`, `transform`, `predict`, `score`."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from fastpath.baselines import Backprop
from fastpath.estimators.backprop import BackpropNetwork as BackpropNetwork
from fastpath.estimators.competing_units import CompetingUnits as CompetingUnits
from fastpath.layers import DenseSettings
from fastpath.runs import storage
from fastpath.runs.config import RunConfig, read_settings
from fastpath.runs.folder import BACKPROP, open_run


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
    if config["kind"] == BACKPROP:
        backprop = read_settings(config, {"backprop": Backprop}, path)["backprop"]
        model: Any = BackpropNetwork(
            len(run.weights),
            backprop=backprop,
            preprocessing=run.preprocess.steps,
            seed=config["seed"],
        )
        model.backprop_ = backprop
    else:
        of_run = {f.name: config.get(f.name) for f in fields(RunConfig)}
        made = RunConfig.from_json(of_run, path)
        # What `num_units` and `p` describe needs no settings of its own.
        p = getattr(made.layer, "p", 2.0)
        is_plain = made.layer == DenseSettings(num_units=made.layer.num_units, p=p)
        model = CompetingUnits(
            made.layer.num_units,
            p=p,
            competition=made.competition,
            training=made.training,
            preprocessing=made.preprocess,
            readout=made.readout,
            layer=None if is_plain else made.layer,
            seed=made.seed,
        )
        assert run.layer is not None
        model.layer_settings_, model.layer_ = made.layer, run.layer
        model.competition_ = made.competition
        model.training_, model.readout_ = made.training, made.readout
    model.history_ = storage.load_dataset(folder / storage.HISTORY)
    model._take(run)
    return model
