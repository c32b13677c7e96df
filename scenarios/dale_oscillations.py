"""When does an excitatory-inhibitory circuit ring, oscillate, run away?

One inhibitory cell (W_EI = 1, W_IE = w_self = w), one or m excitatory cells of equal drive.
Linear theory of their common mode (`neurodyn.circuits.dale`): trace (w − 1)/τ_E − 1/τ_I,
determinant (1 + (m − 1) w)/(τ_E τ_I). It rings where trace² < 4 determinant, oscillates
from τ_I = τ_E/(w − 1) on (a Hopf bifurcation), and runs away where the trace is above
2 √determinant: the fixed point is then an unstable node and r = max(h, 0) has no ceiling.

*How it is measured.* The drive steps to 1 at rest, h = 0. From there until an E cell first
falls back to 0 nothing is rectified, so the trace is exactly that of the linear system
around its fixed point, however far away it is and whether or not that point is stable.
Prony's fit (`analysis.damping_rate`, `ringing_frequency`) of this window gives the mode,
with one method on both sides of the bifurcation. Later on, unstable circuits hit the floor:
the frequency of that limit cycle is the peak of the I cell's spectrum in the last two
thirds.

*The time step.* Euler's method multiplies a mode by 1 + λ dt, not exp(λ dt): it adds growth
dt |λ|²/2, so that the onset moves to τ_I = (τ_E − dt)/(w − 1) for m = 1. The scenario
measures the onset with dt and dt/2 to show that this is all.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

import neurodyn
from fastpath import checkpoint
from neurodyn import DaleInhibition, analysis, backends, plots, traces
from neurodyn.circuits.dale import oscillation
from scenarios.support.command import command

NEAR_ONSET = (0.9, 0.97, 1.03, 1.1)  # τ_I over τ_E / (w − 1)
CUT_W, GROUP_W = 2.0, 0.7
EXAMPLES = {  # w, τ_I / τ_E
    "settles": (0.5, 0.1),
    "rings": (1.5, 1.0),
    "oscillates": (2.0, 2.0),
    "runs away": (2.5, 4.0),
}
CUT_RATIOS = np.geomspace(0.2, 5.5, 24)  # τ_I / τ_E
RUNAWAY_MS, RUNAWAY_DT_MS = 300.0, 0.2  # the check on both sides of that border
MEASURES = {
    "frequency": ("Hz", "frequency of ringing, measured before rectification"),
    "damping": ("1/s", "damping rate, measured before rectification"),
    "cycle_frequency": ("Hz", "frequency of the limit cycle"),
    "frequency_theory": ("Hz", "frequency of ringing in linear theory"),
    "damping_theory": ("1/s", "damping rate in linear theory"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is simulated."""

    tau_exc_ms: float = 10.0
    """Time constant τ_E of the excitatory cells [ms]."""
    tau_inh_ms: tuple[float, float] = (1.0, 60.0)
    """Shortest and longest time constant τ_I of the map [ms], in equal ratios."""
    w: tuple[float, float] = (0.1, 3.0)
    """Least and largest strength w of the map."""
    size: int = 20
    """Values of each on the map."""
    onsets: tuple[float, ...] = (1.2, 1.5, 2.0, 3.0)
    """Strengths w > 1 at which the onset of oscillation is measured."""
    num_active: int = 5
    """E cells of equal drive in the second circuit."""
    duration_ms: float = 1500.0
    """How long the drive is on [ms]."""
    dt_ms: float = 0.02
    """Time step [ms]. Euler's method moves the onset by dt / τ_E, relatively."""
    sample_ms: float = 0.2
    """Sampling interval [ms]."""
    backend: str = "cpp"
    """numpy, cython, cpp or auto. cpp compiles three times, then runs 500 circuits."""
    out: Path = Path("runs/dale_oscillations")
    """Folder of results."""
    figure: Path = Path("figures/dale_oscillations.png")
    """The picture."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        for name in ("tau_inh_ms", "w"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} is {low:g} to {high:g}: 0 < least < largest")
        for name, least in (("size", 2), ("num_active", 2)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}: at least {least} is needed")
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
        """Return the τ_I from which on linear theory oscillates [ms]."""
        return self.tau_exc_ms / (w - 1)


def main(config: Config) -> None:
    """Run the scenario and write its results and figure."""
    backends.resolve(config.backend)
    saved = config.out / "circuits.nc"
    if saved.exists() and not config.overwrite:
        raise ValueError(
            f"{config.out} already holds a run: choose another --out, or give --overwrite "
            "to replace it"
        )
    checkpoint.prepare(config.out, overwrite=True)
    traces.check_writable(config.figure)
    found = measure_all(config)
    summary = summarise(config, found)
    everything = xr.concat(
        [found[name] for name in ("map", "near", "cut", "halved", "group")], dim="trial"
    )
    everything.attrs = {
        "title": "Oscillation of excitatory-inhibitory circuits, measured and in theory",
        "source": "neurodyn",
        "history": "scenarios.dale_oscillations",
        "references": "Wilson & Cowan 1972, Biophys. J. 12:1",
        "config": json.dumps(asdict(config), default=str),
    }
    traces.save(everything, saved)
    checkpoint.save_json(config.out / "summary.json", summary)
    draw(config, found, summary).savefig(config.figure, dpi=110)
    print(table(summary))
    print(f"\nWrote {config.out}/{{circuits.nc,summary.json}} and {config.figure}")


def measure_all(config: Config) -> dict[str, Any]:
    """Return the measurements of each part, by name, and the traces of the examples."""
    w, tau_inh = config.map_values()
    tau = config.tau_exc_ms
    near = [(w, ratio * config.onset_ms(w)) for w in config.onsets for ratio in NEAR_ONSET]
    parts = {
        "map": [(one_w, one_tau) for one_w in w for one_tau in tau_inh],
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
    """Return what linear theory expects, one of `EXAMPLES`."""
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

    Circuits that run away are not simulated, nor those so close to the onset that Euler's
    method with this step is on its other side: NaN, and no trace.
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
        recording=neurodyn.Recording(activity_ms=config.sample_ms),
        backend=config.backend,
        dt_ms=config.dt_ms,
    )
    runs: list[xr.Dataset | None] = [None] * len(pairs)
    columns = {name: np.full(len(pairs), np.nan) for name in MEASURES}
    for place, trial in enumerate(circuits):
        run = runs[trial] = swept.isel(trial=place)
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
    size, ones = len(pairs), np.ones(len(pairs))
    settings = {
        "w": (np.array([w for w, _ in pairs]), "1", "strength of W_IE and w_self"),
        "tau_inh": (np.array([tau for _, tau in pairs]), "ms", "time constant of I"),
        "num_active": (num_active * ones, "1", "number of E cells"),
        "dt": (config.dt_ms * ones, "ms", "time step"),
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
    """Return the samples from the step of the drive until a unit first falls back to 0."""
    silent = (activity <= 0).any("unit").values[1:]  # at time 0 all are 0
    end = 1 + int(silent.argmax()) if silent.any() else len(silent) + 1
    return activity.isel(time=slice(0, end))


def cycle_frequency(activity: xr.DataArray) -> float:
    """Return the frequency of the limit cycle [Hz], NaN if fewer than 4 periods fit.

    Give the I cell's activity: the E cell's pulses have more power in their harmonics.
    """
    last = activity.isel(time=slice(activity.sizes["time"] // 3, None))
    frequency = float(analysis.dominant_frequency(last))
    seconds = float(last["time"][-1] - last["time"][0]) / 1000
    return frequency if frequency * seconds >= 4 else float("nan")


def onset(near: xr.Dataset, w: float) -> float:
    """Return the τ_I at which the measured damping crosses 0 [ms], interpolated."""
    some = near.isel(trial=np.isclose(near["w"].values, w)).dropna(
        "trial", subset=["damping"]
    )
    damping, tau_inh = some["damping"].values, some["tau_inh"].values
    return float(np.interp(0.0, damping[::-1], tau_inh[::-1]))  # falls with τ_I


def border(config: Config) -> tuple[list[dict[str, Any]], xr.Dataset]:
    """Simulate circuits on both sides of the border to running away; say what they do.

    And return the traces of the example that runs away.
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
        recording=neurodyn.Recording(activity_ms=1.0),
        backend="numpy",
        dt_ms=RUNAWAY_DT_MS,
    )
    for trial, row in enumerate(rows):
        h = swept["activity"].isel(trial=trial, unit=0).values
        row["theory"] = regime(config, row["w"], row["tau_inh_ms"])
        row["largest"] = float(h.max())
        row["falls_back"] = bool((h[1:] <= 0).any())
    return rows, swept.isel(trial=-1)


