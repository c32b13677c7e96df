"""Training of the networks, and the same images at the three levels of the ladder."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import neurodyn
from fastpath import baselines, experiment
from fastpath.competition import Equilibrium
from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.layers import Dense, DenseSettings
from fastpath.plasticity import delta_w
from fastpath.readout import Readout
from fastpath.training.loop import Training
from neurodyn import analysis, equilibrium
from scenarios.support.checks import check_counts
from scenarios.support.circuit import (
    HEBB_ONLY,
    RANKING,
    TAU_MS,
    CircuitConfig,
    Learned,
    step_ms,
)


@dataclass(frozen=True, kw_only=True)
class Config(CircuitConfig):
    """Settings of the quickstart."""

    epochs: int | None = None
    """Epochs of learning, of the readout and of back-propagation [50 on the digits, else
    5]."""
    seeds: int = 3
    """Seeds of each network, from 0; the circuit has the weights of seed 0."""
    image_ms: float = 1000.0
    """Presentation time of each image [ms]; the time constant is 10 ms."""
    w_inh: tuple[float, ...] = (0.5, 0.9)
    """Strengths of lateral inhibition."""
    backend: str = "cpp"
    """Backend of Brian2: numpy, cython, cpp or auto. Compiling twice is faster here than
    200,000 time steps in a Python loop."""
    figure: Path | None = None
    """File of the figure [quickstart.png in the folder of results]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.w_inh:
            raise ValueError("w_inh is empty: give one strength of inhibition or more")
        for w_inh in self.w_inh:
            neurodyn.LateralInhibition(w_inh=w_inh)
        neurodyn.Presentation(image_ms=self.image_ms)
        check_counts(self, "seeds")

    @property
    def name(self) -> str:
        """Name of the results and the figure, with that of the data set."""
        stem = Path(self.data).stem
        return "quickstart" if stem == "digits" else f"quickstart_{stem}"


def learn(
    config: Config, images: datasets.Images
) -> tuple[Learned, dict[str, list[float]]]:
    """Train `seeds` networks of each kind, and score them on the test set, once.

    Return the first one, to be simulated, and the test errors in percent by kind.
    """
    defaults = defaults_for(images.origin)
    epochs = config.epochs_on(images)
    errors: dict[str, list[float]] = {"ranking": [], "random weights": [], "back-prop": []}
    trained = []
    for seed in range(config.seeds):
        for name, passes, power in (
            ("ranking", epochs, defaults.readout.power),
            ("random weights", 0, defaults.random.power),
        ):
            generator = torch.Generator().manual_seed(seed)
            run = experiment.learn(
                experiment.split(images, validation=0, generator=generator),
                layer=DenseSettings(num_units=config.units),
                num_classes=len(images.classes),
                competition=RANKING,
                training=Training(epochs=passes),
                preprocess=defaults.preprocess,
                readout=Readout(epochs=epochs, power=power),
                generator=generator,
            )
            errors[name].append(run.metrics["test_error"])
            trained.append(run)
        generator = torch.Generator().manual_seed(seed)
        network = baselines.backprop(
            experiment.split(images, validation=0, generator=generator),
            num_units=config.units,
            num_classes=len(images.classes),
            backprop=replace(defaults.backprop, epochs=epochs),
            preprocess=defaults.backprop_preprocess,
            generator=generator,
        )
        errors["back-prop"].append(network.errors["test_error"])
    first = trained[0]
    learned = Learned.of(first.weights, images, first.preprocess, config.num_images)
    return learned, errors


def simulate(config: Config, learned: Learned, w_inh: float) -> xr.Dataset:
    """Simulate the circuit on the held-out images."""
    return neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        learned.held_out.numpy(),
        learned.weights.numpy(),
        stimulus=neurodyn.Presentation(image_ms=config.image_ms),
        backend=config.backend,
        recording=neurodyn.Recording(activity_ms=2.0, by_image=False),
    )


def compare(run: xr.Dataset, learned: Learned, *, w_inh: float) -> dict[str, float]:
    """Return the agreement of the levels at one strength of inhibition.

    Circuit and equilibrium have the g of eq. 9 with one fixed h*. It is chosen so that
    most training images have exactly one Hebbian unit.
    """
    drive, h = run["drive"].values, run["final_activity"].values
    settled = equilibrium.settle(drive, w_inh=w_inh)
    away = abs(h - settled) / drive.max(axis=1, keepdims=True)
    in_order = np.take_along_axis(h, drive.argsort(axis=1), axis=1)
    h_star = learned.threshold(w_inh=w_inh)
    rule = Equilibrium(w_inh=w_inh, h_star=h_star, delta=RANKING.delta)
    drive = torch.from_numpy(drive)
    g_circuit = np.where(h >= h_star, 1.0, np.where(h >= 0, -RANKING.delta, 0.0))
    g = {"equilibrium": rule(drive), "ranking": RANKING(drive), "hebb": HEBB_ONLY(drive)}
    change = {
        name: delta_w(activation, drive, learned.held_out, learned.weights).flatten()
        for name, activation in g.items()
    }
    cosine = {
        name: torch.cosine_similarity(change[name], change["ranking"], dim=0).item()
        for name in ("equilibrium", "hebb")
    }
    return {
        "w_inh": w_inh,
        "h_star": h_star,
        "dt_ms": step_ms(run),
        "active_units": float(analysis.active_units(run["final_activity"]).mean()),
        "order_equal": float((np.diff(in_order, axis=1) >= 0).all(axis=1).mean()),
        "distance_max": float(away.max()),
        "distance_median": float(np.median(away)),
        "active_sets_equal": float(((h > 0) == (settled > 0)).all(axis=1).mean()),
        "g_circuit": float((g_circuit == g["equilibrium"].numpy()).all(axis=1).mean()),
        "g_equal": (g["equilibrium"] == g["ranking"]).all(dim=1).double().mean().item(),
        "cosine": cosine["equilibrium"],
        "cosine_hebb_only": cosine["hebb"],
    }


def cost(learned: Learned, *, w_inh: float) -> dict[str, float]:
    """Return seconds per 1000 images of equilibrium and ranking, with drive, one thread."""
    layer = Dense(learned.weights.float())
    v = learned.seen.float()
    v = v.repeat(-(-1000 // len(v)), 1)[:1000]
    rule = Equilibrium(w_inh=w_inh, h_star=1.0, delta=RANKING.delta)
    return {
        "equilibrium": median_seconds(lambda: rule(layer.drive(v))),
        "ranking": median_seconds(lambda: RANKING(layer.drive(v))),
    }


def median_seconds(work: Callable[[], Any], repeats: int = 20) -> float:
    """Return the median time of a call, after one call as a warm-up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
