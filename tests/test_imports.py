"""The two packages stand alone: one never loads what the other is built on.

How flags are read, files written, progress shown and commands ended, fastpath has from
neurodyn.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


SHARED = {
    f"neurodyn.{name}" for name in ("checksum", "exits", "files", "flags", "progress")
}


def imported(path: Path) -> set[str]:
    """Return the packages that a module imports from, but for what is shared."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""}
            if node.module == "neurodyn":
                names -= {"neurodyn"}
                names |= {f"neurodyn.{alias.name}" for alias in node.names}
    return {name.split(".")[0] for name in names - SHARED}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("neurodyn", {"torch", "torchvision", "fastpath", "scenarios"}),
        ("fastpath", {"brian2", "brian2cuda", "neurodyn", "scenarios"}),
    ],
)
def test_no_module_imports_the_other_side(package, forbidden):
    files = list((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    for file in files:
        assert not imported(file) & forbidden, file


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import neurodyn", ("brian2", "numpy", "torch", "xarray")),
        ("import neurodyn.cli", ("brian2", "numpy", "torch")),
        ("import neurodyn.commands", ("brian2", "torch")),
        ("import fastpath", ("brian2", "torch")),
        ("import fastpath.cli", ("brian2", "matplotlib", "numpy", "tensorboard", "torch")),
        ("import fastpath.commands", ("brian2", "matplotlib", "tensorboard")),
    ],
)
def test_importing_loads_nothing_heavy_by_accident(statement, absent):
    code = f"import sys; {statement}; print(*[m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
