"""Compiled code: where it is kept, and what tells apart the code of two machines."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path


def folder(kind: str) -> Path:
    """Return the folder that keeps compiled code of one kind; it may not exist."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "neurodyn" / kind


def digest(*parts: str) -> str:
    """Return a name for what this machine compiles from these parts, such as sources.

    With -march=native, another processor that shares the folder needs its own code.
    """
    everything = (*parts, platform.machine(), _processor())
    lengths = ",".join(str(len(part)) for part in everything)
    return hashlib.sha256("\0".join((lengths, *everything)).encode()).hexdigest()


def version(compiler: Sequence[str]) -> str:
    """Return what a compiler says of its version.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If it cannot be run.
    """
    return subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def _processor() -> str:
    """Return what tells this processor's instructions from another's."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