def summarise(config: Config, found: dict[str, Any]) -> dict[str, Any]:
    """Return what the measurements say, as JSON values."""
    onsets = [
        {
            "w": w,
            "theory_ms": config.onset_ms(w),
            "euler_ms": (config.tau_exc_ms - config.dt_ms) / (w - 1),
            "measured_ms": onset(found["near"], w),
            "measured_half_dt_ms": onset(found["halved"], w),
        }
        for w in config.onsets
    ]
    cycles = found["near"].where(found["near"]["damping"] < 0, drop=True)
    closest = cycles.isel(trial=slice(0, None, 2))  # 3 % beyond the onset
    cut = found["cut"]
    regimes = [
        regime(config, float(w), float(tau_inh))
        for w, tau_inh in zip(found["map"]["w"], found["map"]["tau_inh"], strict=True)
    ]
    return {
        "tau_exc_ms": config.tau_exc_ms,
        "dt_ms": config.dt_ms,
        "duration_ms": config.duration_ms,
        "num_active": config.num_active,
        "circuits_on_map": {name: regimes.count(name) for name in EXAMPLES},
        "not_simulated_too_close_to_onset": int(
            np.isnan(found["map"]["damping"]).sum() - regimes.count("runs away")
        ),
        "onset": onsets,
        "frequency_error_near_onset": largest_error(found["near"], "frequency"),
        "frequency_error_map": largest_error(found["map"], "frequency"),
        "frequency_error_group": largest_error(found["group"], "frequency"),
        "cycle_error_3_percent_beyond_onset": largest_error(closest, "cycle_frequency"),
        "cut": [
            {
                "tau_inh_ms": float(tau_inh),
                "linear_hz": float(linear),
                "cycle_hz": float(hz),
            }
            for tau_inh, linear, hz in zip(
                *(
                    cut[n].values
                    for n in ("tau_inh", "frequency_theory", "cycle_frequency")
                ),
                strict=True,
            )
            if not np.isnan(hz)
        ],
        "border": found["border"],
    }


