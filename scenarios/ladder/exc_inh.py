"""Does a circuit that obeys Dale's law behave like eq. 8?

K excitatory cells inhibit each other through one inhibitory cell of time constant τ_I (see
`neurodyn.circuits.dale`). The circuit is compared with lateral inhibition of the same
weights: by settled activity, by the g that follows from it, and by the ΔW of continuous
learning.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr

import neurodyn
from scenarios.ladder.one_step import (
    FIXED,
    OneStep,
    Step,
    circuit_shares,
    simulated,
    who_learns,
)
from scenarios.support.circuit import TAU_MS

NUMBERS = (
    *("ei_bounded", "ei_distance", "ei_distance_from_lateral"),
    *("ei_same_g", "ei_cosine", "ei_cosine_continuous"),
)


@dataclass(frozen=True, kw_only=True)
class ExcInh:
    """Comparison of E/I circuit and eq. 8, at one time constant of the inhibitory cell."""

    step: OneStep
    tau_inh: float
    """τ_I / τ_E."""

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return {
            "w_inh": self.step.w_inh,
            "tau_inh": self.tau_inh,
            "seed": self.step.network.source.seed,
        }

    def compute(self, network: xr.Dataset) -> xr.Dataset:
        """Return the agreement of both circuits at the end of each T (duration)."""
        trial, step = self.step, Step.of(self.step, network)
        dale = neurodyn.DaleInhibition(
            tau_exc_ms=TAU_MS,
            tau_inh_ms=self.tau_inh * TAU_MS,
            w_ie=trial.w_inh,
            w_self=trial.w_inh,
            input_sign=0,  # the network was trained without Dale's law
        )
        _, lateral = simulated(trial, step)
        try:
            _, repaired = simulated(trial, step, circuit=dale)
        except ValueError as error:
            if "grows without bound" not in str(error):
                raise
            return self.labelled({"ei_bounded": 0.0})
        threshold, largest = step.thresholds[FIXED], step.drive.max(axis=1)
        ours, theirs = (
            circuit_shares(trace, threshold, trial.durations)
            for trace in (repaired, lateral)
        )
        hebbian, anti = who_learns(step.settled, threshold)
        result: dict[str, list[float]] = {name: [] for name in NUMBERS[1:]}
        delta = trial.deltas[0]
        reference = hebbian - delta * anti
        for t, duration in enumerate(trial.durations):
            h = repaired.at(duration)
            for name, other in (
                ("ei_distance", step.settled),
                ("ei_distance_from_lateral", lateral.at(duration)),
            ):
                away = abs(h - other).max(axis=1) / largest
                result[name].append(float(np.median(away)))
            above, below = ours["settled", "T", t]
            g = above - delta * below
            result["ei_same_g"].append(float((g == reference).all(axis=1).mean()))
            result["ei_cosine"].append(likeness(step, g, reference))
            both = [
                pair[0] - delta * pair[1]
                for pair in (shares["continuous", "T", t] for shares in (ours, theirs))
            ]
            result["ei_cosine_continuous"].append(likeness(step, *both))
        return self.labelled({"ei_bounded": 1.0, **result})

    def labelled(self, numbers: "dict[str, list[float] | float]") -> xr.Dataset:
        """Return the numbers at each T, NaN for those that are missing."""
        length = len(self.step.durations)
        values = {
            name: np.broadcast_to(numbers.get(name, np.nan), length) for name in NUMBERS
        }
        return xr.Dataset(
            {name: ("duration", array) for name, array in values.items()},
            coords={"duration": list(map(float, self.step.durations))},
        )


def likeness(step: Step, first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of the ΔW of two g (image, unit)."""
    changes = [step.change(g).flatten() for g in (first, second)]
    size = float(changes[0].norm() * changes[1].norm())
    return float(changes[0] @ changes[1]) / size if size else np.nan
