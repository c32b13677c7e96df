"""Settings of PyTorch, NumPy, ... that a caller may have made, and how to see changes.

A world is one such setting, as a context manager.
"""

import functools
import logging
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import torch
import xarray as xr

from fastpath import ambient


@contextmanager
def undone(set_it, undo):
    set_it()
    try:
        yield
    finally:
        undo()


def float_products(value):
    owners = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul

    def put(value):
        for owner in owners:
            owner.fp32_precision = value

    return undone(lambda: put(value), lambda: put("none"))


@contextmanager
def anomaly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            warnings.simplefilter("error")
            yield


def autocast_cuda():
    put = functools.partial(torch.set_autocast_enabled, "cuda")
    return undone(lambda: put(True), lambda: put(False))


RC = {
    "image.origin": "lower",
    "image.cmap": "gray",
    "savefig.bbox": "tight",
    "savefig.dpi": 17,
    "figure.dpi": 31,
    "figure.autolayout": True,
}

WORLDS = {
    "float64": lambda: undone(
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast cuda": autocast_cuda,
    "device": lambda: torch.device("meta"),
    "default device": lambda: undone(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "medium products": lambda: undone(
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "tf32 products": lambda: float_products("tf32"),
    "deterministic": lambda: undone(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "anomaly": anomaly,
    "denormals flushed": lambda: undone(
        lambda: torch.set_flush_denormal(True), lambda: torch.set_flush_denormal(False)
    ),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy prints": lambda: np.printoptions(precision=2, threshold=5, legacy="1.13"),
    "xarray": lambda: xr.set_options(keep_attrs=True, arithmetic_join="exact"),
    "matplotlib": lambda: mpl.rc_context(RC),
}


def state():
    """Return all that a call may have changed, to be compared."""
    owners = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    return {
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")],
        "autocast to": torch.get_autocast_dtype("cpu"),
        "products": [owner.fp32_precision for owner in owners],
        "all products": torch.backends.fp32_precision,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "denormals": sys.float_info.min / 2,
        "modes": torch._C._len_torch_function_stack(),
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": str(np.random.get_state()),  # noqa: NPY002
        "numpy errors": np.geterr(),
        "numpy prints": str(np.get_printoptions()),
        "xarray": str(dict(xr.get_options())),
        "matplotlib": dict(mpl.rcParams),
        "backend": mpl.get_backend(),
        "figures": sys.modules["matplotlib.pyplot"].get_fignums(),
        "filters": [*warnings.filters],
        "environment": dict(os.environ),
        "excepthook": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "signals": [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)],
        "logging": (logging.root.level, [*logging.root.handlers]),
        "path": [*sys.path],
        "folder": os.getcwd(),
        "recursion": sys.getrecursionlimit(),
        "chosen": ambient._precision.tf32,
    }


def changed(before):
    after = state()
    return [name for name in before if before[name] != after[name]]
