"""Units that learn by the local rule, with a linear readout."""

from typing import Any, no_type_check

import torch
from torch import Tensor, nn

from fastpath import checks, experiment, module, readout
from fastpath.ambient import isolated
from fastpath.competition import Competition
from fastpath.data.augment import Augment
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.estimators.base import ImageClassifier
from fastpath.experiment import Split
from fastpath.kernels import Name
from fastpath.layers import DenseSettings, Layer, LayerSettings
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig
from fastpath.runs.folder import LOCAL, of_layer
from fastpath.training.history import ReadoutLog
from fastpath.training.loop import Training


class CompetingUnits(ImageClassifier):
    """Competing hidden units that learn without labels, with a linear readout.

    Parameters
    ----------
    num_units
        Number of hidden units K.
    p
        Exponent of the metric, 2 or more (eq. 2), as in `neurodyn`'s circuits.
    competition
        Which units learn: `Ranking()`, `Equilibrium()`, `Soft()`, or a function from the
        drives to g, both (image, unit).
    training
        `Training()`: epochs, batch size, learning rate ε.
    preprocessing
        `Preprocess()`: steps from images to the inputs of the units.
    readout
        `Readout()`: features and training of the readout.
    augment
        `Augment()`: random changes of the training images, which must be uint8 [none].
    layer
        Settings of another layer (`fastpath.layers`), instead of `num_units` and `p`.
    seed
        Seed of all random numbers: the same seed gives the same result on one machine.
    device
        "cpu" or "cuda".
    threads
        Largest number of CPU threads [all cores].
    kernels
        Kernels of a learning step [the fastest available]: see `fastpath.kernels`.
    verbose
        Show progress.

    A setting that is None gets its default from `fastpath.data.defaults`: that of the data
    set if `fit` gets `fastpath.Images`, else that of Fashion-MNIST. Float arrays lose their
    mean image and are scaled to unit norm.

    Notes
    -----
    `fit`, `transform`, `predict` and `score` accept uint8 images (image, height, width) or
    (image, height, width, channel), float arrays (image, pixel), tensors, a torch `Dataset`
    of (image, label), and `fastpath.Images`. From `fastpath.Images`, `fit` takes the
    training images and the other methods take the test images.

    **Scaling.** uint8 pixels are divided by 255. All other numbers are converted to float32
    and not scaled. A model that learned from uint8 refuses other numbers above 1.

    There is no `partial_fit`: annealing ε needs the number of epochs at the start, and the
    readout is trained on the features of all images.

    Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
    """

    @no_type_check  # `fit` checks the types
    def __init__(
        self,
        num_units: int = 2000,
        *,
        p: float | None = 2.0,
        competition: Competition | None = None,
        training: Training | None = None,
        preprocessing: Preprocess | None = None,
        readout: Readout | None = None,
        augment: Augment | None = None,
        layer: LayerSettings | None = None,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        kernels: Name | None = None,
        verbose: bool = False,
    ) -> None:
        self.num_units = num_units
        self.p = p
        self.competition = competition
        self.training = training
        self.preprocessing = preprocessing
        self.readout = readout
        self.augment = augment
        self.layer = layer
        self.seed = seed
        self.device = device
        self.threads = threads
        self.kernels = kernels
        self.verbose = verbose

    @isolated(grad=False, numpy=True)
    def fit(self, X: Any, y: Any = None) -> "CompetingUnits":
        """Train the units without labels, then the readout if there are labels.

        Raises
        ------
        ValueError
            If images, labels or a setting have the wrong type, shape or value, or the
            weights diverge.
        """
        device = self._ready()
        split, defaults = self._begin(X, y, device)
        generator = torch.Generator().manual_seed(checks.seed("seed", self.seed))
        training = defaults.training if self.training is None else self.training
        self.training_ = checks.instance("training", training, Training)
        default_readout = defaults.readout if self.training_.epochs else defaults.random
        chosen = default_readout if self.readout is None else self.readout
        self.readout_ = checks.instance("readout", chosen, Readout)
        settings = self.layer
        if settings is None:
            p = defaults.p if self.p is None else self.p
            settings = DenseSettings(num_units=self.num_units, p=p)
        self.layer_settings_ = checks.instance("layer", settings, LayerSettings)
        augment = Augment() if self.augment is None else self.augment
        self.augment_ = checks.instance("augment", augment, Augment)
        self.competition_ = (
            defaults.competition if self.competition is None else self.competition
        )
        layer, preprocess, history = experiment.learn_features(
            split,
            layer=self.layer_settings_,
            competition=self.competition_,
            training=self.training_,
            preprocess=self._steps(defaults.preprocess),
            readout=self.readout_ if len(self.classes_) else None,
            augment=self.augment_,
            generator=generator,
            progress=self.verbose,
            kernels=self.kernels,
        )
        shape = split.x_train.shape[1:]
        names = self.layer_settings_.shapes(shape)
        learned = {name: layer.state[name].cpu() for name in names}
        self.layer_ = self.layer_settings_.load(learned, input_shape=shape)
        self.bias_ = None
        self.weights_ = self.layer_.weights
        self.preprocess_ = preprocess.to("cpu")
        self.head_, self.history_, self.metrics_ = None, history, {}
        if len(self.classes_):
            self._read_out(layer, preprocess, split, generator)
        return self

    def _read_out(
        self,
        layer: Layer,
        preprocess: FittedPreprocess,
        split: Split,
        generator: torch.Generator,
    ) -> None:
        log = ReadoutLog()
        x = experiment.features(
            layer, split.x_train, preprocess, self.readout_, self.augment_
        )
        head = readout.fit(
            x,
            split.y_train,
            num_classes=len(self.classes_),
            readout=self.readout_,
            generator=generator,
            progress=self.verbose,
            log=log,
        )
        self.metrics_ = {"train_error": readout.error(head, x, split.y_train)}
        self.head_ = head.to(torch.device("cpu"))
        self.history_ = self.history_.assign(log.as_dataset())

    def features(self) -> nn.Module:
        """Return the hidden units as a module: (image, pixel) to features (image, unit)."""
        return module.features_of(self.layer_, self.readout_)

    def _num_units(self) -> int:
        if self.layer is None:
            return super()._num_units()
        return checks.instance("layer", self.layer, LayerSettings).num_units

    @property
    def _n_features_out(self) -> int:
        return self.layer_settings_.num_features(self.image_shape_)

    def _tensors(self) -> dict[str, Tensor]:
        names = of_layer(self.layer_settings_, self.image_shape_)
        return {name: self.layer_.state[name] for name in names}

    def _settings(self) -> dict[str, Any]:
        config = RunConfig(
            data="",
            layer=self.layer_settings_,
            seed=self.seed,
            validation=0,
            competition=self.competition_,
            training=self.training_,
            preprocess=self.preprocess_.steps,
            readout=self.readout_,
            augment=self.augment_,
            snapshots=0,
        )
        return {"kind": LOCAL, **config.as_json()}
