"""Does a circuit that obeys Dale's law learn?

Simulates excitatory and inhibitory cells whose weights never change sign. Pixels excite the
E cells through plastic weights (eq. 3, 9 of Krotov & Hopfield 2019, clipped at 0). E cells
excite I cells, and I cells inhibit E cells, through random weights; the I→E weights learn
too (Vogels et al. 2011). The circuit sees the digits for some epochs. Its weights are then
frozen and read out like a layer of `fastpath`. Controls with as many units: ranking with
weights >= 0, random weights >= 0, ranking without constraint, and back-propagation.

The circuit learns little: its error is within the seeds' spread of random weights.
"""

import numpy as np
import torch
import xarray as xr

from fastpath.data import datasets
from fastpath.runs import storage
from neurodyn import animation, backends, traces
from scenarios.dale_learns.experiment import (
    BACKPROP,
    DALE,
    POWER,
    Config,
    back_propagated,
    read_out,
    rivals,
    simulate,
    train_eval_split,
)
from scenarios.dale_learns.figure import draw, table
from scenarios.dale_learns.summary import summarise


def main(config: Config) -> None:
    """Run the scenario and write its results, figure and animation."""
    torch.set_num_threads(1)
    backends.resolve(config.backend)  # a mistake should not cost the training
    storage.prepare(config.out, overwrite=config.overwrite)
    moving = config.figure.with_suffix(".gif")
    traces.check_writable(config.figure)
    images = datasets.load("digits")
    runs: list[xr.Dataset] = []
    weights: dict[str, list[torch.Tensor]] = {name: [] for name in POWER}
    errors: dict[str, list[float]] = {name: [] for name in (*POWER, BACKPROP)}
    seeds = range(config.seeds)
    for seed in seeds:
        split = train_eval_split(config, images, seed)
        runs.append(simulate(config, split, seed))
        kept = {DALE: torch.from_numpy(runs[-1]["weights"].values).float()}
        kept |= rivals(config, split, seed)
        for name, one in kept.items():
            weights[name].append(one)
            errors[name].append(read_out(config, split, name, one, seed))
        errors[BACKPROP].append(back_propagated(config, split, seed))
    num_images = len(train_eval_split(config, images, 0).x_train)
    summary = summarise(config, runs, weights, errors, num_images=num_images)
    run = runs[0]
    traces.save(run, config.out / "traces.nc")
    storage.save_json(config.out / "summary.json", summary)
    draw(config, run, weights, summary, images.shape).savefig(config.figure, dpi=110)
    snapshots = run["weights_snapshots"].rename(snapshot="image")
    chosen = np.unique(np.geomspace(1, snapshots.sizes["image"], 24).astype(int) - 1)
    animation.weight_evolution(
        snapshots.isel(image=chosen), images.shape, moving, frames_per_second=4.0
    )
    storage.save_tensors(  # last: this file marks a run as complete
        config.out / "weights.safetensors",
        {f"{name} {i}": by_seed[i] for name, by_seed in weights.items() for i in seeds},
    )
    print(table(summary))
    print(
        f"\nWrote {config.out}/{{traces.nc,weights.safetensors,summary.json}}, "
        f"{config.figure} and {moving}"
    )
