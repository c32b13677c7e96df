"""Synapses that learn while the circuit runs, compared with the traces."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from neurodyn import equilibrium
from scenarios.continuous_plasticity.config import RELATIVE_CHANGE, TIMINGS, Config
from scenarios.continuous_plasticity.traces import Traced, activation, change, cosine
from scenarios.support.circuit import TAU_MS, Learned, step_ms
from scenarios.support.results import axis, dataset


def check_plastic(
    config: Config,
    learned: Learned,
    rule: neurodyn.KrotovHopfield,
    traced: Traced,
    w_inh: float,
) -> xr.Dataset:
    """Simulate synapses that learn, and compare their change with that from the traces."""
    images = slice(config.plastic_images)
    t = config.durations.index(config.plastic_duration)
    drive = learned.held_out[images] @ learned.weights.T
    settled_g = activation(equilibrium.settle(drive.numpy(), w_inh=w_inh), rule)
    reference = change(settled_g, learned)
    cosines, errors, halved = [], [], []
    for timing in TIMINGS:
        expected = change(traced.mean_g[timing][t, images], learned)
        whole, half = (
            simulate_plastic(
                config, learned, rule, traced, timing, w_inh, relative_change=relative
            )
            for relative in (RELATIVE_CHANGE, RELATIVE_CHANGE / 2)
        )
        cosines.append(cosine(whole, reference))
        errors.append(abs(whole - expected).max() / abs(expected).max())
        halved.append(abs(half - expected).max() / abs(expected).max())
    at = (axis("timing", list(TIMINGS)),)
    return dataset(
        plastic_cosine=(at, cosines, "1", "cosine, plastic synapses"),
        plastic_error=(
            at,
            errors,
            "1",
            "largest difference of ΔW, plastic synapses and traces, relative to max |ΔW|",
        ),
        plastic_error_halved=(at, halved, "1", "the same with half the learning rate"),
    )


def simulate_plastic(
    config: Config,
    learned: Learned,
    rule: neurodyn.KrotovHopfield,
    traced: Traced,
    timing: str,
    w_inh: float,
    *,
    relative_change: float,
) -> NDArray[np.float64]:
    """Return ΔW of plastic synapses in Brian2, per learning time in units of τ_L.

    τ_L is so long that the weights change by `relative_change` or less.
    """
    image_ms = config.plastic_duration * TAU_MS
    timings: dict[str, tuple[Any, float]] = {
        "continuous": (neurodyn.Continuous(), image_ms),
        "gated": (neurodyn.Gated(last_ms=image_ms / 2), image_ms / 2),
        "settled": (neurodyn.Settled(), image_ms),
    }
    when, learning_ms = timings[timing]
    bank, weights = learned.held_out.numpy(), learned.weights.numpy()
    strongest = float(abs(bank @ weights.T).max())
    total_ms = learning_ms * config.plastic_images
    tau_l_ms = total_ms * strongest / relative_change
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        bank,
        weights,
        plasticity=neurodyn.KrotovHopfield(
            delta=rule.delta, h_star=rule.h_star, tau_l_ms=tau_l_ms, timing=when
        ),
        stimulus=neurodyn.Presentation(image_ms=image_ms),
        order=np.arange(config.plastic_images),
        recording=neurodyn.Recording(activity_ms=None, images_every=None),
        backend=config.backend,
        dt_ms=traced.dt_ms,
    )
    assert step_ms(run) == traced.dt_ms
    return (run["weights"].values - weights) * (tau_l_ms / learning_ms)
