"""Where Brian2's code runs: NumPy, Cython, compiled C++, or CUDA.

The only place that touches Brian2's device and code generation preferences; both are as
they were when a run is over.
"""

import gc
import os
import shutil
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from neurodyn import cuda

if TYPE_CHECKING:
    import brian2 as b2

NAMES = ("numpy", "cython", "cpp", "cuda")
DEVICES = {"cpp": "cpp_standalone", "cuda": "cuda_standalone"}

# Runs the compiled objects from time 0 with the given values; returns the seconds it took,
# compilation apart. The values are of state variables, as (group, name), and TimedArrays.
type Run = Callable[[Mapping[Any, Any]], float]
type Compile = Callable[["list[b2.BrianObject]", "b2.Quantity"], Run]


def why_not(name: str) -> str | None:
    """Return why a backend cannot work on this machine, or None if it should."""
    if name == "numpy":
        return None
    if name == "cuda":
        return cuda.why_not()
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
                stacklevel=4,
            )
            return "numpy"
        return "cython"
    if backend not in NAMES:
        works = [name for name in NAMES if why_not(name) is None]
        raise ValueError(
            f"unknown backend '{backend}': give one of {', '.join(NAMES)}, or auto; here "
            f"{', '.join(works)} work{'s' if len(works) == 1 else ''}"
        )
    if reason := why_not(backend):
        cure = "" if backend == "cuda" else " (Debian and Ubuntu: apt install g++ make)"
        raise ValueError(
            f"backend '{backend}' cannot run here: {reason}{cure}. Or give backend 'auto', "
            "which falls back to numpy"
        )
    return backend


@contextmanager
def activated(
    backend: str, *, seed: int = 0, folder: Path | None = None, make: bool = True
) -> Iterator[Compile]:
    """Make `backend` (a resolved one) current; yield what compiles objects for a duration.

    What is compiled can run several times, each time from time 0 and the state that the
    last run left, unless it is given another. Monitors must be read inside the context:
    compiled runs keep their results on disk.

    Parameters
    ----------
    folder
        Where the source of compiled programs goes, to stay; default: to be removed.
    make
        False: compiled programs are written, but not compiled, and cannot run.
    """
    if backend in DEVICES:
        with _standalone(backend, seed, folder, make) as compiler:
            yield compiler
    else:
        with _runtime(backend, seed) as compiler:
            yield compiler


@contextmanager
def _runtime(target: str, seed: int) -> Iterator[Compile]:
    import brian2 as b2
    from brian2.devices import reset_device

    def compiler(objects: "list[b2.BrianObject]", duration: "b2.Quantity") -> Run:
        network = b2.Network(objects)
        network.run(0 * b2.ms, namespace={})  # generates and compiles
        monitors = [one for one in objects if isinstance(one, b2.StateMonitor)]

        def run(values: Mapping[Any, Any]) -> float:
            for key, value in values.items():
                if isinstance(key, b2.TimedArray):
                    key.values[:] = value
                else:
                    group, name = key
                    setattr(
                        group, name if isinstance(value, b2.Quantity) else f"{name}_", value
                    )
            network.t_ = 0.0
            for monitor in monitors:
                monitor.resize(0)
            # Brian2 collects garbage at the start of each run, which takes ten times as
            # long as the rest of the preparation unless what lives on is set aside.
            gc.freeze()
            try:
                start = time.perf_counter()
                # What overflows is found, and said, when the run is over.
                with np.errstate(over="ignore", invalid="ignore"):
                    network.run(duration, namespace={})
                return time.perf_counter() - start
            finally:
                gc.unfreeze()

        return run

    before = b2.prefs.codegen.target, b2.prefs.core.stop_on_keyboard_interrupt
    b2.prefs.codegen.target = target
    # Else Ctrl-C ends the run early and returns as if it were complete.
    b2.prefs.core.stop_on_keyboard_interrupt = False
    b2.set_device("runtime")  # whatever the caller has set
    b2.seed(seed)
    try:
        yield compiler
    finally:
        reset_device()
        b2.prefs.codegen.target, b2.prefs.core.stop_on_keyboard_interrupt = before


@contextmanager
def _standalone(
    backend: str, seed: int, folder: Path | None, make: bool
) -> Iterator[Compile]:
    import brian2 as b2
    from brian2.devices import reset_device

    with ExitStack() as stack:
        directory = str(folder or stack.enter_context(_build_folder()))
        if backend == "cuda":
            stack.enter_context(cuda.preferences(directory))

        def compiler(objects: "list[b2.BrianObject]", duration: "b2.Quantity") -> Run:
            b2.Network(objects).run(duration, namespace={})
            try:
                device.build(directory=directory, compile=make, run=False)
            except (RuntimeError, OSError) as error:
                raise ValueError(
                    f"backend '{backend}' could not build its program: {error}"
                ) from error
            return run

        def run(values: Mapping[Any, Any]) -> float:
            arguments = {
                key if isinstance(key, b2.TimedArray) else getattr(*key): value
                for key, value in values.items()
            }
            try:
                device.run(directory=directory, run_args=arguments)
            except RuntimeError as error:
                raise ValueError(
                    f"backend '{backend}' could not run its program: {error}"
                ) from error
            finally:
                for used in Path(directory, "static_arrays").glob("init_*"):
                    used.unlink()
            return float(device._last_run_time)

        b2.set_device(DEVICES[backend], build_on_run=False)
        device: Any = cast(Any, b2.get_device())
        b2.seed(seed)
        try:
            yield compiler
        finally:
            device.reinit()
            reset_device()


@contextmanager
def _build_folder() -> Iterator[str]:
    """Make a folder for a compiled program, and remove it.

    Raises
    ------
    ValueError
        If there is no place to write.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="neurodyn-")
    except OSError as error:
        raise ValueError(
            f"no folder to compile in: {error.strerror or error} ({error.filename}); set "
            "TMPDIR to one that can be written"
        ) from error
    with folder as directory:
        yield directory
