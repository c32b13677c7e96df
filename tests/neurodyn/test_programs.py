"""Compiled programs that are kept: when they are used again, and when they must not be."""

import os
import subprocess
import sys

import numpy as np
import pytest

from neurodyn import LateralInhibition, Presentation, compiled, simulate
from neurodyn.engine import backends, programs


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of kept programs, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache" / "neurodyn" / "programs"


@pytest.fixture
def source(tmp_path):
    """A function that builds a source, and says whether it was compiled."""
    count = 0

    def build(code="int main;", makefile="all:", header="#define A"):
        nonlocal count
        count += 1
        folder = tmp_path / f"source {count}"
        (folder / "brianlib").mkdir(parents=True)
        (folder / "main.cpp").write_text(code)
        (folder / "brianlib/a.h").write_text(header)
        (folder / "makefile").write_text(f"# in {folder}\n{makefile}")
        (folder / "values").write_text(str(count))  # no part of the program
        made = []

        def make():
            made.append(1)
            (folder / "main").write_text(code)
            (folder / "main").chmod(0o755)

        programs.build(folder, make)
        assert (folder / "main").read_text() == code
        assert os.access(folder / "main", os.X_OK)
        return bool(made)

    return build


def test_the_same_source_is_compiled_once(kept, source):
    assert source()
    assert not source()
    assert len(list(kept.iterdir())) == 1


@pytest.mark.parametrize(
    "change", [{"code": "int main2;"}, {"makefile": "all: main"}, {"header": "#define B"}]
)
def test_another_source_is_another_program(kept, source, change):
    assert source()
    assert source(**change)
    assert not source(**change)
    assert not source()


def test_text_that_moves_from_one_file_to_another_is_another_program(kept, source):
    assert source(code="ab", header="c")
    assert source(code="a", header="bc")


@pytest.mark.parametrize("name", ["CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH"])
def test_where_the_compiler_looks_is_part_of_the_program(kept, source, monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    assert source()
    monkeypatch.setenv(name, "elsewhere")
    assert source()


def test_so_are_the_compiler_and_the_processor(kept, source, monkeypatch, tmp_path):
    assert source()
    compiler = tmp_path / "compiler"
    for version in (1, 2):
        compiler.write_text(f"#!/bin/sh\necho version {version}\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        assert source()
        assert not source()
        assert source(makefile=f"NVCC = @{compiler} -ccbin")
        assert not source(makefile=f"NVCC = @{compiler} -ccbin")
    monkeypatch.setattr(compiled, "_processor", lambda: "flags: another")
    assert source()


def test_without_a_cache_programs_are_compiled(kept, source, monkeypatch):
    kept.parent.parent.mkdir()
    kept.parent.write_text("a file, where a folder is needed")
    assert source()
    assert source()
    monkeypatch.setenv("CXX", "no-such-compiler")  # make will say so
    assert source()


def test_the_programs_that_were_not_used_longest_are_removed(kept, source, monkeypatch):
    monkeypatch.setattr(programs, "MOST", 2)
    assert source("a")
    assert source("b")
    for age, path in enumerate(sorted(kept.iterdir(), key=lambda p: p.read_text())):
        os.utime(path, (age, age))
    assert not source("a")
    assert source("c")
    assert sorted(path.read_text() for path in kept.iterdir()) == ["a", "c"]


WRITE = """
import sys
import numpy as np
from pathlib import Path
from neurodyn import *
from neurodyn.engine import execute, programs, spec

rng = np.random.default_rng(0)
job = spec.validate(
    LateralInhibition(input_sign=1, noise=0.1), rng.random((3, 6)), rng.random((5, 6)),
    plasticity=KrotovHopfield(timing=Continuous(), tau_l_ms=1e6), order=None,
    stimulus=Presentation(image_ms=20.0), recording=Recording(norms=True), backend="cpp",
    dt_ms=0.5, batch_size=1, seed=0,
)
for folder in ("a", "b"):
    execute.write_source(job, Path(sys.argv[1], folder), make=False)
    print(programs.digest(Path(sys.argv[1], folder)))
"""


@pytest.mark.slow
def test_every_process_generates_the_same_source(tmp_path):
    """In Brian2 itself names and orders depend on other objects, and on hashes."""
    digests = set()
    for seed in range(3):
        done = subprocess.run(
            [sys.executable, "-c", WRITE, tmp_path / str(seed)],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests |= set(done.stdout.split())
    assert len(digests) == 1


@pytest.mark.slow
def test_a_second_simulation_does_not_compile(kept, monkeypatch):
    """With other images, weights, parameters of the circuit, number of images and seed."""
    if reason := backends.why_not("cpp"):
        pytest.skip(reason)
    rng = np.random.default_rng(0)

    def run(num_images, w_inh, seed, backend):
        given = np.random.default_rng(num_images)
        return simulate(
            LateralInhibition(w_inh=w_inh, noise=0.1),
            given.random((num_images, 6)),
            given.normal(0.3, 1.0, (5, 6)),
            stimulus=Presentation(image_ms=20.0),
            backend=backend,
            dt_ms=0.5,
            seed=seed,
        )

    run(2, 0.5, 0, "cpp")
    monkeypatch.setattr(programs, "build", compiles_nothing(programs.build))
    for num_images, w_inh in ((3, 0.5), (7, 0.9)):
        seed = int(rng.integers(100))
        found = run(num_images, w_inh, seed, "cpp")
        expected = run(num_images, w_inh, seed, "numpy")
        np.testing.assert_allclose(found.activity, expected.activity, rtol=0, atol=1e-12)


def compiles_nothing(build):
    def refuse():
        raise AssertionError("it compiles")

    return lambda folder, make: build(folder, refuse)
