"""Keep simulations and the caller's process from changing each other.

The caller's settings change no result: during a run, Brian2's preferences are at their
defaults (except paths of compilers and caches), its device is a private one, and NumPy's
handling of floating-point errors is the default. Afterwards preferences, device,
`np.random`, signal handlers, hooks and warnings are restored.
"""

import logging
import os
import re
import secrets
import signal
import sys
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from brian2.devices.device import Device

# Brian2's preferences for paths and messages. All others may change results.
OF_THE_MACHINE = (
    "logging.",
    "codegen.cpp.compiler",
    "codegen.cpp.include_dirs",
    "codegen.cpp.library_dirs",
    "codegen.cpp.runtime_library_dirs",
    "codegen.cpp.msvc",
    "codegen.max_cache_dir_size",
    "codegen.runtime.cython.",
    "devices.cpp_standalone.extra_make_args",
    "devices.cpp_standalone.make_cmd",
    "devices.cuda_standalone.cuda_backend.",
)


def usual_errors() -> np.errstate:
    """Return a context (or decorator) in which NumPy warns as it does by default."""
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")


# A process has one Brian2 device, one set of preferences and one environment.
one_at_a_time = threading.RLock()


def load_brian2() -> None:
    """Import Brian2 without the side effects of its import.

    The import takes over uncaught exceptions ("Brian 2 encountered an unexpected error"),
    Ctrl-C and warnings, and writes files to the temporary folder. If the caller has already
    imported Brian2, nothing is changed.

    Raises
    ------
    ValueError
        Outside the main thread, where Brian2 cannot be imported.
    """
    if "brian2" in sys.modules:
        return
    if threading.current_thread() is not threading.main_thread():
        raise ValueError(
            "Brian2 can be imported in the main thread only: import brian2 there before "
            "the first simulation in another one"
        )
    with quiet_import():
        from brian2.utils.logger import BrianLogger
    if BrianLogger.console_handler is not None:
        logging.getLogger("py.warnings").removeHandler(BrianLogger.console_handler)
    if BrianLogger.file_handler is not None:
        logging.getLogger("brian2").removeHandler(BrianLogger.file_handler)
        BrianLogger.file_handler.close()
        BrianLogger.file_handler = None
    for name in ("tmp_log", "tmp_script"):
        if file := getattr(BrianLogger, name):
            Path(file).unlink(missing_ok=True)
            setattr(BrianLogger, name, None)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Leave warnings, the hook for uncaught exceptions and Ctrl-C as they are."""
    hook, interrupt = sys.excepthook, signal.getsignal(signal.SIGINT)
    captured: Any = getattr(logging, "_warnings_showwarning", None)
    try:
        with warnings.catch_warnings():
            yield
            if captured is None:
                logging.captureWarnings(False)
    finally:
        sys.excepthook = hook
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)


@contextmanager
def quiet_brian2() -> Iterator[None]:
    """Ignore deprecation warnings inside Brian2, which the caller may turn into errors.

    Also remove the files in which Brian2 keeps the output of compilers.
    """
    from brian2.utils.logger import std_silent

    kept = std_silent.dest_stdout
    with warnings.catch_warnings():
        for module in ("brian2", "brian2cuda", "pyparsing", "sympy", "Cython"):
            warnings.filterwarnings(
                "ignore", category=DeprecationWarning, module=rf"{module}(\..*)?$"
            )
        try:
            yield
        finally:
            if kept is None:
                std_silent.close()
                std_silent.dest_stdout = std_silent.dest_stderr = None


@contextmanager
def environment() -> Iterator[None]:
    """Restore environment variables at the end: compiler tools add some."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def no_orphans() -> Iterator[None]:
    """End the compilers and programs of this process if it is interrupted.

    The subprocesses of a killed compiler run on; an environment variable marks them.
    """
    mark = os.environ["NEURODYN_RUN"] = secrets.token_hex(8)
    try:
        yield
    except KeyboardInterrupt:
        for process in Path("/proc").glob("[0-9]*"):  # there are none except on Linux
            with suppress(OSError):
                variables = (process / "environ").read_bytes().split(b"\0")
                if f"NEURODYN_RUN={mark}".encode() in variables:
                    os.kill(int(process.name), signal.SIGKILL)
        raise


