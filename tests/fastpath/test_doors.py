"""What is of another type than it should be: converted, or refused in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_comes_in_is_converted_or_refused():
    """Run doors/ without run-time type checks, as users run fastpath."""
    folder = Path(__file__).with_name("doors")
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "addopts=--import-mode=importlib"),
            *map(str, sorted(folder.glob("*.py"))),
        ],
        cwd=folder.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
