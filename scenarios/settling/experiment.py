"""Simulation of the circuit for the longest T, and comparison with the closed form."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath import checks
from neurodyn import equilibrium
from neurodyn.times import is_multiple
from scenarios.support.checks import check_increasing
from scenarios.support.circuit import TAU_MS, CircuitConfig, Learned, step_ms
from scenarios.support.results import axis, dataset

SAMPLE_MS = 0.2 * TAU_MS
TOLERANCE = 0.01  # distance from the fixed point, over the largest drive, that is settled
KINDS = ("trained", "random")


@dataclass(frozen=True, kw_only=True)
class Config(CircuitConfig):
    """Settings of network, images, inhibition and presentation times."""

    seed: int = 0
    """Seed of the weights."""
    num_images: int = 100
    """Held-out images shown to the circuit, simulated in parallel."""
    w_inh: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    """Strengths of lateral inhibition, below 1: the fixed point is then unique."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100)
    """Times T at which the activity is measured, in time constants τ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.seed("seed", self.seed)
        check_increasing(w_inh=self.w_inh, durations=self.durations)
        if not (self.w_inh[0] >= 0 and self.w_inh[-1] < 1):
            raise ValueError(
                f"w_inh is {self.w_inh}: strengths from 0 to below 1 have a unique fixed "
                "point to compare with (from 1 on see scenarios.hysteresis)"
            )
        if not all(t > 0 and is_multiple(t * TAU_MS, SAMPLE_MS) for t in self.durations):
            raise ValueError(
                f"durations are {self.durations}: positive multiples of "
                f"{SAMPLE_MS / TAU_MS:g} are needed, at which the activity is sampled"
            )


def simulate(config: Config, learned: Learned, w_inh: float) -> xr.Dataset:
    """Simulate all images in parallel for the longest T."""
    return neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        learned.held_out.numpy(),
        learned.weights.numpy(),
        stimulus=neurodyn.Presentation(image_ms=config.durations[-1] * TAU_MS),
        recording=neurodyn.Recording(activity_ms=SAMPLE_MS, by_image=False),
        backend=config.backend,
        batch_size=config.num_images,
    )


def measure(config: Config, run: xr.Dataset, w_inh: float) -> xr.Dataset:
    """Return measures of the activity at each T, compared with the closed form."""
    drive = run["drive"].values
    settled = equilibrium.settle(drive, w_inh=w_inh)
    h = run["activity"].values[1:].reshape(len(drive), -1, drive.shape[1])
    away = abs(h - settled[:, None]).max(axis=2) / drive.max(axis=1, keepdims=True)
    same = ((h > 0) == (settled > 0)[:, None]).all(axis=2)
    samples = [round(t * TAU_MS / SAMPLE_MS) - 1 for t in config.durations]
    image = axis("image", np.arange(len(drive)))
    at = (image, axis("duration", np.array(config.durations, dtype=float)))
    return dataset(
        active_units=(at, (h > 0).sum(axis=2)[:, samples], "1", "active units at T"),
        distance=(at, away[:, samples], "1", "largest |h(T) - h_eq| / I_max of a unit"),
        same_set=(at, same[:, samples], "1", "active set equals that of the closed form"),
        settled_units=(
            (image,),
            (settled > 0).sum(axis=1),
            "1",
            "active units, closed form",
        ),
        settling_ms=(
            (image,),
            settling_ms(away),
            "ms",
            f"time until all units stay within {TOLERANCE:g} I_max of the closed form "
            "(inf: later than the longest T)",
        ),
        dt_ms=((), step_ms(run), "ms", "time step of Euler's method"),
    )


def settling_ms(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return when distances (image, sample) fall below TOLERANCE for good [ms]."""
    inside = (away <= TOLERANCE)[:, ::-1]
    stays = np.where(inside.all(axis=1), away.shape[1], np.argmin(inside, axis=1))
    return np.where(stays > 0, (away.shape[1] - stays + 1) * SAMPLE_MS, np.inf)


def first_presentation(run: xr.Dataset) -> xr.Dataset:
    """Return activity and drive of the first image."""
    first = run[["activity"]].sel(time=run["presentation"] == 0)
    return first.assign(drive=run["drive"].isel(image=0))
