"""The time of a time step of the circuit, compared with the time to move its bytes.

The floor is the time to move the weights that a step needs once: to read them, or to read
and write them where they change. The bandwidth is measured just before, with an array of
the same size, since memory is slower than caches.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import neurodyn
from neurodyn import Backend, backends

NUM_PIXELS = 784
STEPS_PER_IMAGE = 200
H_STAR, TAU_L_MS = 5.0, 1e7


@dataclass(frozen=True, kw_only=True)
class Form:
    """A circuit of k units, and what a step of it must move."""

    num_weights: Callable[[int], float]
    """Number of weights that a time step needs."""
    changed: bool = False
    """Whether it changes them."""
    circuit: Callable[[int], Any]
    timing: Any = None
    p: float = 2.0
    weight_dtype: str = "float64"
    threads: int = 1
    compiled: tuple[str, ...] = ("cpp", "cython")
    """The backends to measure."""

    @property
    def rule(self) -> neurodyn.KrotovHopfield | None:
        """The rule by which weights learn, if they do."""
        if self.timing is None:
            return None
        return neurodyn.KrotovHopfield(
            p=self.p, h_star=H_STAR, tau_l_ms=TAU_L_MS, timing=self.timing
        )

    def num_bytes(self, units: int) -> int:
        """Return the bytes that a time step must move."""
        size = np.dtype(self.weight_dtype).itemsize * (2 if self.changed else 1)
        return int(self.num_weights(units) * size)


def pooled(units: int, **settings: Any) -> neurodyn.LateralInhibition:
    """Return units with pooled inhibition, all of which stay active."""
    return neurodyn.LateralInhibition(w_inh=0.5 / units, **settings)


def explicit(units: int) -> neurodyn.LateralInhibition:
    """Return the same with a synapse for each pair."""
    return neurodyn.LateralInhibition(w_inh=0.5 / units * (1 - np.eye(units)))


def dale(units: int) -> neurodyn.DaleInhibition:
    """Return excitatory cells with a tenth as many inhibitory ones, all connected."""
    num_inh = units // 10
    return neurodyn.DaleInhibition(num_inh=num_inh, w_ei=1 / units, w_ie=0.5, w_self=0.1)


def signed(units: int) -> neurodyn.LateralInhibition:
    """Return units whose synapses keep their sign, so that each is integrated."""
    return pooled(units, input_sign=1)


def once(units: int) -> float:
    """Return the weights for one sum and one update a presentation."""
    return 1.5 * NUM_PIXELS * units / STEPS_PER_IMAGE


def every(units: int) -> float:
    """Return the weights from all pixels."""
    return NUM_PIXELS * units


LEARNING: dict[str, Any] = {"num_weights": every, "changed": True, "circuit": signed}
CONTINUOUS = neurodyn.Continuous()
FORMS = {
    "pooled": Form(num_weights=lambda k: 0, circuit=pooled),
    "explicit": Form(num_weights=lambda k: k * k, circuit=explicit),
    "explicit, float32": Form(
        num_weights=lambda k: k * k, circuit=explicit, weight_dtype="float32"
    ),
    "dale": Form(num_weights=lambda k: 2 * k * (k // 10), circuit=dale),
    "settled": Form(
        num_weights=once, changed=True, circuit=pooled, timing=neurodyn.Settled()
    ),
    "continuous": Form(num_weights=once, changed=True, circuit=pooled, timing=CONTINUOUS),
    "each synapse": Form(**LEARNING, timing=CONTINUOUS),
    "each synapse, float32": Form(**LEARNING, timing=CONTINUOUS, weight_dtype="float32"),
    "each synapse, p = 2.5": Form(**LEARNING, timing=CONTINUOUS, p=2.5),
    "each synapse, p = 2.5, 2 threads": Form(
        **LEARNING, timing=CONTINUOUS, p=2.5, threads=2, compiled=("cpp",)
    ),
}


def measure(
    units: tuple[int, ...],
    *,
    steps: int,
    names: tuple[str, ...] = ("cpp", "cython"),
    forms: tuple[str, ...] = tuple(FORMS),
) -> list[dict[str, Any]]:
    """Return a row for each form of circuit, size and backend."""
    return [
        circuit_step(num_units, form=form, backend=backend, steps=steps)
        for form in forms
        for num_units in units
        for backend in names
        if backend in (*FORMS[form].compiled, "cuda") and backends.why_not(backend) is None
    ]


def circuit_step(units: int, *, form: str, backend: str, steps: int) -> dict[str, Any]:
    """Measure one time step of the circuit, and its floor."""
    what = FORMS[form]
    if (heavy := what.num_weights(units)) > 1e5:
        steps = max(2 * STEPS_PER_IMAGE, int(steps * 1e5 / heavy))
    rng = np.random.default_rng(0)
    weights = abs(rng.normal(size=(units, NUM_PIXELS)))
    circuit = what.circuit(units)
    seconds = floor(what.num_bytes(units), changed=what.changed)
    run = neurodyn.simulate(
        circuit
        if what.p == 2
        else neurodyn.LateralInhibition(w_inh=0.5 / units, input_sign=1, p=what.p),
        rng.random((max(2, steps // STEPS_PER_IMAGE), NUM_PIXELS)) / 15,
        weights,
        plasticity=what.rule,
        stimulus=neurodyn.Presentation(image_ms=STEPS_PER_IMAGE * 0.5),
        backend=Backend(
            name=backend,
            threads=what.threads if backend == "cpp" else 1,
            weight_dtype=what.weight_dtype,
        ),
        dt_ms=0.5,
        recording=neurodyn.Recording(activity_ms=None),
        progress=False,
    )
    steps = run.sizes["image"] * STEPS_PER_IMAGE
    milliseconds = 1000 * run.attrs["run_seconds"] / steps
    return {
        "form": form,
        "units": units,
        "backend": backend,
        "steps": steps,
        "ms_per_step": milliseconds,
        "floor_ms": 1000 * seconds,
        "ratio": milliseconds / (1000 * seconds) if seconds else math.nan,
    }


def floor(num_bytes: int, *, changed: bool) -> float:
    """Return the seconds to read so many bytes, or to update half as many in place."""
    if not num_bytes:
        return 0.0
    array = np.ones(max(num_bytes // (16 if changed else 8), 1))

    def move() -> None:
        if changed:
            np.multiply(array, 1.0000001, out=array)
        else:
            np.dot(array, array)

    seconds = []
    with threadpool_limits(1):
        for _ in range(30):
            start = time.perf_counter()
            move()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