def largest_error(measured: xr.Dataset, name: str) -> float:
    """Return the largest deviation of a frequency from linear theory, relative to it.

    Of circuits that ring with at least 1 % of their undamped frequency; next to where
    ringing ends, the frequency is a square root that hardly differs from 0.
    """
    theory = measured["frequency_theory"]
    rings = theory > 0.01 * abs(measured["damping_theory"])
    error = abs(measured[name] - theory).where(rings) / theory.where(rings)
    return float(error.max())


def table(summary: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = [
        f"tau_E = {summary['tau_exc_ms']:g} ms, Euler dt = {summary['dt_ms']:g} ms",
        "circuits on the map: "
        + ", ".join(f"{n} {name}" for name, n in summary["circuits_on_map"].items()),
        "",
        f"{'onset, tau_I [ms]':<34}theory       Euler's      measured     with dt / 2",
    ]
    for row in summary["onset"]:
        numbers = (row[key] for key in ("theory_ms", "euler_ms", "measured_ms"))
        lines.append(
            f"  w = {row['w']:<28g}"
            + "".join(f"{number:<13.4f}" for number in numbers)
            + f"{row['measured_half_dt_ms']:.4f}"
        )
    lines += ["", "largest deviation of the measured frequency from linear theory"]
    for key, label in (
        ("frequency_error_near_onset", "within 10 % of the onset"),
        ("frequency_error_map", "on the map"),
        ("frequency_error_group", f"{summary['num_active']} active cells"),
        ("cycle_error_3_percent_beyond_onset", "limit cycle, 3 % beyond the onset"),
    ):
        lines.append(f"  {label:<40}{100 * summary[key]:.2f} %")
    if summary["cut"]:
        last = summary["cut"][-1]
        lines.append(
            f"  limit cycle at w = {CUT_W:g}, tau_I = {last['tau_inh_ms']:.1f} ms: "
            f"{last['cycle_hz']:.2f} Hz, linear theory {last['linear_hz']:.2f} Hz"
        )
    lines += ["", "the border to running away"]
    for row in summary["border"]:
        does = "returns to 0" if row["falls_back"] else "grows for good"
        lines.append(
            f"  w = {row['w']:<7.3g} tau_I = {row['tau_inh_ms']:<5g} theory: "
            f"{row['theory']:<11} simulated: {does}, up to {row['largest']:.2g}"
        )
    return "\n".join(lines)


def draw(config: Config, found: dict[str, Any], summary: dict[str, Any]) -> Figure:
    """Draw the maps, a cut, the regimes and a phase portrait."""
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    top = [figure.add_subplot(grid[0, 4 * i : 4 * i + 4]) for i in range(3)]
    largest = float(found["map"]["frequency_theory"].max())
    titles = {
        "frequency_theory": "frequency [Hz], linear theory",
        "frequency": "frequency [Hz], measured",
    }
    for ax, (name, title) in zip(top, titles.items(), strict=False):
        draw_map(ax, config, found["map"][name], limits=(0, largest), cmap="viridis")
        ax.set_title(title, fontsize=10)
    draw_damping(top[2], config, found["map"])
    draw_cut(figure.add_subplot(grid[1, :4]), config, found)
    inner = grid[1, 4:9].subgridspec(2, 2)
    for place, name in enumerate(EXAMPLES):
        ax = figure.add_subplot(inner[divmod(place, 2)])
        draw_regime(ax, config, name, found["traces"][place])
    ax = figure.add_subplot(grid[1, 9:])
    run = found["traces"][list(EXAMPLES).index("oscillates")]
    plots.phase_portrait(run["activity"], run["inh_activity"], ax)
    ax.set_title("the circuit that oscillates", fontsize=10)
    figure.supxlabel(caption(config, summary), fontsize=8)
    return figure


def draw_map(
    ax: Axes,
    config: Config,
    values: xr.DataArray,
    *,
    limits: tuple[float, float],
    cmap: str,
) -> None:
    """Draw values of the map over τ_I and w, with the borders of linear theory."""
    w, tau_inh = config.map_values()
    ax.set_facecolor("0.85")
    low, high = limits
    image = ax.pcolormesh(
        tau_inh,
        w,
        values.values.reshape(len(w), len(tau_inh)),
        cmap=cmap,
        vmin=low,
        vmax=high,
        shading="nearest",
    )
    ax.figure.colorbar(image, ax=ax)
    fine = np.geomspace(tau_inh[0], tau_inh[-1], 300)
    ax.set(xscale="log", xlabel="τ_I [ms]", ylabel="w", ylim=ax.get_ylim())
    decades(ax)
    root = (config.tau_exc_ms / fine) ** 0.5
    ax.plot(fine, 1 + root**2, color="C3", lw=1.5, label="Hopf: τ_I = τ_E / (w − 1)")
    ax.plot(fine, (1 - root) ** 2, ":", color="w", lw=1.5)
    ax.plot(fine, (1 + root) ** 2, "--", color="k", lw=1, label="runs away above")


def decades(ax: Axes) -> None:
    """Label a logarithmic axis at 1, 2, 5 times powers of 10."""
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def draw_damping(ax: Axes, config: Config, measured: xr.Dataset) -> None:
    """Draw the measured damping, its zero contour and the Hopf curve."""
    w, tau_inh = config.map_values()
    damping = measured["damping"]
    draw_map(ax, config, damping, limits=(-60, 60), cmap="RdBu_r")
    ax.contour(
        tau_inh,
        w,
        damping.values.reshape(len(w), -1),
        levels=[0.0],
        colors="k",
        linestyles=":",
        linewidths=2.5,
    )
    ax.plot([], [], ":", color="k", lw=2.5, label="measured damping = 0")
    ax.legend(fontsize=7, loc="lower left")
    ax.set_title("damping rate [1/s], measured", fontsize=10)


def draw_cut(ax: Axes, config: Config, found: dict[str, Any]) -> None:
    """Draw frequencies along τ_I: of one cell and its limit cycle, and of several."""
    for name, color, label in (
        ("cut", "C0", f"w = {CUT_W:g}"),
        ("group", "C2", f"w = {GROUP_W:g}, {config.num_active} active cells"),
    ):
        some = found[name]
        tau_inh = some["tau_inh"]
        fine = np.geomspace(tau_inh[0], tau_inh[-1], 300)
        theory = [
            oscillation(
                tau_exc_ms=config.tau_exc_ms,
                tau_inh_ms=float(one),
                w=float(some["w"][0]),
                num_active=int(some["num_active"][0]),
            )[0]
            for one in fine
        ]
        ax.plot(fine, theory, color=color, lw=1, label=f"linear theory, {label}")
        ax.plot(tau_inh, some["frequency"], "o", color=color, ms=4, label="measured")
    cycle = found["cut"]["cycle_frequency"]
    ax.plot(
        found["cut"]["tau_inh"],
        cycle,
        "s",
        color="C3",
        ms=4,
        mfc="none",
        label=f"limit cycle, w = {CUT_W:g}",
    )
    ax.axvline(config.onset_ms(CUT_W), color="0.6", lw=0.8, ls="--")
    ax.set(xscale="log", xlabel="τ_I [ms]", ylabel="frequency [Hz]", ylim=(0, None))
    decades(ax)
    ax.set_title("along a cut; dashed: onset of oscillation", fontsize=10)
    ax.legend(fontsize=7)


def draw_regime(ax: Axes, config: Config, name: str, run: xr.Dataset) -> None:
    """Draw the start of one example, E and I."""
    w, ratio = EXAMPLES[name]
    shown_ms = 60.0 if name in ("settles", "runs away") else 300.0
    run = run.sel(time=slice(0, shown_ms))
    for trace, color, label in (("activity", "C3", "E"), ("inh_activity", "C0", "I")):
        ax.plot(run["time"], run[trace].clip(min=0).squeeze(), color, lw=1, label=label)
    if name == "runs away":
        ax.set_yscale("symlog", linthresh=1)
    ax.set_title(f"{name}: w = {w:g}, τ_I = {ratio * config.tau_exc_ms:g} ms", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_xlabel("time [ms]", fontsize=8)
    ax.legend(fontsize=7, frameon=False)


def caption(config: Config, summary: dict[str, Any]) -> str:
    """Return what the figure shows and by which protocol."""
    onsets = ", ".join(
        f"{row['measured_ms']:.4g} ({row['theory_ms']:.4g}) ms at w = {row['w']:g}"
        for row in summary["onset"]
    )
    return (
        f"One I cell, W_EI = 1, W_IE = w_self = w, τ_E = {config.tau_exc_ms:g} ms; drive 1 "
        f"from rest for {config.duration_ms:g} ms, Euler dt = {config.dt_ms:g} ms. "
        "Ringing: fit by Prony to the trace until a rate first is 0 again. "
        "Gray: not simulated. Outside the white dots it does not ring.\n"
        f"Measured onset τ_I (theory): {onsets}. Limit cycles: peak of the I cell's "
        "spectrum; they are slower than linear theory as rates are clipped at 0."
    )


if __name__ == "__main__":
    command("dale_oscillations", main, Config, __doc__)
