"""What is of another type than it should be: converted, or refused in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_comes_in_is_converted_or_refused():
    """In a process whose annotations nobody checks: that is how fastpath is used."""
    file = Path(__file__).with_name("doors.py")
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "addopts=--import-mode=importlib", str(file)),
        ],
        cwd=file.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
