"""Running a compiled program: Brian2's C++ and CUDA."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodyn.engine import ambient, cuda, programs
from neurodyn.engine.runtime import Report, Run

if TYPE_CHECKING:
    import brian2 as b2

DURATION = "NEURODYN_DURATION"  # environment variable: duration of a run [s]
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
def preferences(threads: int) -> Iterator[None]:
    """Set Brian2's preferences; threads that wait leave the processor to others."""
    openmp = {"devices__cpp_standalone__openmp_threads": threads if threads > 1 else 0}
    with ambient.preferences(**openmp):
        if threads > 1:
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        yield


def built(
    backend: str,
    device: Any,
    objects: "list[b2.BrianObject]",
    directory: str,
    *,
    make: bool,
) -> Run:
    """Write the program of objects, compile it with `make`, and return how to run it.

    Raises
    ------
    ValueError
        If it cannot be written or compiled.
    """
    import brian2 as b2

    b2.Network(objects).run(0 * b2.ms, namespace={})
    recorded = [
        monitor.variables[name]
        for monitor in objects
        if isinstance(monitor, b2.StateMonitor)
        for name in monitor.record_variables
    ]
    _read_duration_when_run(device)
    _sort_settings(device)
    if backend == "cuda":
        cuda.mend(device)
    try:
        device.build(directory=directory, compile=make, run=False)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"backend '{backend}' could not build its program: {error}"
        ) from error

    def run(values: Mapping[Any, Any], duration: "b2.Quantity", report: Report) -> float:
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

    return run


def build_folder() -> str:
    """Create a temporary folder for a program.

    Raises
    ------
    ValueError
        If there is none that can be written.
    """
    try:
        return tempfile.mkdtemp(prefix="neurodyn-")
    except OSError as error:
        raise ValueError(
            f"no folder to compile in: {error.strerror or error} ({error.filename}); set "
            "TMPDIR to one that can be written"
        ) from error


def remove(folder: str) -> None:
    """Remove a temporary folder."""
    shutil.rmtree(folder, ignore_errors=True)


def new_device(backend: str) -> Any:
    """Return a private device of the backend."""
    if backend == "cuda":
        with ambient.quiet_import():
            from brian2cuda.device import CUDAStandaloneDevice as Device
    else:
        from brian2.devices.cpp_standalone.device import CPPStandaloneDevice as Device
    device = Device()

    def accept(nb_threads: int) -> None:
        """Accept threads, without the warning that they are not well tested."""

    device.check_openmp_compatible = accept
    if os.name == "posix":
        device.compile_source = _make  # pyrefly: ignore[bad-assignment]
    return device


def _make(directory: str, compiler: str, debug: bool, clean: bool) -> None:
    """Compile a program, if none is kept; unlike Brian2's own, this can be interrupted.

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

    def make() -> None:
        with std_silent():
            if code := subprocess.call(command, cwd=directory):
                raise RuntimeError(f"{' '.join(command)} ended with {code}")
        Path(directory, COMPILED_HEADER).unlink(missing_ok=True)  # 50 MB

    programs.build(Path(directory), make)


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


def _sort_settings(device: Any) -> None:
    """Sort neighbouring settings of single values by name: Brian2 keeps clocks in a set."""
    tasks = device.main_queue
    for kind, group in groupby(enumerate(tasks), key=lambda item: item[1][0]):
        if kind == "set_by_single_value":
            places = [place for place, _ in group]
            names = [tasks[place][1][0] for place in places]
            if len(set(names)) == len(names):
                first, last = places[0], places[-1] + 1
                tasks[first:last] = sorted(tasks[first:last], key=lambda task: task[1][0])
