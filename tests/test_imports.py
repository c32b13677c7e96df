"""The two packages stand alone: one never loads what the other is built on.

How flags are read, files written, compiled code kept, progress shown and commands ended,
fastpath has from neurodyn.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios import __main__ as listing
from scenarios.__main__ import GROUPS

ROOT = Path(__file__).parents[1]
SHARED = {
    f"neurodyn.{name}"
    for name in ("checksum", "compiled", "exits", "files", "flags", "progress")
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


def scenarios_imported(path: Path) -> set[str]:
    """Return the scenarios that a module imports from, support among them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "scenarios":
            names |= {f"scenarios.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""}
    return {name.split(".")[1] for name in names if name.startswith("scenarios.")}


LISTED = [name for names in GROUPS.values() for name in names]


@pytest.mark.parametrize("name", ["support", *LISTED])
def test_scenarios_import_support_and_never_each_other(name):
    file = ROOT / "scenarios" / f"{name}.py"
    files = [file] if file.exists() else list(file.with_suffix("").rglob("*.py"))
    assert files
    for file in files:
        assert scenarios_imported(file) <= {name, "support"}, file


def test_every_scenario_is_listed_with_its_question(capsys):
    folder = ROOT / "scenarios"
    found = {path.stem for path in folder.glob("*.py")}
    found |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert sorted(LISTED) == sorted(found - {"__init__", "__main__", "support"})
    listing.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == LISTED
    assert all(line.endswith("?") for line in lines)
    listing.main(["--names", "training"])
    assert capsys.readouterr().out.split() == list(GROUPS["training"])
    with pytest.raises(SystemExit, match="there is no group 'cricuit'"):
        listing.main(["cricuit"])


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import neurodyn", ("brian2", "numpy", "torch", "xarray")),
        ("import neurodyn.cli", ("brian2", "numpy", "torch")),
        ("import neurodyn.commands", ("brian2", "torch")),
        ("import fastpath", ("brian2", "torch")),
        ("import fastpath.cli", ("brian2", "matplotlib", "numpy", "tensorboard", "torch")),
        (
            "import fastpath.commands.flags",
            ("brian2", "matplotlib", "numpy", "tensorboard", "torch"),
        ),
        ("import fastpath.commands.train", ("brian2", "matplotlib", "tensorboard")),
    ],
)
def test_importing_loads_nothing_heavy_by_accident(statement, absent):
    code = f"import sys; {statement}; print(*[m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
