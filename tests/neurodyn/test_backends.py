"""Which backend runs, what is said when it cannot, and that all compute the same."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from neurodyn import LateralInhibition, Presentation, simulate
from neurodyn.engine import backends, standalone


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with Python's headers and an empty PATH; a function installs programs."""
    programs = tmp_path / "bin"
    headers = tmp_path / "include"
    programs.mkdir()
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(backends.sysconfig, "get_path", lambda _: str(headers))

    def install(*names):
        for name in names:
            (programs / name).touch(mode=0o755)

    install.headers = headers
    return install


def test_with_compiler_and_make_everything_works(machine):
    machine("g++", "make")
    names = ["numpy", "cython", "cpp"]
    assert [backends.why_not(name) for name in names] == [None] * 3
    assert [backends.resolve(name) for name in names] == names
    assert backends.resolve("auto") == "cython"


@pytest.mark.parametrize("name", ["cython", "cpp"])
def test_without_compiler_compiled_backends_are_refused(machine, name):
    machine("make")
    message = (
        rf"backend '{name}' cannot run here: it needs a C\+\+ compiler, and c\+\+ or "
        r"g\+\+ is not on the PATH \(Debian and Ubuntu: .*\)\. Or give backend 'auto'"
    )
    with pytest.raises(ValueError, match=message):
        backends.resolve(name)


def test_auto_falls_back_to_numpy_and_says_so(machine):
    with pytest.warns(UserWarning, match=r"'auto' runs on numpy.*needs a C\+\+ compiler"):
        assert backends.resolve("auto") == "numpy"


def test_the_fallback_simulates_and_its_warning_points_at_the_caller(machine):
    stimulus = Presentation(image_ms=1.0)
    with pytest.warns(UserWarning, match="'auto' runs on numpy") as caught:
        traces = simulate(
            LateralInhibition(),
            np.ones((1, 2)),
            np.ones((3, 2)),
            stimulus=stimulus,
            backend="auto",
        )
    assert json.loads(traces.attrs["config"])["backend"] == "numpy"
    assert [one.filename for one in caught] == [__file__]


def test_numpy_needs_nothing(machine):
    assert backends.resolve("numpy") == "numpy"


def test_cpp_needs_make_and_cython_does_not(machine):
    machine("c++")
    with pytest.raises(ValueError, match="'cpp' cannot run here: it needs make, which"):
        backends.resolve("cpp")
    assert backends.resolve("cython") == "cython"


def test_cython_needs_pythons_headers_and_cpp_does_not(machine):
    machine("g++", "make")
    (machine.headers / "Python.h").unlink()
    with pytest.raises(
        ValueError, match=r"'cython' cannot run here: .*Python\.h is missing"
    ):
        backends.resolve("cython")
    assert backends.resolve("cpp") == "cpp"


def test_the_compiler_that_cxx_names_is_the_one_that_counts(machine, monkeypatch):
    machine("g++", "make", "clang++")
    monkeypatch.setenv("CXX", "clang++ -O2")
    assert backends.why_not("cpp") is None
    monkeypatch.setenv("CXX", "icpx")
    assert "icpx is not on the PATH" in backends.why_not("cpp")
    assert "icpx is not on the PATH" in backends.why_not("cython")


def test_an_empty_cxx_is_as_none(machine, monkeypatch):
    machine("g++", "make")
    monkeypatch.setenv("CXX", "")
    assert backends.why_not("cpp") is None


@pytest.mark.parametrize("name", ["", "NumPy", "gpu", "c++"])
def test_unknown_names_are_refused_with_the_known_ones(name):
    message = (
        rf"unknown backend '{name.replace('+', '.')}': give one of numpy, cython, cpp, cuda"
    )
    with pytest.raises(ValueError, match=message):
        backends.resolve(name)


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_the_target_is_set_inside_and_as_before_after_an_error(name):
    import brian2 as b2

    before = b2.prefs.codegen.target
    with suppress(Stop), backends.activated(name):
        inside = b2.prefs.codegen.target
        raise Stop
    assert inside == name
    assert b2.prefs.codegen.target == before


@pytest.mark.parametrize(
    ("name", "kind"), [("cpp", "CPPStandaloneDevice"), ("numpy", "RuntimeDevice")]
)
def test_the_device_is_set_inside_and_as_before_after_an_error(name, kind):
    import brian2 as b2

    before = b2.get_device()
    with suppress(Stop), backends.activated(name):
        inside = b2.get_device()
        raise Stop
    assert type(inside).__name__ == kind
    assert inside not in b2.all_devices.values()  # nobody else has it
    assert b2.get_device() is before


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "p"), [("cython", 2.0), ("cpp", 3.0)])
def test_compiled_code_gives_the_traces_of_numpy(backend, p):
    import brian2 as b2

    rng = np.random.default_rng(1)
    images, weights = rng.random((4, 9)), rng.normal(size=(7, 9))
    circuit = LateralInhibition(w_inh=0.8, p=p)
    stimulus = Presentation(image_ms=20.0, rest_ms=4.0, reset=False)
    before = b2.get_device(), b2.prefs.codegen.target
    expected, traces = (
        simulate(circuit, images, weights, stimulus=stimulus, backend=name)
        for name in ("numpy", backend)
    )
    assert set(traces.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        # measured: 9e-16; activities reach 4
        np.testing.assert_allclose(traces[name], variable, rtol=0, atol=1e-12)
    assert (b2.get_device(), b2.prefs.codegen.target) == before


@pytest.mark.slow
def test_a_compiled_run_can_be_repeated_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(standalone.tempfile, "tempdir", str(tmp_path))
    settings = {"stimulus": Presentation(image_ms=5.0), "backend": "cpp"}
    one, two = (
        simulate(LateralInhibition(), np.eye(2), np.eye(2), **settings) for _ in range(2)
    )
    one, two = (traces.assign_attrs(run_seconds=0.0) for traces in (one, two))
    assert one.identical(two)
    assert not list(tmp_path.glob("neurodyn-*"))


@pytest.mark.skipif(backends.why_not("cpp") is not None, reason="no C++ compiler")
def test_no_place_to_compile_in_is_said(tmp_path, monkeypatch):
    import brian2  # noqa: F401, its log needs a place too

    monkeypatch.setattr(standalone.tempfile, "tempdir", str(tmp_path / "nowhere"))
    message = r"no folder to compile in: .*nowhere.*; set TMPDIR to one that can be written"
    with pytest.raises(ValueError, match=message):
        simulate(LateralInhibition(), np.eye(2), np.eye(2), backend="cpp")


@pytest.mark.parametrize("place", ["file", "file/cache"])
def test_cython_needs_a_place_for_what_it_compiles(place, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(backends, "_cython_cache", lambda: tmp_path / place)
    reason = backends.why_not("cython")
    assert reason is not None
    assert f"{tmp_path / place}" in reason
    assert "set CYTHON_CACHE_DIR to a folder that can" in reason
    with pytest.raises(ValueError, match="backend 'cython' cannot run here: it keeps what"):
        backends.resolve("cython")
    monkeypatch.setattr(backends, "_cython_cache", lambda: tmp_path / "new" / "cache")
    assert backends.why_not("cython") is None
    assert not (tmp_path / "new").exists()


def test_the_cache_of_cython_is_where_it_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "neurodyn", "backends"],
        env=os.environ | {"CYTHON_CACHE_DIR": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"in {tmp_path / 'file' / 'brian_extensions'}, which cannot" in done.stdout
