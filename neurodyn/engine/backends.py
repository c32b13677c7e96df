"""Backends that run Brian2's code: NumPy, Cython, compiled C++, or CUDA.

Each run has a device of its own, and Brian2's preferences at their defaults: see `ambient`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodyn import checks
from neurodyn.engine import ambient, cuda

if TYPE_CHECKING:
    import brian2 as b2

NAMES = ("numpy", "cython", "cpp", "cuda")
DEVICES = ("cpp", "cuda")  # the backends that compile a program

# A Run sets values of state variables (group, name) and TimedArrays, runs the compiled
# objects from time 0 for a duration, reports the completed share of it now and then, and
# returns the run time [s] without compilation.
type Report = Callable[[float], object]
type Run = Callable[[Mapping[Any, Any], "b2.Quantity", Report], float]
type Compile = Callable[["list[b2.BrianObject]"], Run]

INSTALL = " (Debian and Ubuntu: apt install g++ make)"
REPORT_SECONDS = 1
DURATION = "NEURODYN_DURATION"  # environment variable: duration of a run [s]


def why_not(name: str) -> str | None:
    """Return why a backend cannot work on this machine, or None if it should."""
    if name == "numpy":
        return None
    if name == "cuda":
        return cuda.why_not()
    compiler = os.environ.get("CXX", "").split()
    candidates = compiler[:1] or ["c++", "g++"]
    if not any(map(shutil.which, candidates)):
        missing = " or ".join(candidates)
        return f"it needs a C++ compiler, and {missing} is not on the PATH{INSTALL}"
    if name == "cpp":
        make = shutil.which("make")
        return None if make else f"it needs make, which is not on the PATH{INSTALL}"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"it needs Python's headers, and {header} is missing"
    if not _can_be_written(cache := _cython_cache()):
        return (
            f"it keeps what it compiles in {cache}, which cannot be written: set "
            "CYTHON_CACHE_DIR to a folder that can"
        )
    return None


def _cython_cache() -> Path:
    """Return the folder in which Brian2 keeps modules that Cython compiled."""
    if "brian2" in sys.modules and (folder := _preferred_cache()):
        return Path(folder).expanduser()
    try:
        from Cython.Build.Cache import get_cython_cache_dir
    except ImportError:  # before Cython 3.1
        from Cython.Utils import get_cython_cache_dir  # pyrefly: ignore
    return Path(get_cython_cache_dir(), "brian_extensions").expanduser()


def _preferred_cache() -> str | None:
    import brian2 as b2

    folder: Any = b2.prefs["codegen.runtime.cython.cache_dir"]
    return folder


def _can_be_written(folder: Path) -> bool:
    """Return whether a folder can be written to, or created."""
    candidates = (folder, *folder.absolute().parents)
    existing = next(path for path in candidates if os.path.exists(path))
    return os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK)


def resolve(backend: str) -> str:
    """Return the backend to use; for "auto", cython if it works, else numpy.

    Raises
    ------
    ValueError
        If the backend is unknown, or cannot work on this machine.
    """
    if backend == "auto":
        if reason := why_not("cython"):
            checks.warn(
                f"backend 'auto' runs on numpy: cython is not available ({reason})",
            )
            return "numpy"
        return "cython"
    if backend not in NAMES:
        works = [name for name in NAMES if why_not(name) is None]
        raise ValueError(
            f"unknown backend '{backend}': give one of {', '.join(NAMES)}, or auto; "
            f"available on this machine: {', '.join(works)}"
        )
    if reason := why_not(backend):
        raise ValueError(
            f"backend '{backend}' cannot run here: {reason}. Or give backend 'auto', "
            "which falls back to numpy"
        )
    return backend


# A rule of Brian2's makefiles, and a faster one, with a precompiled header.
RULE = "%.o : %.cpp makefile\n\t$(CXX) $(CXXFLAGS) $< -o $@"
COMPILED_HEADER = "objects.h.gch"
RULE_WITH_HEADER = f"""\
%.o : %.cpp makefile {COMPILED_HEADER}
\t$(CXX) $(CXXFLAGS) -include objects.h $< -o $@

