"""What does each step down the ladder change, on one small set of images?

Trains 100 units by ranking on the digits, in seconds. Simulates the circuit with these
weights on held-out images. Compares circuit, equilibrium and ranking by activity, g, weight
update and cost. Controls of the readout error are random weights and back-propagation.

Circuit and closed form agree on the active set of every image. The ranking is another rule.
"""

import json
from pathlib import Path

import torch
import xarray as xr

from fastpath.data import datasets
from fastpath.data.defaults import defaults_for
from fastpath.runs import storage
from neurodyn import backends, traces
from scenarios.quickstart.experiment import Config, compare, cost, learn, simulate
from scenarios.quickstart.figure import draw, table
from scenarios.support import statistics
from scenarios.support.circuit import TAU_MS


def main(config: Config) -> None:
    """Run the scenario and write its results and figure."""
    torch.set_num_threads(1)
    out = config.out or Path("runs") / config.name
    backends.resolve(config.backend)  # a mistake should not cost the training
    datasets.check_root(config, config.data)
    storage.prepare(out, overwrite=config.overwrite)
    figure = config.figure or out / f"{config.name}.png"
    traces.check_writable(figure)
    images = datasets.load(config.data, config.data_root)
    config.check_held_out(images)
    learned, errors = learn(config, images)
    runs, rows = [], []
    for w_inh in config.w_inh:
        runs.append(simulate(config, learned, w_inh))
        rows.append(compare(runs[-1], learned, w_inh=w_inh))
    summary = {
        "data": images.name,
        "units": config.units,
        "power": defaults_for(images.origin).readout.power,
        "random_power": defaults_for(images.origin).random.power,
        "num_images": config.num_images,
        "T_over_tau": config.image_ms / TAU_MS,
        "test_error": {name: statistics.summary(seeds) for name, seeds in errors.items()},
        "ladder": rows,
        "seconds_per_1000_images": {
            "circuit": 1000 * runs[-1].attrs["run_seconds"] / config.num_images,
            **cost(learned, w_inh=config.w_inh[-1]),
        },
    }
    trials = xr.concat(runs, dim="trial", combine_attrs="drop_conflicts")
    trials = trials.assign_coords(
        w_inh=("trial", list(config.w_inh), {"units": "1", "long_name": "inhibition"})
    )
    trials.attrs["config"] = json.dumps([json.loads(run.attrs["config"]) for run in runs])
    traces.save(trials, out / "traces.nc")
    storage.save_tensors(out / "weights.safetensors", {"weights": learned.weights})
    storage.save_json(out / "summary.json", summary)
    draw(trials, summary, images.shape).savefig(figure, dpi=110)
    print(table(summary))
    print(f"\nWrote {out}/{{traces.nc,weights.safetensors,summary.json}} and {figure}")
