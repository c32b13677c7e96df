"""The control: the same network by back-propagation."""

from dataclasses import asdict
from typing import Any, no_type_check

import torch
import xarray as xr
from torch import nn

from fastpath import baselines, checks, module
from fastpath.ambient import isolated
from fastpath.baselines import Backprop
from fastpath.data.defaults import CENTRED
from fastpath.data.preprocess import Preprocess
from fastpath.estimators.base import ImageClassifier
from fastpath.runs.folder import (
    BACKPROP,
    head_of,
)


class BackpropNetwork(ImageClassifier):
    """The control: the same network, pixels → ReLU units → classes, by back-propagation.

    Parameters as those of `CompetingUnits`; `backprop` holds the settings of its training.
    Input is scaled by the same rule.
    """

    @no_type_check  # `fit` says what is wrong
    def __init__(
        self,
        num_units: int = 2000,
        *,
        backprop: Backprop | None = None,
        preprocessing: Preprocess | None = None,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.num_units = num_units
        self.backprop = backprop
        self.preprocessing = preprocessing
        self.seed = seed
        self.device = device
        self.threads = threads
        self.verbose = verbose

    @isolated(grad=False, numpy=True)
    def fit(self, X: Any, y: Any = None) -> "BackpropNetwork":
        """Train all weights by labels.

        Raises
        ------
        ValueError
            If images, labels or a setting are something else than they should be.
        """
        device = self._ready()
        checks.count("num_units", self.num_units)
        parts, known = self._begin(X, y, device)
        if not len(self.classes_):
            raise ValueError(
                "BackpropNetwork learns by labels, and requires y to be passed, but the "
                "target y is None"
            )
        backprop = known.backprop if self.backprop is None else self.backprop
        self.backprop_ = checks.instance("backprop", backprop, Backprop)
        steps = known.backprop_preprocess if self.dtype_ == "uint8" else CENTRED
        self.preprocess_ = self._steps(steps)
        trained: dict[int, nn.Module] = {}
        errors = baselines.backprop(
            parts,
            num_units=self.num_units,
            num_classes=len(self.classes_),
            backprop=self.backprop_,
            preprocess=self.preprocess_,
            generator=torch.Generator().manual_seed(checks.seed("seed", self.seed)),
            progress=self.verbose,
            watch=lambda _, network: trained.update({0: network}),
        )
        tensors = baselines.tensors_of(trained[0])
        self.weights_, self.bias_ = tensors["weights"], tensors["bias"]
        self.head_ = head_of(tensors)
        self.mean_ = self.preprocess_.fit(parts.x_learn).cpu()
        self.metrics_ = {"train_error": errors["train_error"]}
        self.history_ = xr.Dataset()
        return self

    def features(self) -> nn.Module:
        """Return the hidden units: input rates (image, pixel) to rates (image, unit)."""
        assert self.bias_ is not None
        return module.rectified(self.weights_, self.bias_)

    def _settings(self) -> dict[str, Any]:
        return {
            "kind": BACKPROP,
            "data": "",
            "units": self.num_units,
            "seed": self.seed,
            "backprop": asdict(self.backprop_),
            "preprocess": asdict(self.preprocess_),
        }
