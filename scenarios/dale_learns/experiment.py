"""The circuit, its controls, and the readout of all of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import neurodyn
from fastpath import baselines, experiment
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.layers.constraints import Constraint, same_sign
from fastpath.readout import Readout
from fastpath.training.loop import Training, train
from neurodyn import stimulus
from neurodyn.flags import refuse_without_effect
from scenarios.support.checks import check_counts

# Raw pixels are non-negative, as rates must be. With unit norm one h* suits every image.
PREPROCESS = Preprocess(unit_norm=True)
TAU_MS = 10.0
INH_LR = 1e-4  # learning rate of I→E for each presentation, T / τ_L
DALE, RANKED, RANDOM, FREE = "Dale circuit", "ranking >= 0", "random >= 0", "ranking"
BACKPROP = "back-prop"
BACKPROP_LR = 1e-2  # 2.7 % error on 3 validation splits; 11.3 % with 1e-3
# n of eq. 1: for each network the best of 2, 4.5, 8, 12 on a validation split.
POWER = {DALE: 4.5, RANKED: 8.0, RANDOM: 8.0, FREE: 4.5}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of circuit and controls; defaults were chosen on validation splits."""

    units: int = 64
    """Number K of excitatory cells, and of units of the controls."""
    num_inh: int = 16
    """Number M of inhibitory cells."""
    w_inh: float = 0.9
    """Mean strength with which an E cell inhibits another through all I cells."""
    spread: float = 0.5
    """Half-width of the uniform E→I and I→E weights, relative to their mean."""
    h_star: float = 0.3
    """Activity h* from which a cell learns Hebbian (eq. 9)."""
    delta: float = 0.7
    """Strength Δ of anti-Hebbian learning (eq. 9)."""
    rate: float = 0.03
    """Learning rate of the feed-forward weights for each presentation, T / τ_L."""
    target_rate: float = 0.03
    """Mean firing rate to which inhibition steers each E cell; 0: I→E does not learn."""
    inh_lr: float | None = None
    """Learning rate of I→E for each presentation, T / τ_L [0.0001]."""
    epochs: int = 8
    """Epochs of the circuit."""
    image_ms: float = 50.0
    """Presentation time of an image [ms]; time constants are 10 ms (E) and 1 ms (I)."""
    dt_ms: float = 0.125
    """Time step [ms]."""
    fast_epochs: int = 50
    """Epochs of ranking, of the readout and of back-propagation."""
    seeds: int = 3
    """Seeds of each network, from 0."""
    validation: int = 0
    """Number of training images to score on instead of the test set; 0: the test set."""
    power: float | None = None
    """n of eq. 1 for all networks [chosen on validation splits for each]."""
    max_images: int | None = None
    """Use only so many training images, the first ones [all]."""
    backend: str = "cpp"
    """Backend of Brian2: numpy, cython, cpp or auto."""
    out: Path = Path("runs/dale_learns")
    """Folder of results."""
    figure: Path = Path("figures/dale_learns.png")
    """File of the figure; an animation of the receptive fields is the .gif beside it."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        check_counts(self, "units", "num_inh", "epochs", "fast_epochs", "seeds")
        check_counts(self, "validation", least=0)
        if not 0 <= self.spread <= 1:
            raise ValueError(f"spread is {self.spread}: 0 to 1, or weights change sign")
        if not self.rate > 0 < self.step_of_inh:
            raise ValueError(
                f"rate is {self.rate}, inh_lr {self.step_of_inh}: steps are positive"
            )
        if not self.target_rate:
            refuse_without_effect(
                self, ["inh_lr"], why="with --target-rate 0, where I→E does not learn"
            )
        if self.max_images is not None and self.max_images < 100:
            raise ValueError(f"max_images is {self.max_images}: at least 100 are needed")
        neurodyn.Presentation(image_ms=self.image_ms).steps(self.dt_ms)
        self.rules()
        self.circuit(seed=0)
        if self.power is not None:
            Readout(power=self.power)

    @property
    def step_of_inh(self) -> float:
        """Learning rate of I→E for each presentation."""
        return INH_LR if self.inh_lr is None else self.inh_lr

    def circuit(self, *, seed: int) -> neurodyn.DaleInhibition:
        """Return the circuit, with random weights between its cells."""
        random = np.random.default_rng(seed)
        low, high = 1 - self.spread, 1 + self.spread
        return neurodyn.DaleInhibition(
            num_inh=self.num_inh,
            tau_exc_ms=TAU_MS,
            tau_inh_ms=TAU_MS / 10,
            w_ei=random.uniform(low, high, (self.num_inh, self.units)),
            w_ie=random.uniform(low, high, (self.units, self.num_inh))
            * (self.w_inh / self.num_inh),
            w_self=self.w_inh,
        )

    def rules(self) -> dict[str, Any]:
        """Return the learning rules of the synapses."""
        rules: dict[str, Any] = {
            "feedforward": neurodyn.KrotovHopfield(
                h_star=self.h_star, delta=self.delta, tau_l_ms=self.image_ms / self.rate
            )
        }
        if self.target_rate:
            rules["inh_to_exc"] = neurodyn.Homeostatic(
                target=self.target_rate,
                tau_l_ms=self.image_ms / self.step_of_inh,
            )
        return rules


def train_eval_split(
    config: Config, images: datasets.Images, seed: int
) -> experiment.Split:
    """Return the images to learn from and those to score on."""
    generator = torch.Generator().manual_seed(seed)
    split = experiment.split(images, validation=config.validation, generator=generator)
    few = slice(config.max_images)
    return experiment.Split(
        split.x_train[few],
        split.y_train[few],
        split.x_eval,
        split.y_eval,
        split.scored_on,
    )


def simulate(config: Config, split: experiment.Split, seed: int) -> xr.Dataset:
    """Simulate the circuit on the training images while its weights learn."""
    x = PREPROCESS.fit(split.x_train)(split.x_train).double().numpy()
    start = abs(np.random.default_rng(seed).standard_normal((config.units, x.shape[1])))
    stride = max(1, len(x) * config.epochs // 1200)
    return neurodyn.simulate(
        config.circuit(seed=seed),
        x,
        start,
        plasticity=config.rules(),
        stimulus=neurodyn.Presentation(image_ms=config.image_ms),
        order=stimulus.epochs(len(x), config.epochs, seed=seed),
        recording=neurodyn.Recording(
            by_image=False,
            activity_ms=stride * config.image_ms,  # at the end of those presentations
            inhibition=True,
            images_every=stride,
            norms=True,
            weights_every=max(1, len(x) // 12),
        ),
        backend=config.backend,
        dt_ms=config.dt_ms,
    )


def rivals(config: Config, split: experiment.Split, seed: int) -> dict[str, torch.Tensor]:
    """Return the weights of the controls: ranking with and without signs, and random."""

    def ranked(constraint: Constraint | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        fitted = PREPROCESS.fit(split.x_train)
        layer = Dense.random(
            config.units, fitted.num_pixels, constraint=constraint, generator=generator
        )
        train(
            layer,
            split.x_train,
            competition=Ranking(),
            training=Training(epochs=config.fast_epochs),
            preprocess=fitted,
            generator=generator,
            progress=False,
        )
        return layer.weights

    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(config.units, split.x_train[0].numel(), generator=generator)
    positive = same_sign(1)
    return {
        RANKED: ranked(positive),
        RANDOM: positive.mirrored(normal),
        FREE: ranked(None),
    }


def read_out(
    config: Config, split: experiment.Split, name: str, weights: torch.Tensor, seed: int
) -> float:
    """Return the error of a linear readout of frozen weights, in percent."""
    _, errors = experiment.read_out(
        Dense(weights),
        PREPROCESS.fit(split.x_train),
        split,
        num_classes=10,
        readout=Readout(epochs=config.fast_epochs, power=config.power or POWER[name]),
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    return errors[f"{split.scored_on}_error"]


def back_propagated(config: Config, split: experiment.Split, seed: int) -> float:
    """Return the error of the same network trained end to end, in percent."""
    trained = baselines.backprop(
        split,
        num_units=config.units,
        num_classes=10,
        backprop=baselines.Backprop(epochs=config.fast_epochs, lr=BACKPROP_LR),
        preprocess=PREPROCESS,
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    return trained.errors[f"{split.scored_on}_error"]
