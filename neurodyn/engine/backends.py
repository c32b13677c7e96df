"""Backends that run Brian2's code: NumPy, Cython, compiled C++, or CUDA.

Each run has a device of its own, and Brian2's preferences at their defaults: see `ambient`.
"""

import os
import shutil
import sys
import sysconfig
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodyn import checks
from neurodyn.engine import ambient, cuda, runtime, standalone
from neurodyn.engine.runtime import Run

if TYPE_CHECKING:
    import brian2 as b2

NAMES = ("numpy", "cython", "cpp", "cuda")
DEVICES = ("cpp", "cuda")  # the backends that compile a program

type Compile = Callable[["list[b2.BrianObject]"], Run]

WEIGHT_DTYPES = ("float64", "float32")
INSTALL = " (Debian and Ubuntu: apt install g++ make)"


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


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A backend with settings of its own: how to compute, not what."""

    name: str = "cython"
    """numpy, cython, cpp, cuda or auto."""
    threads: int = 1
    """CPU threads of backend cpp. Their number changes results by rounding only. They help
    where arithmetic takes the time, as the powers for p other than 2 and 3 do."""
    weight_dtype: str = "float64"
    """float32: hold weights in half the memory, and round them at each update. Sums and
    activity stay in float64. An update below 6e-8 of its weight is lost."""

    def __post_init__(self) -> None:
        checks.convert(self, threads=checks.whole)
        checks.at_least_one("threads", self.threads, "is needed")
        if self.weight_dtype not in WEIGHT_DTYPES:
            raise ValueError(
                f"weight_dtype is {self.weight_dtype!r}: give one of "
                f"{', '.join(WEIGHT_DTYPES)}"
            )
        if self.threads > 1 and self.name != "cpp":
            raise ValueError(
                f"threads is {self.threads}, but backend '{self.name}' runs on one CPU "
                "thread: give name='cpp', or leave threads out"
            )


class Session:
    """A private device of Brian2: to build in, to compile, and to run again and again.

    All of this must happen while the session is `active`; several can take turns.
    """

    def __init__(
        self,
        backend: str,
        *,
        threads: int = 1,
        folder: Path | None = None,
        make: bool = True,
    ) -> None:
        """Prepare a backend (as `resolve` returns it).

        Parameters
        ----------
        threads
            CPU threads of compiled programs.
        folder
            Folder for the source of compiled programs, which is kept; default: a temporary
            folder.
        make
            False: programs are written, but not compiled, and cannot run.

        Raises
        ------
        ValueError
            If Brian2 cannot be imported in this thread, or no temporary folder be written.
        """
        with ambient.one_at_a_time:
            ambient.load_brian2()
        self.backend, self._make, self._threads = backend, make, threads
        self._names = ambient.no_names()
        if backend not in DEVICES:
            self._device = runtime.new_device()
            return
        self._directory = str(folder or standalone.build_folder())
        self._device = standalone.new_device(backend)
        self._remove: Callable[[], Any] | None = None
        if folder is None:
            self._remove = weakref.finalize(self, standalone.remove, self._directory)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the device Brian2's current one, with preferences at their defaults."""
        with (
            ambient.one_at_a_time,
            ambient.environment(),
            ambient.no_orphans(),
            ambient.quiet_brian2(),
            ambient.same_code(self._names),
            self._preferences(),
            ambient.device(self._device),
        ):
            yield

    @contextmanager
    def _preferences(self) -> Iterator[None]:
        if self.backend not in DEVICES:
            with runtime.preferences(self.backend):
                yield
            return
        with ExitStack() as stack:
            stack.enter_context(standalone.preferences(self._threads))
            if self.backend == "cuda":
                stack.enter_context(cuda.preferences(self._directory))
            yield

    def compile(self, objects: "list[b2.BrianObject]") -> Run:
        """Compile objects that were created in this session.

        Compiled objects can run several times, each time from time 0 and from the final
        state of the previous run, unless other values are set. Compiled programs keep their
        results on disk, until the session is closed.

        Raises
        ------
        ValueError
            If they cannot be compiled.
        """
        if self.backend not in DEVICES:
            return runtime.prepared(objects)
        return standalone.built(
            self.backend, self._device, objects, self._directory, make=self._make
        )

    def owns(self, variable: Any) -> bool:
        """Return whether a variable was created while the session was active."""
        return variable.device is self._device

    def close(self) -> None:
        """Remove the folder of a compiled program."""
        if self.backend in DEVICES and self._remove is not None:
            self._remove()


@contextmanager
def activated(
    backend: str, *, folder: Path | None = None, make: bool = True
) -> Iterator[Compile]:
    """Activate a session for once, and yield its function to compile objects."""
    session = Session(backend, folder=folder, make=make)
    try:
        with session.active():
            yield session.compile
    finally:
        session.close()
