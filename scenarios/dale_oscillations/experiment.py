"""Simulations on a map of parameters, along cuts and near borders; their modes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from neurodyn import DaleInhibition, analysis
from neurodyn.circuits.dale import oscillation
from scenarios.support.checks import check_counts

NEAR_ONSET = (0.9, 0.97, 1.03, 1.1)  # τ_I over τ_E / (w − 1)
CUT_W, GROUP_W = 2.0, 0.7
EXAMPLES = {  # w, τ_I / τ_E
    "settles": (0.5, 0.1),
    "rings": (1.5, 1.0),
    "oscillates": (2.0, 2.0),
    "runs away": (2.5, 4.0),
}
CUT_RATIOS = np.geomspace(0.2, 5.5, 24)  # τ_I / τ_E
RUNAWAY_MS, RUNAWAY_DT_MS = 300.0, 0.2  # the check on both sides of the runaway border
MEASURES = {
    "frequency": ("Hz", "frequency of ringing, measured before rectification"),
    "damping": ("1/s", "damping rate, measured before rectification"),
    "cycle_frequency": ("Hz", "frequency of the limit cycle"),
    "frequency_theory": ("Hz", "frequency of ringing in linear theory"),
    "damping_theory": ("1/s", "damping rate in linear theory"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the simulations."""

    tau_exc_ms: float = 10.0
    """Time constant τ_E of the excitatory cells [ms]."""
    tau_inh_ms: tuple[float, float] = (1.0, 60.0)
    """Shortest and longest time constant τ_I of the map [ms]; steps are equal ratios."""
    w: tuple[float, float] = (0.1, 3.0)
    """Least and largest strength w of the map; steps are equal."""
    size: int = 20
    """Number of values of τ_I, and of w, on the map."""
    onsets: tuple[float, ...] = (1.2, 1.5, 2.0, 3.0)
    """Strengths w > 1 at which the onset of oscillation is measured."""
    num_active: int = 5
    """Number m of E cells of equal drive in the second circuit."""
    duration_ms: float = 1500.0
    """How long the drive is on [ms]."""
    dt_ms: float = 0.02
    """Time step [ms]. Euler's method moves the onset by the share dt / τ_E."""
    sample_ms: float = 0.2
    """Sampling interval [ms]."""
    backend: str = "cpp"
    """Backend of Brian2: numpy, cython, cpp or auto. cpp compiles three times."""
    out: Path = Path("runs/dale_oscillations")
    """Folder of results."""
    figure: Path = Path("figures/dale_oscillations.png")
    """File of the figure."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        for name in ("tau_inh_ms", "w"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} is {low:g} to {high:g}: 0 < least < largest")
        check_counts(self, "size", "num_active", least=2)
        if not self.onsets or min(self.onsets) <= 1:
            raise ValueError(
                f"onsets are {self.onsets}: give strengths above 1, one or more"
            )
        if not 0 < self.dt_ms <= 0.02 * self.tau_exc_ms:
            raise ValueError(
                f"dt_ms is {self.dt_ms:g}: above 0 and at most {0.02 * self.tau_exc_ms:g} "
                "(tau_exc_ms / 50), or Euler's method moves the onset by more than 2 %"
            )
        neurodyn.Presentation(image_ms=self.duration_ms).steps(self.dt_ms)
        neurodyn.Recording(activity_ms=self.sample_ms).sample_steps(self.dt_ms / 2)

    def circuit(self, w: float, tau_inh_ms: float) -> DaleInhibition:
        """Return the circuit of one pair of parameters."""
        return DaleInhibition(
            tau_exc_ms=self.tau_exc_ms, tau_inh_ms=float(tau_inh_ms), w_ie=w, w_self=w
        )

    def map_values(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values of w and τ_I on the map."""
        return np.linspace(*self.w, self.size), np.geomspace(*self.tau_inh_ms, self.size)

    def onset_ms(self, w: float) -> float:
        """Return the τ_I from which on the circuit oscillates in linear theory [ms]."""
        return self.tau_exc_ms / (w - 1)


def measure_all(config: Config) -> dict[str, Any]:
    """Return the measurements of each part, by name, and the traces of the examples."""
    w, tau_inh = config.map_values()
    tau = config.tau_exc_ms
    near = [(w, ratio * config.onset_ms(w)) for w in config.onsets for ratio in NEAR_ONSET]
    parts = {
        "map": [(map_w, map_tau) for map_w in w for map_tau in tau_inh],
        "near": near,
        "cut": [(CUT_W, ratio * tau) for ratio in CUT_RATIOS],
        "examples": [(w, ratio * tau) for w, ratio in EXAMPLES.values()],
    }
    measured, runs = measure(config, [pair for pairs in parts.values() for pair in pairs])
    ends = np.cumsum([len(pairs) for pairs in parts.values()])
    found: dict[str, Any] = {
        name: measured.isel(trial=slice(end - len(pairs), end))
        for (name, pairs), end in zip(parts.items(), ends, strict=True)
    }
    found["traces"] = runs[-len(EXAMPLES) :]
    halved = replace(config, dt_ms=config.dt_ms / 2)
    found["halved"], _ = measure(halved, near)
    group = [(GROUP_W, ratio * tau) for ratio in CUT_RATIOS]
    found["group"], _ = measure(config, group, num_active=config.num_active)
    found["border"], found["traces"][-1] = border(config)
    return found


