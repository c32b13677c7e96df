"""One step of learning at every level of the ladder, from the same weights.

Each level gives a learning activation g (image, unit) = H − Δ A. H and A are the shares of
the learning time for which a unit learns Hebbian and anti-Hebbian. Weights move so little
within one step that ΔW is linear in g. Synapses that learn while the circuit runs therefore
change by the ΔW of the time average of g; `Plastic` checks this with such synapses. So one
simulation with static weights serves every h*, T and Δ.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

import neurodyn
from fastpath import competition
from fastpath.plasticity import delta_w
from neurodyn import equilibrium
from neurodyn.circuits import Circuit
from scenarios.ladder.networks import Network
from scenarios.support.circuit import TAU_MS, single_winner_threshold, step_ms

SAMPLE_MS = TAU_MS / 20
FIXED = "fixed"
LEVELS = (
    *("continuous", "gated", "settled"),
    *("equilibrium", "ranking", "ranks 2..m", "Hebb only", "random"),
)
REFERENCES = ("equilibrium", "ranking")
SAME = 0.05  # tolerance of equal g: averages over time are seldom exactly equal
DENSE = 20  # τ for which all samples are kept; later the activity is slow

type Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class OneStep:
    """One step of learning at all levels, for one strength of inhibition."""

    network: Network
    stage: str
    w_inh: float
    num_images: int
    durations: tuple[float, ...]
    shares: tuple[float, ...]
    ks: tuple[int, ...]
    deltas: tuple[float, ...]
    backend: str

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {**self.network.coords, "stage": self.stage, "w_inh": self.w_inh}

    def compute(self, network: xr.Dataset) -> xr.Dataset:
        """Return the agreement of the levels, and of circuit and equilibrium activity."""
        step = Step.of(self, network)
        run, h = simulated(self, step)
        results = []
        for threshold in step.thresholds.values():
            shares = circuit_shares(h, threshold, self.durations)
            at_h_star = {**shares, **self.closed(step, threshold)}
            results.append(self.compared(step, at_h_star, threshold))
        alike = xr.concat(results, dim="h_star").assign_coords(h_star=list(step.thresholds))
        final = np.stack([h.at(duration) for duration in self.durations])
        order = np.take_along_axis(final, step.drive.argsort(axis=1)[None], axis=2)
        away = abs(final - step.settled).max(axis=2) / step.drive.max(axis=1)
        at_t = {
            "order_equal": (np.diff(order, axis=2) >= 0).all(axis=2).mean(axis=1),
            "active_sets_equal": ((final > 0) == (step.settled > 0)).all(2).mean(axis=1),
            "active_units": (final > 0).sum(axis=2).mean(axis=1),
            "distance": np.median(away, axis=1),
        }
        measured = xr.Dataset({n: ("duration", values) for n, values in at_t.items()})
        return alike.merge(measured).assign(
            active_units_settled=(step.settled > 0).sum(axis=1).mean(),
            active_units_most=float((step.settled > 0).sum(axis=1).max()),
            fixed_h_star=float(step.thresholds[FIXED][0]),
            largest_drive=step.drive.max(axis=1).mean(),
            m=float(step.num_ranks),
            dt_ms=step_ms(run),
            run_seconds=run.attrs["run_seconds"],
        )

    def closed(self, step: "Step", threshold: Array) -> "Shares":
        """Return H and A of the levels without dynamics, by level."""
        drive, num_units = torch.from_numpy(step.drive), step.drive.shape[1]
        winner, none = ranked(drive, 0), np.zeros_like(step.drive)
        rng = np.random.default_rng(self.network.source.seed)
        drawn = np.argsort(rng.random(step.drive.shape), axis=1)
        settled = competition.settle(drive, w_inh=self.w_inh).numpy()
        shares: Shares = {
            ("equilibrium",): who_learns(settled, threshold),
            ("Hebb only",): (winner, none),
            ("random",): (1.0 * (drawn == 0), 1.0 * (drawn == num_units - 1)),
            ("ranks 2..m",): (
                winner,
                np.sum([ranked(drive, rank) for rank in range(1, step.num_ranks)], axis=0),
            ),
        }
        for k in self.ks:
            shares["ranking", k] = winner, ranked(drive, k - 1)
        return shares

    def compared(self, step: "Step", shares: "Shares", threshold: Array) -> xr.Dataset:
        """Return cosine, relative norm and share of images with equal g, for all levels."""
        changes = torch.stack(
            [step.change(share).flatten() for pair in shares.values() for share in pair]
        )
        product = (changes @ changes.T).numpy()
        row_of = {key: 2 * number for number, key in enumerate(shares)}
        shape = tuple(map(len, (self.durations, self.ks, self.deltas, LEVELS, REFERENCES)))
        cosine, norm, same = (np.full(shape, np.nan) for _ in range(3))
        for index in np.ndindex(shape):
            t, k, d, level, reference = index
            keys = [
                key_of(name, t, self.ks[k], shares)
                for name in (LEVELS[level], REFERENCES[reference])
            ]
            delta, sums = self.deltas[d], np.zeros((2, len(changes)))
            for row, key in zip(sums, keys, strict=True):
                row[row_of[key]], row[row_of[key] + 1] = 1, -delta
            inner = sums @ product @ sums.T
            size = np.sqrt(np.diagonal(inner).clip(min=0))
            if size.all():
                cosine[index] = inner[0, 1] / size.prod()
            norm[index] = size[0] / size[1] if size[1] else np.nan
            g = [shares[key][0] - delta * shares[key][1] for key in keys]
            same[index] = (abs(g[0] - g[1]) <= SAME).all(axis=1).mean()
        dims = ("duration", "k", "delta", "level", "reference")
        hebbian, anti = (share.sum(axis=1).mean() for share in shares["equilibrium",])
        return xr.Dataset(
            {
                "cosine": (dims, cosine),
                "norm": (dims, norm),
                "same_g": (dims, same),
                "hebbian": hebbian,
                "anti": anti,
            },
            coords={
                "duration": list(map(float, self.durations)),
                "k": list(self.ks),
                "delta": list(self.deltas),
                "level": list(LEVELS),
                "reference": list(REFERENCES),
            },
        )


type Shares = dict[tuple, tuple[Array, Array]]


def key_of(level: str, t: int, k: int, shares: Shares) -> tuple:
    """Return the key of a level in `shares`; some depend on rank k or on the t-th T."""
    return next(key for key in ((level,), (level, k), (level, "T", t)) if key in shares)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The start of one step: weights, images, drive and thresholds, in float64."""

    weights: Tensor
    v: Tensor
    drive: NDArray[np.float64]
    settled: Array
    thresholds: dict[str, Array]
    """h* of each image, by kind: fixed, or a share of the winner's activity."""
    num_ranks: int
    """m of "ranks 2..m": the mean number of active units on other images."""

    @classmethod
    def of(cls, trial: OneStep, network: xr.Dataset) -> "Step":
        """Return the start; the fixed h* and m come from validation images not shown."""
        weights = torch.from_numpy(
            network["weights"].sel(stage=trial.stage).values
        ).double()
        source = trial.network.source
        x = source.validation().x_eval
        v = source.seen(x[: trial.num_images])
        others = source.seen(x[trial.num_images : trial.num_images + 1000])
        drive = (v @ weights.T).numpy()
        settled = equilibrium.settle(drive, w_inh=trial.w_inh)
        before = equilibrium.settle(others @ weights.T, w_inh=trial.w_inh)
        largest = settled.max(axis=1)
        thresholds = {FIXED: np.full(len(v), single_winner_threshold(before))}
        thresholds |= {f"{share:g}": share * largest for share in trial.shares}
        return cls(
            weights=weights,
            v=v,
            drive=drive,
            settled=settled,
            thresholds=thresholds,
            num_ranks=max(2, round((before > 0).sum(axis=1).mean())),
        )

    def change(self, g: Array) -> Tensor:
        """Return ΔW (unit, pixel) of g, per unit of learning rate."""
        drive = torch.from_numpy(self.drive)
        return delta_w(torch.from_numpy(g), drive, self.v, self.weights)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Activity h (image, sample, unit) at times in τ, which may be irregular."""

    h: Array
    time: Array

    def at(self, time: float) -> Array:
        """Return h (image, unit) at a sampled time."""
        return self.h[:, self.index(time)]

    def index(self, time: float) -> int:
        """Return the index of the sample at a time."""
        return int(abs(self.time - time).argmin())


def simulated(
    trial: OneStep, step: Step, *, circuit: Circuit | None = None
) -> tuple[xr.Dataset, Trace]:
    """Return a simulation with static weights and its activity from t = 0 on.

    The circuit is lateral inhibition unless another is given. Samples after DENSE τ, where
    the activity is slow, are thinned out.
    """
    circuit = circuit or neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=trial.w_inh)
    presentation = neurodyn.Presentation(image_ms=trial.durations[-1] * TAU_MS)
    # No unit may overshoot in the first steps: it would change which units learn.
    safe_ms = circuit.safe_step_ms(step.drive, reset=True)
    run = neurodyn.simulate(
        circuit,
        step.v.numpy(),
        step.weights.numpy(),
        stimulus=presentation,
        recording=neurodyn.Recording(activity_ms=SAMPLE_MS, by_image=False),
        backend=trial.backend,
        dt_ms=presentation.fitting_step(min(safe_ms, SAMPLE_MS), SAMPLE_MS),
        batch_size=trial.num_images,
    )
    h = run["activity"].values[1:].reshape(*step.drive.shape[:1], -1, step.drive.shape[1])
    per_tau = round(TAU_MS / SAMPLE_MS)
    last = h.shape[1]
    asked = [round(t * per_tau * part) for t in trial.durations for part in (0.5, 1)]
    kept = np.unique(
        [*range(min(DENSE * per_tau, last)), *range(0, last + 1, per_tau // 2), *asked]
    )
    start = np.zeros_like(h[:, :1])
    trace = np.concatenate([start, h[:, kept[1:] - 1]], axis=1)
    return run, Trace(h=trace, time=kept / per_tau)


def circuit_shares(trace: Trace, threshold: Array, durations: tuple[float, ...]) -> Shares:
    """Return H and A of the circuit at each T, for all timings of learning."""
    above = time_above(trace.h, threshold[:, None, None])
    anti = time_above(trace.h, 0.0) - above
    length = np.diff(trace.time)[:, None]
    spent = [
        np.concatenate([np.zeros_like(part[:, :1]), (length * part).cumsum(axis=1)], axis=1)
        for part in (above, anti)
    ]
    shares: Shares = {}
    for t, duration in enumerate(durations):
        end = trace.index(duration)
        for name, begin in (("continuous", 0), ("gated", trace.index(duration / 2))):
            taken = trace.time[end] - trace.time[begin]
            hebbian, unlearning = (
                (sums[:, end] - sums[:, begin]) / taken for sums in spent
            )
            shares[name, "T", t] = hebbian, unlearning
        shares["settled", "T", t] = who_learns(trace.at(duration), threshold)
    return shares


def time_above(h: Array, threshold: Array | float) -> Array:
    """Return the share of each interval between samples for which h ≥ threshold.

    h (image, sample, unit) is interpolated linearly between samples.
    """
    start, end = h[:, :-1], h[:, 1:]
    rise = abs(end - start)
    over = np.maximum(start, end) - threshold
    return np.where(
        rise > 0, np.clip(over / np.where(rise > 0, rise, 1), 0, 1), 1.0 * (over >= 0)
    )


def who_learns(h: Array, threshold: Array) -> tuple[Array, Array]:
    """Return H and A (image, unit) of an activity, by eq. 9."""
    above = h >= threshold[:, None]
    return 1.0 * above, 1.0 * ((h >= 0) & ~above)


def ranked(drive: Tensor, rank: int) -> Array:
    """Return 1 for the unit of this rank (0: the largest drive) of each image, else 0."""
    units = drive.topk(rank + 1, dim=1).indices[:, rank:]
    return torch.zeros_like(drive).scatter_(1, units, 1.0).numpy()


TIMINGS = ("continuous", "gated", "settled")


@dataclass(frozen=True, kw_only=True)
class Plastic:
    """Synapses that learn while the circuit runs, compared with static traces."""

    step: OneStep
    timing: str
    duration: float
    relative_change: float = 1e-4
    """Bound on the total change of the weights."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {"timing": self.timing}

    def compute(self, network: xr.Dataset) -> xr.Dataset:
        """Return the largest difference of ΔW, relative to max |ΔW|, and the cosine."""
        step, trial = Step.of(self.step, network), self.step
        run, h = simulated(trial, step)
        threshold = step.thresholds[FIXED]
        shares = circuit_shares(h, threshold, (self.duration,))
        hebbian, anti = shares[self.timing, "T", 0]
        expected = step.change(hebbian - trial.deltas[0] * anti).numpy()
        image_ms = self.duration * TAU_MS
        learning_ms = {"gated": image_ms / 2}.get(self.timing, image_ms)
        timing = {
            "continuous": neurodyn.Continuous(),
            "gated": neurodyn.Gated(last_ms=image_ms / 2),
            "settled": neurodyn.Settled(),
        }[self.timing]
        most = float(abs(step.drive).max())
        tau_l_ms = learning_ms * trial.num_images * most / self.relative_change
        weights = step.weights.numpy()
        plastic = neurodyn.simulate(
            neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=trial.w_inh),
            step.v.numpy(),
            weights,
            plasticity=neurodyn.KrotovHopfield(
                delta=trial.deltas[0],
                h_star=float(threshold[0]),
                tau_l_ms=tau_l_ms,
                timing=timing,
            ),
            stimulus=neurodyn.Presentation(image_ms=image_ms),
            recording=neurodyn.Recording(activity_ms=None, images_every=None),
            backend=trial.backend,
            dt_ms=step_ms(run),
        )
        moved = (plastic["weights"].values - weights) * (tau_l_ms / learning_ms)
        inner = (moved * expected).sum()
        return xr.Dataset(
            {
                "plastic_error": abs(moved - expected).max() / abs(expected).max(),
                "plastic_cosine": inner / np.linalg.norm(moved) / np.linalg.norm(expected),
            }
        )
