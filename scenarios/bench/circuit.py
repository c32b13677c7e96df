"""The time of a time step of the circuit, compared with the time to move its bytes.

Circuits with static and plastic weights are measured on each compiled backend. The floor is
the time to move the bytes of all synapses at the bandwidth of the memory.
"""

import math
import statistics
import time
from typing import Any

import numpy as np

import neurodyn
from neurodyn import backends

NUM_PIXELS = 784
STEPS_PER_IMAGE = 200
# Bytes of a synapse: its weight, and the indices of its two cells, which Brian2 reads too.
W_BYTES, INDEX_BYTES = 8, 8
SUM_BYTES = W_BYTES + INDEX_BYTES
UPDATE_BYTES = 2 * W_BYTES + INDEX_BYTES


def measure(units: tuple[int, ...], *, steps: int) -> list[dict[str, Any]]:
    """Return a row for each form of circuit, size and backend."""
    bandwidth = memory_bandwidth()
    return [
        circuit_step(
            num_units, form=form, backend=backend, steps=steps, bandwidth=bandwidth
        )
        for form in FORMS
        for num_units in units
        for backend in backends.NAMES
        if backend not in ("numpy", "cuda") and backends.why_not(backend) is None
    ]


FORMS = {
    # form: bytes that a time step must move with n pixels and k units
    "pooled": lambda n, k: 0,
    "explicit": lambda n, k: k * k * (W_BYTES + INDEX_BYTES),
    "settled": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES) / STEPS_PER_IMAGE,
    "continuous": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES) / STEPS_PER_IMAGE,
    "each synapse": lambda n, k: n * k * (SUM_BYTES + UPDATE_BYTES),
}


def circuit_step(
    units: int, *, form: str, backend: str, steps: int, bandwidth: float
) -> dict[str, Any]:
    """Measure one time step of the circuit, and its floor.

    "pooled" and "explicit" are two forms of inhibition, with static weights. The other
    forms learn by the rule of the paper. "settled" learns once per image, "continuous"
    integrates two numbers per unit. "each synapse" integrates every synapse, which sign
    constraints require.
    """
    rng = np.random.default_rng(0)
    if form in ("explicit", "each synapse"):
        steps = max(2 * STEPS_PER_IMAGE, int(steps * 1e5 / (NUM_PIXELS * units)))
    weights = abs(rng.normal(size=(units, NUM_PIXELS)))
    w_inh = 0.5 / units
    timing = neurodyn.Settled() if form == "settled" else neurodyn.Continuous()
    rule = neurodyn.KrotovHopfield(h_star=5.0, tau_l_ms=1e7, timing=timing)
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(
            w_inh=w_inh * (1 - np.eye(units)) if form == "explicit" else w_inh,
            input_sign=1 if form == "each synapse" else 0,
        ),
        rng.random((max(2, steps // STEPS_PER_IMAGE), NUM_PIXELS)) / 15,
        weights,
        plasticity=None if form in ("pooled", "explicit") else rule,
        stimulus=neurodyn.Presentation(image_ms=STEPS_PER_IMAGE * 0.5),
        backend=backend,
        dt_ms=0.5,
        recording=neurodyn.Recording(activity_ms=None),
    )
    steps = run.sizes["image"] * STEPS_PER_IMAGE
    milliseconds = 1000 * run.attrs["run_seconds"] / steps
    floor_ms = 1000 * FORMS[form](NUM_PIXELS, units) / bandwidth
    return {
        "form": form,
        "units": units,
        "backend": backend,
        "steps": steps,
        "ms_per_step": milliseconds,
        "floor_ms": floor_ms,
        "ratio": milliseconds / floor_ms if floor_ms else math.nan,
    }


def memory_bandwidth(num_bytes: int = 2**24) -> float:
    """Return the memory bandwidth in bytes per second of an array's update in place."""
    array = np.ones(num_bytes // 8)
    np.multiply(array, 1.0000001, out=array)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        np.multiply(array, 1.0000001, out=array)
        seconds.append(time.perf_counter() - start)
    return 2 * num_bytes / statistics.median(seconds)