def regime(config: Config, w: float, tau_inh_ms: float, num_active: int = 1) -> str:
    """Return the regime in linear theory, a key of `EXAMPLES`."""
    frequency, damping = oscillation(
        tau_exc_ms=config.tau_exc_ms, tau_inh_ms=tau_inh_ms, w=w, num_active=num_active
    )
    if frequency:
        return "rings" if damping > 0 else "oscillates"
    return "settles" if damping > 0 else "runs away"


def measure(
    config: Config, pairs: Sequence[tuple[float, float]], *, num_active: int = 1
) -> tuple[xr.Dataset, list[xr.Dataset | None]]:
    """Return measured and theoretical modes of circuits (w, τ_I), and their traces.

    Some circuits are not simulated: their mode is NaN and their trace None. These are
    circuits that run away, and circuits so close to the onset that Euler's method with this
    time step would be on its other side.
    """
    drive = np.ones((1, num_active))
    circuits = {
        trial: circuit
        for trial, (w, tau_inh) in enumerate(pairs)
        if regime(config, w, tau_inh, num_active) != "runs away"
        and (circuit := config.circuit(w, tau_inh)).is_stable(
            drive, config.dt_ms, reset=True
        )
    }
    swept = neurodyn.sweep(
        list(circuits.values()),
        np.ones((1, 1)),
        np.ones((num_active, 1)),
        stimulus=neurodyn.Presentation(image_ms=config.duration_ms),
        recording=neurodyn.Recording(activity_ms=config.sample_ms, by_image=False),
        backend=config.backend,
        dt_ms=config.dt_ms,
    )
    runs: list[xr.Dataset | None] = [None] * len(pairs)
    columns = {name: np.full(len(pairs), np.nan) for name in MEASURES}
    for index, trial in enumerate(circuits):
        run = runs[trial] = swept.isel(trial=index)
        free = before_rectification(run["activity"]).mean("unit")
        columns["frequency"][trial] = float(analysis.ringing_frequency(free))
        columns["damping"][trial] = float(analysis.damping_rate(free))
        if regime(config, *pairs[trial], num_active) == "oscillates":
            columns["cycle_frequency"][trial] = cycle_frequency(
                run["inh_activity"].isel(inh=0)
            )
    for trial, (w, tau_inh) in enumerate(pairs):
        columns["frequency_theory"][trial], columns["damping_theory"][trial] = oscillation(
            tau_exc_ms=config.tau_exc_ms, tau_inh_ms=tau_inh, w=w, num_active=num_active
        )
    size, same = len(pairs), np.ones(len(pairs))
    settings = {
        "w": (np.array([w for w, _ in pairs]), "1", "strength of W_IE and w_self"),
        "tau_inh": (np.array([tau for _, tau in pairs]), "ms", "time constant of I"),
        "num_active": (num_active * same, "1", "number of E cells"),
        "dt": (config.dt_ms * same, "ms", "time step"),
    }
    described = {
        name: (columns[name], units, text) for name, (units, text) in MEASURES.items()
    } | settings
    assert all(len(values) == size for values, _, _ in described.values())
    return xr.Dataset(
        {
            name: ("trial", values, {"units": units, "long_name": text})
            for name, (values, units, text) in described.items()
        }
    ), runs


def before_rectification(activity: xr.DataArray) -> xr.DataArray:
    """Return the samples between onset of the drive and a unit's first return to 0."""
    silent = (activity <= 0).any("unit").values[1:]  # at time 0 all are 0
    end = 1 + int(silent.argmax()) if silent.any() else len(silent) + 1
    return activity.isel(time=slice(0, end))


def cycle_frequency(activity: xr.DataArray) -> float:
    """Return the frequency of the limit cycle [Hz], NaN if fewer than 4 periods fit.

    The activity should be the I cell's: the E cell's pulses have stronger harmonics.
    """
    last = activity.isel(time=slice(activity.sizes["time"] // 3, None))
    frequency = float(analysis.dominant_frequency(last))
    seconds = float(last["time"][-1] - last["time"][0]) / 1000
    return frequency if frequency * seconds >= 4 else float("nan")


def border(config: Config) -> tuple[list[dict[str, Any]], xr.Dataset]:
    """Simulate circuits on both sides of the border to runaway activity.

    Return theory and behaviour of each circuit, and the traces of the runaway example.
    """
    rows = []
    for ratio in (1.0, 2.0, 4.0):
        critical = (1 + ratio**-0.5) ** 2  # trace = 2 sqrt(determinant), m = 1
        for share in (0.9, 1.1):
            rows.append({"w": share * critical, "tau_inh_ms": ratio * config.tau_exc_ms})
    w, ratio = EXAMPLES["runs away"]
    pairs = [
        *((row["w"], row["tau_inh_ms"]) for row in rows),
        (w, ratio * config.tau_exc_ms),
    ]
    swept = neurodyn.sweep(
        [config.circuit(*pair) for pair in pairs],
        np.ones((1, 1)),
        np.ones((1, 1)),
        stimulus=neurodyn.Presentation(image_ms=RUNAWAY_MS),
        recording=neurodyn.Recording(activity_ms=1.0, by_image=False),
        backend="numpy",
        dt_ms=RUNAWAY_DT_MS,
    )
    for trial, row in enumerate(rows):
        h = swept["activity"].isel(trial=trial, unit=0).values
        row["theory"] = regime(config, row["w"], row["tau_inh_ms"])
        row["largest"] = float(h.max())
        row["falls_back"] = bool((h[1:] <= 0).any())
    return rows, swept.isel(trial=-1)
