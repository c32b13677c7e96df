"""When does an excitatory-inhibitory circuit ring, oscillate, run away?

The circuit has one inhibitory cell (W_EI = 1, W_IE = w_self = w) and one or m excitatory
cells of equal drive. Simulated frequencies, damping and onsets are compared with linear
theory. Frequencies agree within 0.6 %, the onset within 0.2 %.

*Linear theory* of the common mode (`neurodyn.circuits.dale`): trace (w − 1)/τ_E − 1/τ_I,
determinant (1 + (m − 1) w)/(τ_E τ_I). The circuit rings where trace² < 4 determinant. It
oscillates from τ_I = τ_E/(w − 1) on (a Hopf bifurcation). It runs away where the trace is
above 2 √determinant: the fixed point is then an unstable node, and r = max(h, 0) is
unbounded.

*Measurement.* The drive steps to 1 at rest, h = 0. Until an E cell first falls back to 0,
no rate is rectified. In this window the activity is exactly that of the linear system
around its fixed point, stable or not. Prony's fit (`analysis.damping_rate`,
`ringing_frequency`) gives its mode on both sides of the bifurcation. Later the rates of
unstable circuits are clipped at 0. The frequency of this limit cycle is the peak of the I
cell's spectrum in the last two thirds of the trace.

*Time step.* Euler's method multiplies a mode by 1 + λ dt instead of exp(λ dt). This adds
growth dt |λ|²/2 and moves the onset to τ_I = (τ_E − dt)/(w − 1) for m = 1. The scenario
measures the onset with dt and dt/2 to show that there is no other error.
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
