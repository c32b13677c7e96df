"""What does learning during the transient change?

By eq. 9 a unit with 0 ≤ h < h* learns anti-Hebbian. While activity settles, many units are
briefly active that end inactive. With continuous learning their synapses unlearn images
that the settled circuit would not change. The scenario measures the cosine of ΔW with that
of the settled activity for several presentation times T. It compares continuous learning
with learning in the last half of T only, and with one update at its end. At w_inh = 0.9
continuous learning needs T = 100 τ (cosine 0.99 ± 0.01).

The weights hardly move during these images, so that ΔW is linear in the time average of g.
This average comes from traces of circuits with static weights, at every time step. Plastic
synapses are simulated for some of the images as a check.
"""

import numpy as np
import torch
import xarray as xr

import neurodyn
from fastpath.data import datasets
from neurodyn import backends
from scenarios.continuous_plasticity.config import Config
from scenarios.continuous_plasticity.figure import draw, table
from scenarios.continuous_plasticity.plastic import check_plastic
from scenarios.continuous_plasticity.traces import measure, trace
from scenarios.support.circuit import RANKING
from scenarios.support.results import axis, write


def main(config: Config) -> xr.Dataset:
    """Run the scenario, write its results and figure, and return the results."""
    torch.set_num_threads(1)
    backend = backends.resolve(config.backend)  # a mistake should not cost the training
    out, figure = config.paths("continuous_plasticity")
    images = datasets.load(config.data, config.data_root)
    by_seed, check = [], xr.Dataset()
    for seed in range(config.seeds):
        learned = config.learn(images, seed=seed)
        rows = []
        for w_inh in config.w_inh:
            h_star = learned.threshold(w_inh=w_inh)
            rule = neurodyn.KrotovHopfield(delta=RANKING.delta, h_star=h_star)
            traced = trace(config, learned, rule, w_inh)
            rows.append(measure(config, learned, rule, w_inh, traced))
            if seed == 0 and w_inh == config.w_inh[-1]:
                check = check_plastic(config, learned, rule, traced, w_inh)
        by_seed.append(xr.concat(rows, dim=axis("w_inh", config.w_inh), join="outer"))
    result = xr.concat(by_seed, dim=axis("seed", np.arange(config.seeds)), join="outer")
    result = result.merge(check)
    result.attrs = {
        "title": "What learning during the transient changes",
        "source": "scenarios.continuous_plasticity",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 3, 8, 9",
        "data": images.name,
        "backend": backend,
    }
    write(result, config, out)
    draw(result, config).savefig(figure, dpi=110)
    print(table(result))
    print(f"\nWrote {out}/{{results.nc,config.json}} and {figure}")
    return result
