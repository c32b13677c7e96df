"""Weight updates computed from traces of circuits with static weights."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath.plasticity import delta_w
from neurodyn import equilibrium
from scenarios.continuous_plasticity.config import BLOCK, SHOWN, TIMINGS, Config
from scenarios.support.circuit import TAU_MS, Learned
from scenarios.support.results import axis, dataset

type ByTiming = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Traced:
    """Learning activation and unlearning in the static circuit, by timing of learning."""

    dt_ms: float
    mean_g: ByTiming
    """g averaged over the time of learning (duration, image, unit)."""
    unlearned: ByTiming
    """Number of time steps with g = −Δ, summed over units and images (duration)."""
    wasted: ByTiming
    """The part of `unlearned` by units that end inactive (duration)."""
    learning: NDArray[np.float64]
    """Number of units with g = 1, and with g = −Δ, mean over images (2, step)."""
    example: NDArray[np.float64]
    """Activity of the first image (step, unit)."""


def trace(
    config: Config, learned: Learned, rule: neurodyn.KrotovHopfield, w_inh: float
) -> Traced:
    """Simulate with static weights, and average g over the learning time."""
    circuit = neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh)
    bank, weights = learned.held_out.numpy(), learned.weights.numpy()
    longest = neurodyn.Presentation(image_ms=config.durations[-1] * TAU_MS)
    dt_ms = time_step(config, circuit.safe_step_ms(bank @ weights.T, reset=True), longest)
    num_shown = round(min(SHOWN, config.durations[-1]) * TAU_MS / dt_ms)
    parts, learning, example = [], np.zeros((2, num_shown)), np.zeros(0)
    for start in range(0, len(bank), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(bank)))
        run = neurodyn.simulate(
            circuit,
            bank,
            weights,
            stimulus=longest,
            order=block,
            recording=neurodyn.Recording(activity_ms=dt_ms, by_image=False),
            backend=config.backend,
            dt_ms=dt_ms,
            batch_size=len(block),
        )
        for h in run["activity"].values[1:].reshape(len(block), -1, config.units):
            states = np.concatenate([np.zeros((1, config.units)), h])
            g = activation(states, rule)
            parts.append(averages(g, states, config, dt_ms))
            first_g = g[:num_shown]
            learning += [(first_g > 0).sum(axis=1), (first_g < 0).sum(axis=1)]
            example = states[:num_shown] if not len(example) else example
    means, wasted, unlearned = zip(*parts, strict=True)
    return Traced(
        dt_ms=dt_ms,
        mean_g={name: np.stack([m[name] for m in means], axis=1) for name in TIMINGS},
        wasted={name: np.sum([w[name] for w in wasted], axis=0) for name in TIMINGS},
        unlearned={name: np.sum([u[name] for u in unlearned], axis=0) for name in TIMINGS},
        learning=learning / len(bank),
        example=example,
    )


def time_step(config: Config, safe_ms: float, longest: neurodyn.Presentation) -> float:
    """Return a time step that fits all durations and their halves.

    The step is safe: no unit may overshoot, because this would change which units learn in
    the first steps. It is τ / 20 halved until safe, so that most networks have the same.
    """
    bound = TAU_MS / 20
    while bound > safe_ms:
        bound /= 2
    lengths = [t * TAU_MS for t in config.durations]
    return longest.fitting_step(bound, *lengths, *(length / 2 for length in lengths))


def measure(
    config: Config,
    learned: Learned,
    rule: neurodyn.KrotovHopfield,
    w_inh: float,
    traced: Traced,
) -> xr.Dataset:
    """Return ΔW of each timing and T, compared with that of the settled activity."""
    drive = (learned.held_out @ learned.weights.T).numpy()
    settled_g = activation(equilibrium.settle(drive, w_inh=w_inh), rule)
    reference = change(settled_g, learned)
    changes = [[change(g, learned) for g in traced.mean_g[name]] for name in TIMINGS]
    cosines = [[cosine(dw, reference) for dw in row] for row in changes]
    size = np.linalg.norm(reference)
    norms = [[np.linalg.norm(dw) / size for dw in row] for row in changes]
    floor = cosine(change(np.maximum(settled_g, 0), learned), reference)
    unlearned = [traced.unlearned[name] for name in TIMINGS]
    unlearned = np.where(np.array(unlearned) > 0, unlearned, np.nan)
    wasted = np.array([traced.wasted[name] for name in TIMINGS]) / unlearned
    settled = [(sign * settled_g > 0).sum() / len(drive) for sign in (1, -1)]
    at = axis("timing", list(TIMINGS)), axis("duration", list(map(float, config.durations)))
    time = axis("time", traced.dt_ms * np.arange(traced.learning.shape[1]))
    unit = axis("unit", np.arange(config.units))
    of_settled = "that of the settled activity"
    learning, unlearning = traced.learning
    return dataset(
        cosine=(at, cosines, "1", f"cosine of ΔW with {of_settled}"),
        norm=(at, norms, "1", f"size of ΔW per time of learning, relative to {of_settled}"),
        floor=((), floor, "1", "cosine if nothing unlearned: settled ΔW without −Δ"),
        wasted=(at, wasted, "1", "share of unlearning by units that end inactive"),
        hebbian=((time,), learning, "1", "units with g = 1, mean of images"),
        unlearning=((time,), unlearning, "1", "units with g = −Δ, mean of images"),
        hebbian_settled=((), settled[0], "1", "units with g = 1, settled"),
        unlearning_settled=((), settled[1], "1", "units with g = −Δ, settled"),
        h_star=((), rule.h_star, "1", "threshold h* of Hebbian learning"),
        dt_ms=((), traced.dt_ms, "ms", "time step of Euler's method"),
        example=((time, unit), traced.example, "1", "activity h of the first image"),
    )


def activation(
    h: NDArray[np.float64], rule: neurodyn.KrotovHopfield
) -> NDArray[np.float64]:
    """Return g(h) of eq. 9."""
    return np.where(h >= rule.h_star, 1.0, np.where(h >= 0, -rule.delta, 0.0))


def averages(
    g: NDArray[np.float64], h: NDArray[np.float64], config: Config, dt_ms: float
) -> tuple[ByTiming, ByTiming, ByTiming]:
    """Return averages over the learning time of one image (step, unit), by timing.

    These are the mean g (duration, unit), and the numbers of steps with g = −Δ: of units
    that end inactive, and of all units (duration). A step learns from the state before it.
    """
    ends = [round(t * TAU_MS / dt_ms) for t in config.durations]
    sums, unlearned = (
        np.concatenate([np.zeros((1, g.shape[1])), values.cumsum(axis=0)])
        for values in (g, (g < 0).astype(float))
    )
    inactive = np.array([h[end] < 0 for end in ends])
    means, wasted, spent = {}, {}, {}
    starts = {"continuous": [0] * len(ends), "gated": [end // 2 for end in ends]}
    for name, begins in starts.items():
        pairs = list(zip(begins, ends, strict=True))
        means[name] = np.array([(sums[e] - sums[b]) / (e - b) for b, e in pairs])
        by_unit = np.array([unlearned[e] - unlearned[b] for b, e in pairs])
        wasted[name] = (by_unit * inactive).sum(axis=1)
        spent[name] = by_unit.sum(axis=1)
    means["settled"] = g[ends]
    wasted["settled"], spent["settled"] = np.zeros(len(ends)), (g[ends] < 0).sum(axis=1)
    return means, wasted, spent


def change(g: NDArray[np.float64], learned: Learned) -> NDArray[np.float64]:
    """Return ΔW of eq. 3 per τ_L, for g (image, unit) of the first held-out images."""
    v = learned.held_out[: len(g)]
    drive = v @ learned.weights.T
    return delta_w(torch.from_numpy(g), drive, v, learned.weights).numpy()


def cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the cosine of two arrays; NaN if one is 0."""
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / size) if size else np.nan
