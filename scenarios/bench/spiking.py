"""The time of a time step of spiking networks, compared with the time to move its bytes.

The floor is the time to move the weights that the spikes of the input reach: to read and
write them in training, to read them otherwise. Input as dense as MNIST: 19 % of the pixels
are bright, so that about 3 pixels spike in a step.
"""

import math
from typing import Any

import numpy as np

import neurodyn
from neurodyn import backends
from neurodyn.spiking import random_weights
from scenarios.bench.circuit import NUM_PIXELS, floor

IMAGES = {"cpp": 100, "cython": 10, "cuda": 20}  # each for 1000 steps of 0.5 ms
BRIGHT, BRIGHTNESS = 0.19, 0.68  # shares of MNIST


def measure(
    units: tuple[int, ...], *, names: tuple[str, ...] = ("cpp", "cython")
) -> list[dict[str, Any]]:
    """Return a row for each phase, size and backend."""
    return [
        spiking_step(num_units, phase=phase, backend=backend)
        for phase in ("train", "test")
        for num_units in units
        for backend in names
        if backends.why_not(backend) is None
    ]


def spiking_step(units: int, *, phase: str, backend: str) -> dict[str, Any]:
    """Measure one time step of a network with that many E cells, and its floor."""
    rng = np.random.default_rng(0)
    count = IMAGES[backend]
    images = BRIGHTNESS * (rng.random((count, NUM_PIXELS)) < BRIGHT)
    stimulus = neurodyn.PoissonPresentation()
    network = neurodyn.SpikingNetwork(
        neurodyn.SpikingInhibition(),
        random_weights(units, NUM_PIXELS),
        plasticity=neurodyn.DiehlCook(),
        stimulus=stimulus,
        backend=backend,
    )
    run = network.train if phase == "train" else network.test
    run(images[:2], progress=False)  # cells adapt, and memory is touched
    traces = run(images, progress=False)
    network.close()
    _, period = stimulus.steps(0.5)
    shown = float((traces["attempts"] + 1).sum())
    seconds = traces.attrs["run_seconds"] / (shown * period)
    per_step = float(traces["input_spikes"].sum()) / (shown * period)
    changed = phase == "train"
    # Of one step there are too few bytes to measure: a share of the time of all weights.
    whole = floor(NUM_PIXELS * units * 8 * (2 if changed else 1), changed=changed)
    least = whole * per_step / NUM_PIXELS
    events = float(traces["synaptic_events"].sum()) / (shown * period)
    return {
        "form": phase,
        "units": units,
        "backend": backend,
        "us_per_step": 1e6 * seconds,
        "events_per_s": events / seconds,
        "hours_of_60000": seconds * 60_000 * period / 3600,
        "floor_us": 1e6 * least,
        "ratio": seconds / least if least else math.nan,
    }
