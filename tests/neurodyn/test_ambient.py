"""The caller's world: nothing of it changes a number, nothing in it is changed."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import ExitStack, contextmanager

import matplotlib as mpl
import numpy as np
import pytest
import scipy.sparse
import scipy.special  # noqa: F401, these set filters of warnings when they are imported
import xarray as xr

import neurodyn
from neurodyn import LateralInhibition, Presentation
from neurodyn.engine import ambient, execute

IMAGES = np.array([[1.0, 0.2, 0.0], [0.3, 0.8, 0.1]])
WEIGHTS = np.array([[1.0, 0.1, 0.0], [0.2, 1.0, 0.3], [0.5, 0.5, 0.5], [0.0, -0.2, 1.0]])
BACKENDS = ["numpy", *(pytest.param(b, marks=pytest.mark.slow) for b in ("cython", "cpp"))]


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path, monkeypatch):
    """Other processes have files in the usual one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def run(backend="numpy"):
    circuit = LateralInhibition(w_inh=0.5, noise=0.1)
    rule = neurodyn.KrotovHopfield(tau_l_ms=1e3, timing=neurodyn.Continuous())
    traces = neurodyn.simulate(
        circuit,
        IMAGES,
        WEIGHTS,
        plasticity=rule,
        stimulus=Presentation(image_ms=5.0),
        backend=backend,
        dt_ms=0.5,
        seed=3,
    )
    return traces.assign_attrs(run_seconds=0.0)


def world():
    """Return all that a simulation could change, and must not."""
    import brian2 as b2
    from brian2.devices import device_module

    prefs = {
        f"{base}.{name}": b2.prefs[f"{base}.{name}"]
        for base, (registered, _) in b2.prefs.pref_register.items()
        for name in registered
    }
    kind, keys, position, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "preferences": prefs,
        "device": b2.get_device(),
        "devices before": [*device_module.previous_devices],
        "default clock": float(b2.defaultclock.dt),
        "np.random": (kind, keys.tolist(), position, *rest),
        "np.seterr": np.geterr(),
        "print options": repr(np.get_printoptions()),
        "excepthook": sys.excepthook,
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "warnings": ([*warnings.filters], warnings.showwarning),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "frozen": gc.get_freeze_count(),
        "matplotlib": dict(mpl.rcParams),
        "xarray": dict(xr.get_options()),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_leaks_out(backend):
    before = world()
    run(backend)
    after = world()
    for name, value in before.items():
        assert after[name] == value, name


def test_nothing_leaks_out_of_a_run_that_fails(monkeypatch):
    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr(execute, "_finished", stop)
    before = world()
    with pytest.raises(Stop):
        run()
    after = world()
    for name, value in before.items():
        assert after[name] == value, name


def test_random_trials_of_the_caller_stay_random():
    np.random.seed(123)  # noqa: NPY002
    drawn = []
    for _ in range(3):
        drawn.append(np.random.rand())  # noqa: NPY002
        run()
    np.testing.assert_array_equal(drawn, np.random.RandomState(123).rand(3))


@contextmanager
def preference(name, value):
    import brian2 as b2

    before = b2.prefs[name]
    b2.prefs[name] = value
    try:
        yield
    finally:
        b2.prefs[name] = before


@contextmanager
def standalone():
    import brian2 as b2

    b2.set_device("cpp_standalone", build_on_run=False)
    try:
        yield
    finally:
        b2.device.reinit()
        b2.devices.device_module.reset_device()


@contextmanager
def time_step():
    import brian2 as b2

    before = float(b2.defaultclock.dt) * b2.second
    b2.defaultclock.dt = 3 * b2.ms
    try:
        yield
    finally:
        b2.defaultclock.dt = before


@contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SCHEDULE = ["start", "resets", "synapses", "thresholds", "groups", "end"]
AMBIENT = {
    "np.seterr": lambda: np.errstate(all="raise"),
    "np.random": lambda: np.random.seed(99),  # noqa: NPY002
    "print options": lambda: np.printoptions(precision=1, suppress=True),
    "float32": lambda: preference("core.default_float_dtype", np.float32),
    "schedule": lambda: preference("core.network.default_schedule", SCHEDULE),
    "optimisations": lambda: preference("codegen.loop_invariant_optimisations", False),
    "target": lambda: preference("codegen.target", "numpy"),
    "discard units": lambda: preference("codegen.runtime.numpy.discard_units", True),
    "compiler flags": lambda: preference(
        "codegen.cpp.extra_compile_args_gcc", ["-w", "-O0", "-DNDEBUG"]
    ),
    "threads": lambda: preference("devices.cpp_standalone.openmp_threads", 2),
    "clock": time_step,
    "device": standalone,
    "xarray": lambda: xr.set_options(keep_attrs=False, arithmetic_join="outer"),
    "warnings": warnings_as_errors,
    "float of matplotlib": lambda: mpl.rc_context({"lines.linewidth": 9}),
}


