"""The spiking networks: training, labels of cells, and accuracy by three readouts."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath.runs import storage
from neurodyn.spiking import random_weights
from scenarios.support import grid, settings
from scenarios.support.spikes import rates, scored, silence_expected
from scenarios.support.trials import Network

type Matrix = NDArray[np.float64]

STDP, RANDOM = "STDP", "random weights"
SPENT = ("train_seconds", "presentations", "spikes", "input_spikes", "synaptic_events")


@dataclass(frozen=True, kw_only=True)
class Spiking(Network):
    """A spiking network, trained without labels; num_units is the number of E cells."""

    circuit: neurodyn.SpikingInhibition
    rule: neurodyn.DiehlCook | None
    """Rule of the weights from the input; None: they stay random, and θ adapts."""
    stimulus: neurodyn.PoissonPresentation
    seen: tuple[int, ...]
    """Numbers of images after which accuracy is measured; the last one ends training."""
    labelled: int
    """Number of training images from which cells, and the linear readout, get labels."""
    fields: int = 0
    """Number of cells whose receptive fields are kept, as they form."""
    dt_ms: float = 0.5
    """Time step [ms]."""
    backend: str = field(default="cpp", repr=False, compare=False)
    """Backend of Brian2 on the CPU."""
    folder: Path | None = field(default=None, repr=False, compare=False)
    """Folder in which the network is saved as it learns; a stopped training goes on."""

    def compute(self) -> xr.Dataset:
        """Return accuracy after some numbers of images, fields, spikes and times."""
        images, split, _ = self.begin()
        x, x_eval = rates(split.x_train), rates(split.x_eval)
        y, y_eval = split.y_train.numpy(), split.y_eval.numpy()
        order, network = self.order(len(x)), self.network_of(x.shape[1])
        generator = np.random.default_rng((self.seed, 1))  # another order than in training
        chosen = generator.permutation(len(x))[: self.labelled]
        parts = []
        for number in sorted({*self.seen, *self.kept}):
            if (file := self.file(f"-{number}")) is not None and file.exists():
                parts.append(grid.read(file))
                continue
            if network.num_trained > number:
                raise ValueError(
                    f"{self.folder} lacks a file of this training after {number} images: "
                    f"remove its other files, {settings.key(self)}*.nc, to start again"
                )
            remaining = order[network.num_trained : number]
            part = self.trained(network, x, remaining)
            if number in self.seen:
                with silence_expected():
                    observed = network.observe(x, order=chosen, progress=False)
                    tested = network.test(x_eval, progress=False)
                part = part.merge(
                    scored(observed, y[chosen], tested, y_eval, len(images.classes))
                )
            parts.append(part)
            if file is not None:
                storage.save_dataset(file, part)
        network.close()
        return self.joined(parts, network)

    def trained(
        self, network: neurodyn.SpikingNetwork, x: Matrix, order: NDArray[np.intp]
    ) -> xr.Dataset:
        """Train on further images; return time, spikes, and the fields at the end."""
        found = dict.fromkeys(SPENT, 0.0)
        if len(order):
            with silence_expected():
                traces = network.train(
                    x, order=order, checkpoint=self.file(""), progress=False
                )
            found |= {
                "train_seconds": traces.attrs["run_seconds"],
                "presentations": float((traces["attempts"] + 1).sum()),
                "spikes": float(traces["counts"].sum()),
                "input_spikes": float(traces["input_spikes"].sum()),
                "synaptic_events": float(traces["synaptic_events"].sum()),
            }
        # Numbers of few binary digits compress well.
        fields = np.round(128 * network.weights[: self.fields]) / 128
        return xr.Dataset(
            {**found, "fields": (("cell", "pixel"), fields.astype(np.float32))},
            coords={"seen": network.num_trained},
        )

    def joined(
        self, parts: list[xr.Dataset], network: neurodyn.SpikingNetwork
    ) -> xr.Dataset:
        """Return the parts of a training as one result."""
        at = [part for part in parts if "accuracy" in part]
        result = xr.concat([part.drop_vars([*SPENT, "fields"]) for part in at], "seen")
        # After a stop, some presentations are missing from all of these sums alike.
        total = {name: sum(float(part[name]) for part in parts) for name in SPENT}
        if self.fields:
            fields = xr.concat([part["fields"] for part in parts], "seen")
            result["fields"] = fields.rename(seen="snapshot")
        return result.assign({**total, "theta": ("unit", network.theta_mv)})

    @property
    def kept(self) -> tuple[int, ...]:
        """Numbers of images after which fields are kept: 0, 100, 200, 500, 1000, ..."""
        if not self.fields:
            return ()
        steps = np.outer(10 ** np.arange(2, 8), [1, 2, 5]).ravel()
        return (0, *(int(step) for step in steps if step < self.seen[-1]))

    def tidy(self) -> None:
        """Remove the files of a trial that is finished, and saved."""
        if self.folder is not None:
            for file in self.folder.glob(f"{settings.key(self)}*.nc"):
                file.unlink()

    def file(self, ending: str) -> Path | None:
        """Return a file for what is finished of this trial, if it has a folder."""
        return self.folder and self.folder / f"{settings.key(self)}{ending}.nc"

    def order(self, num_images: int) -> NDArray[np.intp]:
        """Return the images to learn from: each once in each pass, shuffled anew."""
        passes = -(-self.seen[-1] // num_images)
        shuffled = neurodyn.stimulus.epochs(num_images, passes, seed=self.seed)
        return shuffled[: self.seen[-1]]

    def network_of(self, num_pixels: int) -> neurodyn.SpikingNetwork:
        """Return the network at the start, or where an earlier training was stopped."""
        network = neurodyn.SpikingNetwork(
            self.circuit,
            random_weights(self.num_units, num_pixels, seed=self.seed),
            plasticity=self.rule,
            stimulus=self.stimulus,
            backend="cuda" if self.device == "cuda" else self.backend,
            dt_ms=self.dt_ms,
            seed=self.seed,
        )
        if (file := self.file("")) is not None and file.exists():
            network.restore(file)
        return network
