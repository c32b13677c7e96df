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
from dataclasses import asdict

import xarray as xr

from fastpath.runs import storage
from neurodyn import backends, traces
from scenarios.dale_oscillations.experiment import Config, measure_all
from scenarios.dale_oscillations.figure import draw
from scenarios.dale_oscillations.summary import summarise, table


def main(config: Config) -> None:
    """Run the scenario and write its results and figure."""
    backends.resolve(config.backend)
    saved = config.out / "circuits.nc"
    if saved.exists() and not config.overwrite:
        raise ValueError(
            f"{config.out} already holds a run: choose another --out, or give --overwrite "
            "to replace it"
        )
    storage.prepare(config.out, overwrite=True)
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
    storage.save_json(config.out / "summary.json", summary)
    draw(config, found, summary).savefig(config.figure, dpi=110)
    print(table(summary))
    print(f"\nWrote {config.out}/{{circuits.nc,summary.json}} and {config.figure}")