@pytest.mark.parametrize("name", AMBIENT)
def test_nothing_leaks_in(name):
    expected = run()
    entered = AMBIENT[name]()
    if entered is None:
        assert run().identical(expected)
        return
    with entered:
        assert run().identical(expected)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["cython", "cpp"])
def test_nothing_leaks_into_compiled_code(backend):
    expected = run(backend)
    with ExitStack() as stack:
        for name in ("float32", "schedule", "compiler flags", "threads"):
            stack.enter_context(AMBIENT[name]())
        assert run(backend).identical(expected)


def test_names_of_the_caller_mean_nothing():
    expected = run()
    tau, h, dt, running, noise, i, S, period_steps = range(8)  # as in the equations
    assert run().identical(expected)
    assert (tau, h, dt, running, noise, i, S, period_steps) == tuple(range(8))


def test_objects_may_be_collected_while_a_name_is_sought():
    """As objects of a run that was refused are, at any time."""
    import brian2 as b2
    from brian2.core.names import Nameable

    kept = []

    class Fleeting(Nameable):
        @property
        def name(self):
            kept.clear()
            return "fleeting"

    with ambient.same_code(ambient.no_names()):
        kept.append(Fleeting("fleeting"))
        assert b2.Clock(1 * b2.ms, name="fleeting*").name == "fleeting_1"
        assert not kept
        assert b2.Clock(1 * b2.ms, name="fleeting*").name == "fleeting"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["cpp", "numpy"])
def test_the_callers_own_standalone_network_goes_on(backend, tmp_path):
    import brian2 as b2

    b2.set_device("cpp_standalone", directory=str(tmp_path), build_on_run=False)
    try:
        group = b2.NeuronGroup(1, "dv/dt = -v/(10*ms) : 1", method="exact", name="hidden")
        group.v = 1
        network = b2.Network(group)
        network.run(5 * b2.ms, namespace={})
        run(backend)
        network.run(5 * b2.ms, namespace={})
        b2.device.build(directory=str(tmp_path))
        assert group.v[0] == pytest.approx(np.exp(-1))
    finally:
        b2.device.reinit()
        b2.devices.device_module.reset_device()


def test_the_callers_own_network_goes_on():
    import brian2 as b2

    group = b2.NeuronGroup(2, "dh/dt = -h/(10*ms) : 1", method="exact", name="hidden")
    group.h = 1
    network = b2.Network(group)
    network.run(5 * b2.ms, namespace={})
    run()
    network.run(5 * b2.ms, namespace={})
    np.testing.assert_allclose(group.h[:], np.exp(-1))


def test_threads_take_turns():
    import brian2 as b2

    expected, found = run(), []
    with preference("codegen.target", "cython"):
        threads = [threading.Thread(target=lambda: found.append(run())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert b2.prefs.codegen.target == "cython"
    assert len(found) == 3
    assert all(one.identical(expected) for one in found)


FROM_A_THREAD = """
import threading, numpy as np, neurodyn
def run():
    try:
        neurodyn.simulate(
            neurodyn.LateralInhibition(), np.eye(2), np.eye(2), backend="numpy"
        )
    except ValueError as error:
        print(error)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_the_first_simulation_of_a_thread_asks_for_an_import():
    done = subprocess.run(
        [sys.executable, "-c", FROM_A_THREAD], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Brian2 can be imported in the main thread only: import")
    assert done.stderr == ""


IMPORTED = """
import logging, os, signal, sys, tempfile, warnings
def world():
    return (
        sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning,
        [*warnings.filters], logging.getLogger().handlers,
        logging.getLogger("py.warnings").handlers, dict(os.environ), os.listdir(),
        os.listdir(tempfile.gettempdir()),
    )
import numpy as np, neurodyn, scipy.sparse, scipy.special, xarray  # have filters too
before = world()
assert "brian2" not in sys.modules
neurodyn.simulate(
    neurodyn.LateralInhibition(), np.eye(2), np.eye(2), backend="numpy",
    stimulus=neurodyn.Presentation(image_ms=1.0),
)
assert "brian2" in sys.modules
after = world()
assert before == after, (before, after)
warnings.warn("heard")
raise RuntimeError("of the caller")
"""


@pytest.mark.slow
def test_importing_brian2_changes_nothing(tmp_path):
    """Hooks, signals, warnings, files; also where a file of preferences lies about."""
    (tmp_path / "brian_preferences").write_text("core.default_float_dtype = float32\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (tmp_path / "script.py").write_text(IMPORTED)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.rstrip().endswith("RuntimeError: of the caller"), done.stderr
    assert "Brian 2" not in done.stderr
    assert "UserWarning: heard" in done.stderr
    assert list(temporary.iterdir()) == []


def test_where_brian2_was_imported_before_nothing_is_touched(monkeypatch):
    import brian2  # noqa: F401

    def touched():
        raise AssertionError

    monkeypatch.setattr(ambient, "quiet_import", touched)
    ambient.load_brian2()
