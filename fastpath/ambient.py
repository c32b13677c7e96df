"""Settings of the process that would change a number: kept out while fastpath computes.

PyTorch and NumPy have settings that belong to the process or to the thread, not to a call:
autocast, inference mode, the default device, the precision of products, what happens to
denormal numbers and to floating-point errors. A function that is `isolated` computes as if
nobody had touched them, and leaves them as it found them, also after an exception.

What does come in: the number of threads (sums may be rounded otherwise), and what fastpath
itself was told (`allow_tf32`).
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
    """Let OpenMP, as it is loaded, choose that idle threads sleep and do not spin.

    Spinning loses 15 ms at a time on a machine with other work, where the core of a thread
    that spins is what the thread that it waits for needs. OpenMP reads this once.
    """
    absent = OPENMP not in os.environ
    os.environ.setdefault(OPENMP, "PASSIVE")
    try:
        yield
    finally:
        if absent:
            del os.environ[OPENMP]


# Where nobody has loaded PyTorch, and OpenMP with it, this is a command.
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
# How many functions watch the calls of PyTorch, of which the default device is one.
_watching = getattr(torch._C, "_len_torch_function_stack", lambda: 1)


class _Thread(threading.local):
    """Whether a thread is in an isolated function, and what is undone at its end."""

    isolated = False
    undo: ExitStack | None = None

    def at_the_end(self) -> ExitStack:
        """Return what is closed when the outermost isolated function ends."""
        if self.undo is None:
            self.undo = ExitStack()
        return self.undo


_thread = _Thread()


def isolated[**P, R](
    *, grad: bool | None = None, numpy: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function compute the same, whatever the settings of the process are.

    Parameters
    ----------
    grad
        Whether gradients are recorded while it runs; None leaves that to the caller.
    numpy
        NumPy computes too: see to its handling of floating-point errors.
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
    """Return an optimizer.

    The first one of a process has PyTorch load its compiler, which sets a variable of the
    environment and adds a filter of warnings.
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
    """Set all that may change a number to what it is in a fresh process."""
    if torch.is_inference_mode_enabled():  # which switches gradients off, too
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
    """How products of float32 are computed: exactly, or on CUDA as tf32 where allowed.

    This belongs to the process: the first isolated function of all threads sets it, and
    the last one gives back what was found.
    """

    def __init__(self) -> None:
        self.tf32 = False
        self._lock = threading.Lock()
        self._inside = 0
        self._found: list[str] | None = None

    def enter(self) -> None:
        """Compute as was chosen, until all that entered have left."""
        with self._lock:
            if not self._inside:
                self._set()
            self._inside += 1

    def leave(self) -> None:
        """Give back what was found, if no other thread computes."""
        with self._lock:
            self._inside -= 1
            if not self._inside and self._found is not None:
                _set_precisions(self._found)
                self._found = None

    def choose(self, tf32: bool) -> None:
        """Allow tf32 or not, from now on."""
        with self._lock:
            self.tf32 = tf32
            if self._inside:
                self._set()

    def _set(self) -> None:
        if self.tf32 or not _exact():
            before = _set_precisions(["tf32" if self.tf32 else "ieee", "ieee"])
            self._found = before if self._found is None else self._found


def _exact() -> bool:
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # not the same for all kinds of products
        return False


def _set_precisions(wanted: list[str]) -> list[str]:
    """Set the precision of products on CUDA and on the CPU; return what it was."""
    if not hasattr(torch.backends, "fp32_precision"):  # PyTorch before 2.9
        before = torch.get_float32_matmul_precision()
        names = {"ieee": "highest", "tf32": "high"}
        torch.set_float32_matmul_precision(names.get(wanted[0], wanted[0]))
        return [before]
    on_cpu: Any = torch.backends.mkldnn
    owners = torch.backends.cuda.matmul, on_cpu.matmul
    return [_set_precision(*pair) for pair in zip(owners, wanted, strict=True)]


def _set_precision(owner: Any, wanted: str) -> str:
    """Set the precision of one kind of product; return what it was, "none" for unset."""
    found = owner.fp32_precision
    owner.fp32_precision = "none"
    inherited = owner.fp32_precision == found
    owner.fp32_precision = wanted
    return "none" if inherited else found


_precision = _Precision()


def allow_tf32(allowed: bool) -> None:
    """Allow tf32 for products on CUDA: to the end of the outermost isolated function.

    Outside one, for the process.
    """
    if _thread.isolated:
        _thread.at_the_end().callback(_precision.choose, _precision.tf32)
    _precision.choose(allowed)


def use_threads(number: int) -> None:
    """Use so many CPU threads: to the end of the outermost isolated function.

    Outside one, for the process.
    """
    if _thread.isolated:
        _thread.at_the_end().callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(number)
