"""The measurements summarised as numbers and as a table."""

from typing import Any

import numpy as np
import xarray as xr

from scenarios.dale_oscillations.experiment import CUT_W, EXAMPLES, Config, regime


def summarise(config: Config, found: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of the measurements as JSON values."""
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


def onset(near: xr.Dataset, w: float) -> float:
    """Return the τ_I at which the measured damping crosses 0 [ms], interpolated."""
    at_w = near.isel(trial=np.isclose(near["w"].values, w)).dropna(
        "trial", subset=["damping"]
    )
    damping, tau_inh = at_w["damping"].values, at_w["tau_inh"].values
    return float(np.interp(0.0, damping[::-1], tau_inh[::-1]))  # falls with τ_I


def largest_error(measured: xr.Dataset, name: str) -> float:
    """Return the largest relative deviation of a frequency from linear theory.

    Only circuits count that ring with a frequency above 1 % of their damping rate. Where
    ringing ends, the frequency is a square root near 0 and a relative error has no meaning.
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
    lines += ["", "the border to runaway activity"]
    for row in summary["border"]:
        does = "returns to 0" if row["falls_back"] else "grows for good"
        lines.append(
            f"  w = {row['w']:<7.3g} tau_I = {row['tau_inh_ms']:<5g} theory: "
            f"{row['theory']:<11} simulated: {does}, up to {row['largest']:.2g}"
        )
    return "\n".join(lines)
