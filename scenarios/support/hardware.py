"""Describe the machine on which a number is measured."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).split(": ")[1]
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def described(device: str) -> str:
    """Return the machine, PyTorch's version and the date, for a caption."""
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = f"{processor()}, {os.cpu_count()} cores"
    return f"{name}; PyTorch {torch.__version__}; {datetime.now(UTC):%Y-%m-%d}"
