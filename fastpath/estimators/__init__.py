"""Scikit-learn estimators: `fit`, `transform`, `predict`, `score`."""

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
    """Return the model of a finished run, written by a command or by `save`.

    For a run of `fastpath train` or `fastpath backprop`, `predict` returns indices of
    `class_names_`. For a saved model it returns labels like those passed to `fit`.

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
        values = {f.name: config.get(f.name) for f in fields(RunConfig)}
        settings = RunConfig.from_json(values, path)
        # What `num_units` and `p` describe needs no settings of its own.
        p = getattr(settings.layer, "p", 2.0)
        is_plain = settings.layer == DenseSettings(num_units=settings.layer.num_units, p=p)
        model = CompetingUnits(
            settings.layer.num_units,
            p=p,
            competition=settings.competition,
            training=settings.training,
            preprocessing=settings.preprocess,
            readout=settings.readout,
            augment=settings.augment if settings.augment.changes else None,
            layer=None if is_plain else settings.layer,
            seed=settings.seed,
        )
        assert run.layer is not None
        model.layer_settings_, model.layer_ = settings.layer, run.layer
        model.competition_ = settings.competition
        model.training_, model.readout_ = settings.training, settings.readout
        model.augment_ = settings.augment
    model.history_ = storage.load_dataset(folder / storage.HISTORY)
    model._take(run)
    return model
