"""How do inhibition and presentation time shape the competition?

Shows held-out images to the circuit with trained and with random weights, at many strengths
of inhibition. After several times T the activity is compared with the fixed point in closed
form: number of active units, distance of h, and equality of the active sets. The time to
settle is compared with the time constant τ / (1 − w_inh). At T = 100 τ the circuit has as
many active units as the closed form, for w_inh up to 0.95.

One long presentation serves all T: its activity is sampled, not simulated again.
"""

import torch
import xarray as xr

from fastpath.data import datasets
from neurodyn import backends
from scenarios.settling.experiment import (
    KINDS,
    Config,
    first_presentation,
    measure,
    simulate,
)
from scenarios.settling.figure import draw, table
from scenarios.support.results import axis, write


def main(config: Config) -> xr.Dataset:
    """Run the scenario, write its results and figure, and return the results."""
    torch.set_num_threads(1)
    backends.resolve(config.backend)  # a mistake should not cost the training
    out, figure = config.paths("settling")
    images = datasets.load(config.data, config.data_root)
    measured, examples = [], {}
    for kind in KINDS:
        learned = config.learn(images, seed=config.seed, random=kind == "random")
        rows = []
        for w_inh in config.w_inh:
            run = simulate(config, learned, w_inh)
            rows.append(measure(config, run, w_inh))
            if kind == "trained":
                examples[w_inh] = first_presentation(run)
        measured.append(xr.concat(rows, dim=axis("w_inh", config.w_inh)))
    result = xr.concat(measured, dim=axis("weights", list(KINDS)))
    result.attrs = {
        "title": "How inhibition and presentation time shape the competition",
        "source": "scenarios.settling",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        "data": images.name,
        "backend": backends.resolve(config.backend),
    }
    write(result, config, out)
    draw(result, examples, config).savefig(figure, dpi=110)
    print(table(result))
    print(f"\nWrote {out}/{{results.nc,config.json}} and {figure}")
    return result
