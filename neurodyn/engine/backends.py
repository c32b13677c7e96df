"""Where Brian2's code runs: NumPy, Cython, compiled C++, or CUDA.

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

# Runs the compiled objects from time 0 with the given values, for a duration; says now and
# then which share of it is done; returns the seconds it took, compilation apart. The values
# are of state variables, as (group, name), and TimedArrays.
type Report = Callable[[float], object]
type Run = Callable[[Mapping[Any, Any], "b2.Quantity", Report], float]
type Compile = Callable[["list[b2.BrianObject]"], Run]

INSTALL = " (Debian and Ubuntu: apt install g++ make)"
REPORT_SECONDS = 1
DURATION = "NEURODYN_DURATION"  # what tells a compiled program how long to run [s]


def why_not(name: str) -> str | None:
    """Return why a backend cannot work on this machine, or None if it should."""
    if name == "numpy":
        return None
    if name == "cuda":
        return cuda.why_not()
    given = os.environ.get("CXX", "").split()
    candidates = given[:1] or ["c++", "g++"]
    if not any(map(shutil.which, candidates)):
        missing = " or ".join(candidates)
        return f"it needs a C++ compiler, and {missing} is not on the PATH{INSTALL}"
    if name == "cpp":
        found = shutil.which("make")
        return None if found else f"it needs make, which is not on the PATH{INSTALL}"
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
    """Return where Brian2 keeps modules that Cython compiled."""
    if "brian2" in sys.modules and (given := _given_cache()):
        return Path(given).expanduser()
    try:
        from Cython.Build.Cache import get_cython_cache_dir
    except ImportError:  # before Cython 3.1
        from Cython.Utils import get_cython_cache_dir  # pyrefly: ignore
    return Path(get_cython_cache_dir(), "brian_extensions").expanduser()


def _given_cache() -> str | None:
    import brian2 as b2

    given: Any = b2.prefs["codegen.runtime.cython.cache_dir"]
    return given


def _can_be_written(folder: Path) -> bool:
    """Return whether a folder can be written to, or made."""
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def resolve(backend: str) -> str:
    """Return the backend to use: the one asked for, or with "auto" the best that works.

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
            f"unknown backend '{backend}': give one of {', '.join(NAMES)}, or auto; here "
            f"{', '.join(works)} work{'s' if len(works) == 1 else ''}"
        )
    if reason := why_not(backend):
        raise ValueError(
            f"backend '{backend}' cannot run here: {reason}. Or give backend 'auto', "
            "which falls back to numpy"
        )
    return backend


# How a makefile of Brian2 compiles a part of a program, and how it is faster.
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
    """Make `backend` (a resolved one) current; yield what compiles objects.

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
    how = _standalone(backend, folder, make) if backend in DEVICES else _runtime(backend)
    with ambient.one_at_a_time:
        ambient.load_brian2()
        with (
            ambient.environment(),
            ambient.no_orphans(),
            ambient.quiet_brian2(),
            how as compiler,
        ):
            yield compiler


@contextmanager
def _runtime(target: str) -> Iterator[Compile]:
    import brian2 as b2
    from brian2.devices.device import RuntimeDevice

    def compiler(objects: "list[b2.BrianObject]") -> Run:
        network = b2.Network(objects)
        network.run(0 * b2.ms, namespace={})  # generates and compiles
        monitors = [one for one in objects if isinstance(one, b2.StateMonitor)]

        def run(values: Mapping[Any, Any], duration: "b2.Quantity", moved: Report) -> float:
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
            # What overflows is found, and said, when the run is over.
            with np.errstate(over="ignore", invalid="ignore"):
                start = time.perf_counter()
                network.run(
                    duration,
                    namespace={},
                    report=lambda _, share, *__: moved(share),
                    report_period=REPORT_SECONDS * b2.second,
                )
                return time.perf_counter() - start

        return run

    # Else Ctrl-C ends the run early and returns as if it were complete.
    interrupts = {"core__stop_on_keyboard_interrupt": False}
    with (
        _uncollected(),
        ambient.preferences(codegen__target=target, **interrupts),
        ambient.device(RuntimeDevice()),
    ):
        yield compiler


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the collection of garbage to Python: Brian2 asks for it at each run's start.

    That takes ten times as long as the rest of the preparation else.
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
                one.variables[name]
                for one in objects
                if isinstance(one, b2.StateMonitor)
                for name in one.record_variables
            )
            _let_duration_be_told(device)
            try:
                device.build(directory=directory, compile=make, run=False)
            except (RuntimeError, OSError) as error:
                raise ValueError(
                    f"backend '{backend}' could not build its program: {error}"
                ) from error
            return run

        def run(values: Mapping[Any, Any], duration: "b2.Quantity", moved: Report) -> float:
            os.environ[DURATION] = repr(float(duration))
            moved(0.0)
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
                for used in Path(directory, "static_arrays").glob("init_*"):
                    used.unlink()
            moved(1.0)
            return float(device._last_run_time)

        with ambient.device(device):
            yield compiler


def _new_device(backend: str) -> Any:
    """Return a device of the backend's kind that nobody else has."""
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
    """Compile a program; Brian2's own way waits for its end whatever happens.

    Raises
    ------
    RuntimeError
        If it cannot be compiled.
    """
    import brian2 as b2
    from brian2.utils.logger import std_silent

    place = b2.prefs.devices.cpp_standalone
    command = [*place.make_cmd_unix.split(), *place.extra_make_args_unix]
    command += _read_headers_once(Path(directory))
    with std_silent():
        if code := subprocess.call(command, cwd=directory):
            raise RuntimeError(f"{' '.join(command)} ended with {code}")
    Path(directory, COMPILED_HEADER).unlink(missing_ok=True)  # 50 MB


def _read_headers_once(directory: Path) -> list[str]:
    """Let all parts of a C++ program share one reading of their headers.

    That is most of what compiling a part takes. Return more arguments for make: what
    depends on what need not be found out for a program that is compiled once.
    """
    makefile = directory / "makefile"
    rules = makefile.read_text()
    if RULE not in rules:  # of another kind of program
        return []
    makefile.write_text(rules.replace(RULE, RULE_WITH_HEADER))
    return ["DEPS="]


def _let_duration_be_told(device: Any) -> None:
    """Let the program that a device will write run for as long as it is told."""
    (lines,) = (given[1] for name, given in device.main_queue if name == "run_network")
    (place,) = (place for place, line in enumerate(lines) if ".run(0.0, " in line)
    told = f'getenv("{DURATION}") ? atof(getenv("{DURATION}")) : 0.0'
    lines[place] = lines[place].replace(".run(0.0, ", f".run({told}, ")


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