{COMPILED_HEADER} : objects.h makefile
\t$(CXX) $(CXXFLAGS) -x c++-header objects.h -o $@
"""


@contextmanager
def activated(
    backend: str, *, folder: Path | None = None, make: bool = True
) -> Iterator[Compile]:
    """Activate `backend` (as `resolve` returns it); yield a function to compile objects.

    Compiled objects can run several times, each time from time 0 and from the final state
    of the previous run, unless other values are set. Monitors must be read inside the
    context: compiled programs keep their results on disk.

    Parameters
    ----------
    folder
        Folder for the source of compiled programs, which is kept; default: a temporary
        folder.
    make
        False: programs are written, but not compiled, and cannot run.
    """
    compiling = (
        _standalone(backend, folder, make) if backend in DEVICES else _runtime(backend)
    )
    with ambient.one_at_a_time:
        ambient.load_brian2()
        with (
            ambient.environment(),
            ambient.no_orphans(),
            ambient.quiet_brian2(),
            compiling as compiler,
        ):
            yield compiler


@contextmanager
def _runtime(target: str) -> Iterator[Compile]:
    import brian2 as b2
    from brian2.devices.device import RuntimeDevice

    def compiler(objects: "list[b2.BrianObject]") -> Run:
        network = b2.Network(objects)
        network.run(0 * b2.ms, namespace={})  # generates and compiles
        monitors = [item for item in objects if isinstance(item, b2.StateMonitor)]

        def run(
            values: Mapping[Any, Any], duration: "b2.Quantity", report: Report
        ) -> float:
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

    # Otherwise Ctrl-C would end the run early, and return as if it were complete.
    interrupts = {"core__stop_on_keyboard_interrupt": False}
    with (
        _uncollected(),
        ambient.preferences(codegen__target=target, **interrupts),
        ambient.device(RuntimeDevice()),
    ):
        yield compiler


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


@contextmanager
def _standalone(backend: str, folder: Path | None, make: bool) -> Iterator[Compile]:
    import brian2 as b2

    with ExitStack() as stack:
        directory = str(folder or stack.enter_context(_build_folder()))
        device, recorded = _new_device(backend), []
        stack.enter_context(ambient.preferences())
        if backend == "cuda":
            stack.enter_context(cuda.preferences(directory))

        def compiler(objects: "list[b2.BrianObject]") -> Run:
            b2.Network(objects).run(0 * b2.ms, namespace={})
            recorded.extend(
                monitor.variables[name]
                for monitor in objects
                if isinstance(monitor, b2.StateMonitor)
                for name in monitor.record_variables
            )
            _read_duration_when_run(device)
            try:
                device.build(directory=directory, compile=make, run=False)
            except (RuntimeError, OSError) as error:
                raise ValueError(
                    f"backend '{backend}' could not build its program: {error}"
                ) from error
            return run

        def run(
            values: Mapping[Any, Any], duration: "b2.Quantity", report: Report
        ) -> float:
            os.environ[DURATION] = repr(float(duration))
            report(0.0)
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
                for variable in recorded:  # as many samples as are on the disk now
                    variable.size = (0, variable.size[1])
                for values_file in Path(directory, "static_arrays").glob("init_*"):
                    values_file.unlink()
            report(1.0)
            return float(device._last_run_time)

        with ambient.device(device):
            yield compiler


def _new_device(backend: str) -> Any:
    """Return a private device of the backend."""
    if backend == "cuda":
        with ambient.quiet_import():
            from brian2cuda.device import CUDAStandaloneDevice as Device
    else:
        from brian2.devices.cpp_standalone.device import CPPStandaloneDevice as Device
    device = Device()
    if os.name == "posix":
        device.compile_source = _make  # pyrefly: ignore[bad-assignment]
    return device


def _make(directory: str, compiler: str, debug: bool, clean: bool) -> None:
    """Compile a program; unlike Brian2's own function, this can be interrupted.

    Raises
    ------
    RuntimeError
        If it cannot be compiled.
    """
    import brian2 as b2
    from brian2.utils.logger import std_silent

    settings = b2.prefs.devices.cpp_standalone
    command = [*settings.make_cmd_unix.split(), *settings.extra_make_args_unix]
    command += _read_headers_once(Path(directory))
    with std_silent():
        if code := subprocess.call(command, cwd=directory):
            raise RuntimeError(f"{' '.join(command)} ended with {code}")
    Path(directory, COMPILED_HEADER).unlink(missing_ok=True)  # 50 MB


def _read_headers_once(directory: Path) -> list[str]:
    """Let all parts of a C++ program share a precompiled header.

    Reading headers takes most of the compile time. Return further arguments for make:
    dependencies are not needed for a program that is compiled once.
    """
    makefile = directory / "makefile"
    rules = makefile.read_text()
    if RULE not in rules:  # of another kind of program
        return []
    makefile.write_text(rules.replace(RULE, RULE_WITH_HEADER))
    return ["DEPS="]


def _read_duration_when_run(device: Any) -> None:
    """Let the program that a device will write read its duration from the environment."""
    (lines,) = (args[1] for name, args in device.main_queue if name == "run_network")
    (number,) = (number for number, line in enumerate(lines) if ".run(0.0, " in line)
    duration = f'getenv("{DURATION}") ? atof(getenv("{DURATION}")) : 0.0'
    lines[number] = lines[number].replace(".run(0.0, ", f".run({duration}, ")


@contextmanager
def _build_folder() -> Iterator[str]:
    """Create a folder for a compiled program; remove it at the end.

    Raises
    ------
    ValueError
        If no temporary folder can be written.
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
