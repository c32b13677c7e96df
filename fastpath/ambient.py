"""Isolation of fastpath from settings of the process that would change its numbers.

PyTorch and NumPy have settings that belong to the process or to the thread, not to a call:
autocast, inference mode, the default device, the precision of products, the handling of
denormal numbers and of floating-point errors. An `isolated` function computes with their
default values. Afterwards it restores the values that it found, also after an exception.

Two settings do have an effect: the number of threads, which may change the rounding of
sums, and `allow_tf32`.
"""

import functools
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np

OPENMP = "OMP_WAIT_POLICY"


@contextmanager
def _idle_threads_sleep() -> Iterator[None]:
    """Set the environment so that OpenMP, when it is loaded, lets idle threads sleep.

    Spinning threads cause stalls of 15 ms on a machine with other work: they occupy the
    core that the thread they wait for needs. OpenMP reads the variable once, when it loads.
    """
    absent = OPENMP not in os.environ
    os.environ.setdefault(OPENMP, "PASSIVE")
    try:
        yield
    finally:
        if absent:
            del os.environ[OPENMP]


# If nothing has loaded PyTorch yet, and OpenMP with it, this process runs a command.
with nullcontext() if "torch" in sys.modules else _idle_threads_sleep():
    import torch

AUTOCAST = ("cpu", "cuda")
NUMPY: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
LEAST = sys.float_info.min
# Number of modes that intercept the calls of PyTorch; a default device is such a mode.
_watching = getattr(torch._C, "_len_torch_function_stack", lambda: 1)


class _Thread(threading.local):
    """Whether a thread is in an isolated function, and the settings to restore after it."""

    isolated = False
    undo: ExitStack | None = None

    def at_the_end(self) -> ExitStack:
        """Return the stack that closes when the outermost isolated function ends."""
        if self.undo is None:
            self.undo = ExitStack()
        return self.undo


_thread = _Thread()


def isolated[**P, R](
    *, grad: bool | None = None, numpy: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make the result of a function independent of the settings of the process.

    Parameters
    ----------
    grad
        Whether the function records gradients; None leaves that to the caller.
    numpy
        Also isolate NumPy's handling of floating-point errors.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
            if grad is None or grad == torch.is_grad_enabled():
                return function(*args, **kwargs)
            torch.set_grad_enabled(grad)
            try:
                return function(*args, **kwargs)
            finally:
                torch.set_grad_enabled(not grad)

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            if _thread.isolated:  # called by another isolated function
                return recorded(*args, **kwargs)
            _enter(numpy=numpy)
            try:
                return recorded(*args, **kwargs)
            finally:
                _leave()

        return inside

    return decorate


def adam(parameters: Iterable[torch.Tensor], lr: float) -> torch.optim.Adam:
    """Return an Adam optimizer; leave environment variables and warning filters alone.

    The first optimizer of a process makes PyTorch load its compiler, which sets environment
    variables and adds a warning filter. Both are undone.
    """
    if "torch._dynamo" not in sys.modules:
        environment = dict(os.environ)
        with warnings.catch_warnings():
            importlib.import_module("torch._dynamo")
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
    return torch.optim.Adam(parameters, lr=lr)


def _enter(*, numpy: bool) -> None:
    _thread.isolated = True
    _precision.enter()
    try:
        _neutralise(numpy=numpy)
    except BaseException:
        _leave()
        raise


def _leave() -> None:
    _thread.isolated = False
    undo, _thread.undo = _thread.undo, None
    if undo is not None:
        undo.close()
    _precision.leave()


def _neutralise(*, numpy: bool) -> None:
    """Set every setting that may change a number to its value in a fresh process."""
    if torch.is_inference_mode_enabled():  # switches gradients off, too
        _thread.at_the_end().enter_context(torch.inference_mode(False))
        _thread.at_the_end().enter_context(torch.no_grad())
    if _watching() and torch.empty(0).device.type != "cpu":
        _thread.at_the_end().enter_context(torch.device("cpu"))
    for device in AUTOCAST:
        if torch.is_autocast_enabled(device):
            _thread.at_the_end().callback(torch.set_autocast_enabled, device, True)
            torch.set_autocast_enabled(device, False)
    if numpy and np.geterr() != NUMPY:
        _thread.at_the_end().enter_context(np.errstate(**NUMPY))
    if LEAST / 2 == 0:  # denormal numbers are flushed to zero
        _thread.at_the_end().callback(torch.set_flush_denormal, True)
        torch.set_flush_denormal(False)


class _Precision:
    """The precision of float32 products: exact, or tf32 on CUDA where it is allowed.

    This setting belongs to the process: the first isolated function of all threads sets it,
    and the last isolated function to end restores it.
    """

    def __init__(self) -> None:
        self.tf32 = False
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[str] | None = None

    def enter(self) -> None:
        """Set the chosen precision, until all functions that entered have left."""
        with self._lock:
            if not self._inside:
                self._set()
            self._inside += 1

    def leave(self) -> None:
        """Restore the precision from before, if no other isolated function runs."""
        with self._lock:
            self._inside -= 1
            if not self._inside and self._before is not None:
                _set_precisions(self._before)
                self._before = None

    def choose(self, tf32: bool) -> None:
        """Allow tf32 or not, from now on."""
        with self._lock:
            self.tf32 = tf32
            if self._inside:
                self._set()

    def _set(self) -> None:
        if self.tf32 or not _exact():
            before = _set_precisions(["tf32" if self.tf32 else "ieee", "ieee"])
            self._before = before if self._before is None else self._before


def _exact() -> bool:
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # products have different precisions
        return False


def _set_precisions(new: list[str]) -> list[str]:
    """Set the precision of products on CUDA and on the CPU; return the previous values."""
    if not hasattr(torch.backends, "fp32_precision"):  # PyTorch before 2.9
        before = torch.get_float32_matmul_precision()
        names = {"ieee": "highest", "tf32": "high"}
        torch.set_float32_matmul_precision(names.get(new[0], new[0]))
        return [before]
    on_cpu: Any = torch.backends.mkldnn
    owners = torch.backends.cuda.matmul, on_cpu.matmul
    return [_set_precision(*pair) for pair in zip(owners, new, strict=True)]


def _set_precision(owner: Any, new: str) -> str:
    """Set the precision of one device's products; return the previous value.

    The previous value is "none" if it was unset.
    """
    before = owner.fp32_precision
    owner.fp32_precision = "none"
    inherited = owner.fp32_precision == before
    owner.fp32_precision = new
    return "none" if inherited else before


_precision = _Precision()


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid tf32 for products on CUDA.

    This holds until the outermost isolated function ends; outside of any, for the process.
    """
    if _thread.isolated:
        _thread.at_the_end().callback(_precision.choose, _precision.tf32)
    _precision.choose(allowed)


def use_threads(number: int) -> None:
    """Set the number of CPU threads.

    This holds until the outermost isolated function ends; outside of any, for the process.
    """
    if _thread.isolated:
        _thread.at_the_end().callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(number)
