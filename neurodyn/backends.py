"""Where Brian2's code runs: NumPy, Cython, or compiled C++.

The only place that touches Brian2's device and code generation preferences; both are as
they were when a run is over.
"""

import os
import shutil
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import brian2 as b2

NAMES = ("numpy", "cython", "cpp")

# Runs objects for a duration; returns the seconds it took, compilation apart.
type Run = Callable[["list[b2.BrianObject]", "b2.Quantity"], float]


def why_not(name: str) -> str | None:
    """Return why a backend cannot work on this machine, or None if it should."""
    if name == "numpy":
        return None
    given = os.environ.get("CXX", "").split()
    candidates = given[:1] or ["c++", "g++"]
    if not any(map(shutil.which, candidates)):
        return f"it needs a C++ compiler, and {' or '.join(candidates)} is not on the PATH"
    if name == "cpp":
        return None if shutil.which("make") else "it needs make, which is not on the PATH"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return (
        None if header.exists() else f"it needs Python's headers, and {header} is missing"
    )


def resolve(backend: str) -> str:
    """Return the backend to use: the one asked for, or with "auto" the best that works.

    Raises
    ------
    ValueError
        If the backend is unknown, or cannot work on this machine.
    """
    if backend == "auto":
        if reason := why_not("cython"):
            warnings.warn(
                f"backend 'auto' runs on numpy: cython is not available ({reason})",
                stacklevel=3,
            )
            return "numpy"
        return "cython"
    if backend not in NAMES:
        raise ValueError(
            f"unknown backend '{backend}': give one of {', '.join(NAMES)}, or auto"
        )
    if reason := why_not(backend):
        raise ValueError(
            f"backend '{backend}' cannot run here: {reason}. Install one (Debian and "
            "Ubuntu: apt install g++ make), or give backend 'auto' to fall back to numpy"
        )
    return backend


@contextmanager
def activated(backend: str) -> Iterator[Run]:
    """Make `backend` (a resolved one) current; yield what runs objects for a duration.

    Monitors must be read inside the context: compiled runs keep their results on disk.
    """
    if backend == "cpp":
        with _standalone() as run:
            yield run
    else:
        with _runtime(backend) as run:
            yield run


@contextmanager
def _runtime(target: str) -> Iterator[Run]:
    import brian2 as b2
    from brian2.devices import reset_device

    def run(objects: "list[b2.BrianObject]", duration: "b2.Quantity") -> float:
        network = b2.Network(objects)
        network.run(0 * b2.ms, namespace={})  # generates and compiles
        start = time.perf_counter()
        network.run(duration, namespace={})
        return time.perf_counter() - start

    before = b2.prefs.codegen.target, b2.prefs.core.stop_on_keyboard_interrupt
    b2.prefs.codegen.target = target
    # Else Ctrl-C ends the run early and returns as if it were complete.
    b2.prefs.core.stop_on_keyboard_interrupt = False
    b2.set_device("runtime")  # whatever the caller has set
    try:
        yield run
    finally:
        reset_device()
        b2.prefs.codegen.target, b2.prefs.core.stop_on_keyboard_interrupt = before


@contextmanager
def _standalone() -> Iterator[Run]:
    import brian2 as b2
    from brian2.devices import reset_device

    with tempfile.TemporaryDirectory(prefix="neurodyn-") as directory:

        def run(objects: "list[b2.BrianObject]", duration: "b2.Quantity") -> float:
            b2.Network(objects).run(duration, namespace={})
            device: Any = b2.device  # the current one, behind a proxy without types
            try:
                device.build(directory=directory, compile=True, run=True)
            except RuntimeError as error:
                raise ValueError(
                    f"backend 'cpp' could not build or run its program: {error}"
                ) from error
            return device.timers["run_binary"]

        b2.set_device("cpp_standalone", build_on_run=False)
        try:
            yield run
        finally:
            b2.device.reinit()
            reset_device()
