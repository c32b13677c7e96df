"""Running in this process: Brian2's NumPy and Cython."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodyn.engine import ambient
from neurodyn.engine.stepping import network_class

if TYPE_CHECKING:
    import brian2 as b2

# A Run sets values of state variables (group, name) and TimedArrays, runs the compiled
# objects from time 0 for a duration, reports the completed share of it now and then, and
# returns the run time [s] without compilation.
type Report = Callable[[float], object]
type Run = Callable[[Mapping[Any, Any], "b2.Quantity", Report], float]

REPORT_SECONDS = 1


def new_device() -> Any:
    """Return a private device."""
    from brian2.devices.device import RuntimeDevice

    return RuntimeDevice()


@contextmanager
def preferences(target: str) -> Iterator[None]:
    """Set Brian2's preferences for a target of code generation."""
    # Otherwise Ctrl-C would end the run early, and return as if it were complete.
    interrupts = {"core__stop_on_keyboard_interrupt": False}
    with _uncollected(), ambient.preferences(codegen__target=target, **interrupts):
        yield


def prepared(objects: "list[b2.BrianObject]") -> Run:
    """Generate the code of objects, and compile it; return how to run it."""
    import brian2 as b2

    network = network_class()(objects)
    network.run(0 * b2.ms, namespace={})
    recorders = b2.StateMonitor, b2.EventMonitor, b2.PopulationRateMonitor
    monitors = [item for item in objects if isinstance(item, recorders)]

    def run(values: Mapping[Any, Any], duration: "b2.Quantity", report: Report) -> float:
        for key, value in values.items():
            if isinstance(key, b2.TimedArray):
                key.values[:] = value
            else:
                group, name = key
                has_unit = isinstance(value, b2.Quantity)
                setattr(group, name if has_unit else f"{name}_", value)
        network.t_ = 0.0
        for monitor in monitors:
            monitor.resize(0)
            if isinstance(monitor, b2.EventMonitor):
                monitor.variables["N"].set_value(0)
        # Overflow is reported after the run.
        with np.errstate(over="ignore", invalid="ignore"):
            start = time.perf_counter()
            network.run(
                duration,
                namespace={},
                report=lambda _, share, *__: report(share),
                report_period=REPORT_SECONDS * b2.second,
            )
            return time.perf_counter() - start

    return run


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Brian2 from collecting garbage at the start of each run.

    That takes ten times as long as the rest of the preparation. Python collects anyway.
    """
    from brian2.core import network

    collector = network.gc
    network.gc = SimpleNamespace(collect=lambda: None)  # pyrefly: ignore[bad-assignment]
    try:
        yield
    finally:
        network.gc = collector