@contextmanager
def preferences(**changes: Any) -> Iterator[None]:
    """Set Brian2's preferences to their defaults, except those OF_THE_MACHINE.

    `changes` are further preferences to set, with "__" for each dot.
    """
    import brian2 as b2

    defaults = {
        f"{base}.{name}": preference.default
        for base, (registered, _) in b2.prefs.pref_register.items()
        for name, preference in registered.items()
    }
    settings = {n: v for n, v in defaults.items() if not n.startswith(OF_THE_MACHINE)}
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    before = {name: b2.prefs[name] for name in settings}
    try:
        for name, value in settings.items():
            b2.prefs[name] = value
        yield
    finally:
        for name, value in before.items():
            b2.prefs[name] = value


@contextmanager
def device(own: "Device") -> Iterator[None]:
    """Activate a private device; the previous one is kept, and activated again."""
    from brian2.devices import device_module as devices

    before, stack = devices.active_device, [*devices.previous_devices]
    try:
        devices.set_device(own, build_on_run=False)
        yield
    finally:
        devices.active_device = before
        devices.previous_devices[:] = stack


def no_names() -> Any:
    """Return an empty record of Brian2's objects, from which their names are found."""
    from brian2.core.tracking import InstanceTrackerSet

    return defaultdict(InstanceTrackerSet)


@contextmanager
def same_code(record: Any) -> Iterator[None]:
    """Let the same network give the same code in every process, so that it compiles once.

    Names depend on no other Brian2 objects than those in `record`, and no order on the
    hashes of strings. Brian2's "magic" networks do not see the objects that are created.
    After an error, Brian2 does not warn of those that are in no network.
    """
    from brian2.codegen import translation
    from brian2.core import names as naming
    from brian2.core.tracking import InstanceFollower
    from brian2.devices import device_module

    others, topsort = InstanceFollower.instance_sets, translation.topsort
    unique_name = naming.find_name

    def find_name(name: str, names: Any = None) -> str:
        """Find a name as Brian2 does, which fails if an object is collected meanwhile."""
        if names is None:
            references = set(naming.Nameable.__instances__())
            objects = [reference() for reference in references]
            names = {item.name for item in objects if hasattr(item, "name")}
        return unique_name(name, names)

    InstanceFollower.instance_sets = record
    translation.topsort = lambda graph: topsort({n: sorted(graph[n]) for n in graph})
    naming.find_name = device_module.find_name = find_name
    try:
        yield
    except BaseException:
        _without_warning(record)
        raise
    finally:
        InstanceFollower.instance_sets, translation.topsort = others, topsort
        naming.find_name = device_module.find_name = unique_name


def _without_warning(record: Any) -> None:
    """Say that all objects are in a network; those of a group are of no concern."""
    from brian2.core.base import BrianObject

    for reference in set(record[BrianObject]):
        members = vars(item) if (item := reference()) is not None else {}
        if members.get("_network", "") is None and members.get("group") is None:
            members["_network"] = "refused"


@contextmanager
def brian2_errors() -> Iterator[None]:
    """Say in one line what Brian2 refuses, such as an unknown name in an equation.

    Raises
    ------
    ValueError
        In place of Brian2's own errors, which are several lines long.
    """
    from brian2.core.base import BrianObjectException
    from brian2.equations.equations import EquationError
    from brian2.units import DimensionMismatchError

    try:
        yield
    except (
        BrianObjectException,
        EquationError,
        DimensionMismatchError,
        SyntaxError,
    ) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        named = re.search(r"object named '(\w+)'", str(error))
        where = f" (in '{named[1]}')" if named else ""
        reason = " ".join(str(cause).split())
        raise ValueError(f"Brian2 refuses an equation{where}: {reason}") from error
