"""The control: the same network by back-propagation."""

from dataclasses import asdict
from typing import Any, no_type_check

import torch
import xarray as xr
from torch import Tensor, nn

from fastpath import baselines, checks, module
from fastpath.ambient import isolated
from fastpath.baselines import Backprop
from fastpath.data.defaults import CENTRED
from fastpath.data.preprocess import Preprocess
from fastpath.estimators.base import ImageClassifier
from fastpath.runs.folder import BACKPROP, head_of


class BackpropNetwork(ImageClassifier):
    """The control: the same network, pixels → ReLU units → classes, by back-propagation.

    `backprop` holds the settings of training. All other parameters, and the scaling of
    inputs, are those of `CompetingUnits`.
    """

    @no_type_check  # `fit` checks the types
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
        """Train all weights with labels.

        Raises
        ------
        ValueError
            If images, labels or a setting have the wrong type, shape or value.
        """
        device = self._ready()
        split, defaults = self._begin(X, y, device)
        if not len(self.classes_):
            raise ValueError(
                "BackpropNetwork learns by labels, and requires y to be passed, but the "
                "target y is None"
            )
        backprop = defaults.backprop if self.backprop is None else self.backprop
        self.backprop_ = checks.instance("backprop", backprop, Backprop)
        steps = defaults.backprop_preprocess if self.dtype_ == "uint8" else CENTRED
        trained = baselines.backprop(
            split,
            num_units=self.num_units,
            num_classes=len(self.classes_),
            backprop=self.backprop_,
            preprocess=self._steps(steps),
            generator=torch.Generator().manual_seed(checks.seed("seed", self.seed)),
            progress=self.verbose,
        )
        tensors = trained.tensors()
        self.weights_, self.bias_ = tensors["weights"], tensors["bias"]
        self.preprocess_ = trained.preprocess.to("cpu")
        self.head_ = head_of(tensors)
        self.metrics_ = {"train_error": trained.errors["train_error"]}
        self.history_ = xr.Dataset()
        return self

    def features(self) -> nn.Module:
        """Return the hidden units as a module: (image, pixel) to rates (image, unit)."""
        assert self.bias_ is not None
        return module.rectified(self.weights_, self.bias_)

    def _tensors(self) -> dict[str, Tensor]:
        assert self.bias_ is not None
        return {"weights": self.weights_, "bias": self.bias_}

    def _settings(self) -> dict[str, Any]:
        return {
            "kind": BACKPROP,
            "data": "",
            "units": self.num_units,
            "seed": self.seed,
            "backprop": asdict(self.backprop_),
            "preprocess": asdict(self.preprocess_.steps),
        }
