"""Measures of the circuits and of their receptive fields."""

import json
from dataclasses import asdict
from typing import Any

import torch
import xarray as xr

from neurodyn import analysis
from scenarios.dale_learns.experiment import DALE, RANDOM, RANKED, Config
from scenarios.support import statistics


def summarise(
    config: Config,
    runs: list[xr.Dataset],
    weights: dict[str, list[torch.Tensor]],
    errors: dict[str, list[float]],
    *,
    num_images: int,
) -> dict[str, Any]:
    """Return the results as JSON values."""
    run = runs[0]
    violations = {
        name: sum(int(violated(each[f"{name}_snapshots"]).sum()) for each in runs)
        for name in ("weights", "weights_ie")
        if f"{name}_snapshots" in run
    }
    late = late_samples(run)
    return {
        "presentations": config.epochs * num_images,
        "scored_on": "validation" if config.validation else "test",
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "error": {name: statistics.summary(values) for name, values in errors.items()},
        "sign_violations": violations,
        "snapshots_checked": sum(each.sizes["snapshot"] for each in runs),
        "zero_weights": float((run["weights"] == 0).mean()),
        "active_units": float(analysis.active_units(late["activity"]).mean()),
        "hebbian_units": float((late["activity"] >= config.h_star).sum("unit").mean()),
        "units_that_never_win": int(
            (
                ~(run["activity"].isel(time=slice(1, None)) >= config.h_star).any("time")
            ).sum()
        ),
        "balance_of_active_units": float(balance(config, late).median()),
        "norm_median": float(run["weight_norm"].isel(image=-1).median()),
        "run_seconds": sum(each.attrs["run_seconds"] for each in runs),
        "similarity": {
            "to ranking >= 0": similarity(weights[DALE], weights[RANKED]),
            "floor: random >= 0": similarity(weights[DALE], weights[RANDOM]),
            "ceiling: ranking >= 0, two seeds": similarity(
                weights[RANKED], weights[RANKED][1:] + weights[RANKED][:1]
            ),
        },
    }


def violated(snapshots: xr.DataArray) -> xr.DataArray:
    """Return the number of weights below 0 in each snapshot."""
    by_snapshot = snapshots.rename(snapshot="image")  # the dim that is kept
    return analysis.sign_violations(by_snapshot, sign=1)


def late_samples(run: xr.Dataset) -> xr.Dataset:
    """Return the last quarter of the recorded presentations, at their ends."""
    return run.isel(time=slice(-(run.sizes["time"] // 4), None))


def balance(config: Config, late: xr.Dataset) -> xr.DataArray:
    """Return (E − I)/(E + I) of the currents into active E cells, NaN for others.

    Excitation is the drive plus a cell's self-excitation. At the end of a presentation,
    when activity has settled, it is h plus the inhibition.
    """
    h, inhibition = late["activity"], late["inhibition"]
    excitation = (h + inhibition).clip(min=0)
    return analysis.e_i_balance(excitation, inhibition).where(h > 0)


def labelled(weights: torch.Tensor) -> xr.DataArray:
    """Return weights with their dims."""
    return xr.DataArray(weights.double().numpy(), dims=("unit", "pixel"))


def matched(first: torch.Tensor, second: torch.Tensor) -> xr.DataArray:
    """Return cosines of matched receptive fields, after subtracting each mean field.

    Raw cosines of non-negative weights are high, whatever the networks have learned.
    """
    unit_norm = [labelled(w / w.norm(dim=1, keepdim=True)) for w in (first, second)]
    centred = [fields - fields.mean("unit") for fields in unit_norm]
    return analysis.receptive_field_similarity(*centred)


def similarity(first: list[torch.Tensor], second: list[torch.Tensor]) -> dict[str, Any]:
    """Return mean and sd over pairs of networks of the mean cosine of matched fields."""
    pairs = zip(first, second, strict=True)
    return statistics.summary([float(matched(*pair).mean()) for pair in pairs])


def verdict(summary: dict[str, Any]) -> str:
    """Return the answer to the question as a sentence."""
    error = summary["error"]

    def compared(other: str) -> str:
        difference = error[DALE]["mean"] - error[other]["mean"]
        noise = max(error[DALE]["sd"], error[other]["sd"])
        if abs(difference) <= noise:
            return f"within the seeds' spread of '{other}'"
        return (
            f"{abs(difference):.1f} points {'better' if difference < 0 else 'worse'} than"
            f" '{other}'"
        )

    return "The Dale circuit is " + ", ".join(compared(o) for o in (RANDOM, RANKED)) + "."
