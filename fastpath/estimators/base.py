"""The base class of both estimators: inputs, predictions and files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data  # pyrefly: ignore[missing-module-attribute]
from torch import Tensor, nn
from torch.utils.data import Dataset

from fastpath import checks, module
from fastpath.ambient import isolated
from fastpath.compute import Processor
from fastpath.data.defaults import CENTRED, Defaults, defaults_for
from fastpath.data.images import Images
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.experiment import Split
from fastpath.readout import LinearHead
from fastpath.runs import storage
from fastpath.runs.folder import (
    Saved,
    head_tensors,
    write,
)

NO_LABELS = np.arange(0)


class ImageClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Common parts of `CompetingUnits` and `BackpropNetwork`."""

    num_units: int
    preprocessing: Preprocess | None
    seed: int
    device: str
    threads: int | None
    verbose: bool

    weights_: Tensor
    bias_: Tensor | None
    preprocess_: FittedPreprocess
    head_: LinearHead | None
    history_: xr.Dataset

    def features(self) -> nn.Module:
        """Return the hidden units as a module: (image, pixel) to features (image, unit)."""
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        """Return the settings of a fitted model as JSON values."""
        raise NotImplementedError

    def _tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the hidden units, by their names in files."""
        raise NotImplementedError

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the weights W (unit, pixel) of the hidden units."""
        check_is_fitted(self)
        return self.weights_.numpy().copy()

    def to_module(self) -> nn.Sequential:
        """Return the model as an `nn.Module`: images (image, *shape) to outputs.

        Its parts are `preprocess`, `features` and `head` (image, class); a model fitted
        without labels has no `head`. The module has a `state_dict`, can be traced by
        `torch.export`, and runs on any device. Its outputs equal those of the trained
        readout to 1e-6.
        """
        check_is_fitted(self)
        return module.assembled(self.preprocess_, self.features(), self.head_)

    def preprocess(self, X: Any) -> NDArray[np.float32]:
        """Return the input rates (image, pixel) of the units, for `neurodyn.simulate`."""
        return self._outputs(X, self.to_module()[:1])

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features (image, unit), the inputs of the readout."""
        return self._outputs(X, self.to_module()[:2])

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return outputs (image, class), or (image,), their difference, for two classes."""
        outputs = self._outputs(X, self._with_head())
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each image, for `fastpath.Images` of each test image."""
        outputs = self._outputs(X, self._with_head())
        return self.classes_[outputs.argmax(axis=1)]

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy, for `fastpath.Images` on the test images."""
        X, y = arrays_of(X, y, "test")
        return super().score(X, y, sample_weight)

    def _with_head(self) -> nn.Sequential:
        whole = self.to_module()
        if self.head_ is None:
            raise ValueError(
                f"this {type(self).__name__} was fitted without labels, so it has no "
                "readout: fit(x, y) with one label per image"
            )
        return whole

    @isolated(grad=False, numpy=True)
    def _outputs(self, x: Any, model: nn.Module) -> NDArray[np.float32]:
        device = self._ready()
        images = self._read(arrays_of(x, None, "test")[0]).to(device)
        images = images.view(len(images), *self.image_shape_)
        return module.outputs(model.to(device), images).cpu().numpy()

    def _ready(self) -> torch.device:
        device: Any = checks.one_of("cpu", "cuda")("device", self.device)
        return Processor(device=device, threads=self.threads).ready()

    def _read(self, x: Any, y: Any = None, *, reset: bool = False) -> Any:
        """Return images as a tensor (image, pixel), uint8 or float32; with `y`, also y."""
        shape = np.shape(x)[1:] if isinstance(x, np.ndarray | list) else ()
        if len(shape) > 1:
            x = np.asarray(x).reshape(len(x), math.prod(shape))
        labels = {} if y is None else {"y": y}
        read = validate_data(self, x, reset=reset, dtype=None, **labels)
        x, y = (read, None) if y is None else read
        if x.dtype != np.uint8:
            x = validate_data(self, x, reset=False, dtype=np.float32)
            if not reset and self.dtype_ == "uint8" and x.size and x.max() > 1:
                raise ValueError(
                    f"X has values up to {x.max():.3g}, but this model learned from uint8 "
                    "images, which count as 0 to 1: give uint8, or divide by 255"
                )
        if reset:
            self.dtype_, self.image_shape_ = str(x.dtype), shape or x.shape[1:]
        images = torch.from_numpy(np.require(x, requirements=["C", "W"]))
        return (images, y) if labels else images

    def _begin(self, x: Any, y: Any, device: torch.device) -> tuple[Split, Defaults]:
        """Return the images to learn from, and the default settings for them."""
        data_set = x if isinstance(x, Images) else None
        x, y = arrays_of(x, y, "train")
        if y is None:
            images, index, self.classes_ = self._read(x, reset=True), None, NO_LABELS
        else:
            images, y = self._read(x, y, reset=True)
            check_classification_targets(y)
            self.classes_, index = np.unique(y, return_inverse=True)
        if data_set is not None:
            self.classes_, index = np.arange(len(data_set.classes)), data_set.y_train
        self.class_names_ = data_set.classes if data_set else tuple(map(str, self.classes_))
        index = np.zeros(len(images)) if index is None else index
        images = images.view(len(images), *self.image_shape_).to(device)
        labels = torch.from_numpy(index.astype(np.int64)).to(device)
        defaults = defaults_for(data_set.origin if data_set else "", self._num_units())
        split = Split(images, labels, images[:1], labels[:1], scored_on="training")
        return split, defaults

    def _steps(self, default: Preprocess) -> Preprocess:
        if self.preprocessing is not None:
            return checks.instance("preprocessing", self.preprocessing, Preprocess)
        return default if self.dtype_ == "uint8" else CENTRED

    def _num_units(self) -> int:
        return checks.count("num_units", self.num_units)

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # pyrefly: ignore[missing-attribute]
        tags.target_tags.required = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write the model as a finished run, as `fastpath train` does.

        `fastpath.load_model`, `fastpath evaluate`, `predict` and `plot` read it.

        Raises
        ------
        ValueError
            If the model has no readout, the folder already holds a run, or a setting is of
            a class of the user, which cannot be saved.
        """
        self._with_head()
        assert self.head_ is not None
        folder = Path(folder)
        config = self._settings() | {
            "classes": list(self.class_names_),
            "image_shape": [*self.image_shape_, 1, 1][:3],
            "estimator": {
                "labels": self.classes_.tolist(),
                "dtype": self.dtype_,
                "image_shape": list(self.image_shape_),
            },
        }
        tensors = {
            **self._tensors(),
            "mean": self.preprocess_.mean,
            **head_tensors(self.head_),
        }
        storage.prepare(folder, overwrite=overwrite)
        with storage.alone(folder):
            write(folder, tensors, config, self.metrics_, history=self.history_)

    def _take(self, run: Saved) -> None:
        """Set the fitted attributes from a finished run."""
        noted = run.config.get("estimator", {})
        self.weights_, self.bias_ = run.weights, run.bias
        self.head_, self.preprocess_ = run.head, run.preprocess
        self.classes_ = np.array(noted.get("labels", range(len(run.classes))))
        self.class_names_ = run.classes
        self.image_shape_ = tuple(noted.get("image_shape", run.image_shape))
        self.dtype_, self.n_features_in_ = (
            noted.get("dtype", "uint8"),
            run.preprocess.num_pixels,
        )
        self.metrics_ = run.metrics


def arrays_of(x: Any, y: Any, split: str) -> tuple[Any, Any]:
    """Return images and labels, those of a split of `Images` or of a `Dataset`.

    Tensors and Pillow images become arrays; other values are returned unchanged.
    """
    if isinstance(x, Images | Dataset) and y is not None:
        raise ValueError(
            f"y is given, but the {type(x).__name__} holds labels: leave it out"
        )
    if isinstance(x, Images):
        return getattr(x, f"x_{split}"), getattr(x, f"y_{split}")
    if isinstance(x, Dataset):
        images, labels = zip(*(x[i] for i in range(len(x))), strict=True)  # pyrefly: ignore
        return np.stack([_array(image) for image in images]), np.array(labels)
    return _array(x), _array(y)


def _array(value: Any) -> Any:
    """Convert a tensor or a Pillow image to an array; return other values unchanged."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value) if hasattr(value, "getbands") else value  # a Pillow image
