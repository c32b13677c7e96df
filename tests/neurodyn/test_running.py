"""Chunks, images side by side and sweeps change how a simulation runs, not its traces."""

import json
from dataclasses import replace

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    traces,
)
from neurodyn.engine import execute

GIVEN = np.random.default_rng(2)


IMAGES = GIVEN.random((4, 7))


FREE = GIVEN.normal(0.3, 1.0, (6, 7))


ORDER = np.array([0, 3, 1, 1, 2, 0, 3, 2, 2, 1])


BETWEEN = GIVEN.random((6, 6)) * 0.4 * (1 - np.eye(6))


DALE = DaleInhibition(
    num_inh=3, tau_inh_ms=4.0, w_ie=GIVEN.random((6, 3)) * 0.4, w_ei=GIVEN.random((3, 6))
)


CYTHON = pytest.param("cython", marks=pytest.mark.slow)


CPP = pytest.param("cpp", marks=pytest.mark.slow)


CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


def run(circuit=None, weights=FREE, *, reset=True, **settings):
    defaults = {
        "order": ORDER,
        "stimulus": Presentation(image_ms=20.0, rest_ms=4.0, reset=reset),
        "backend": "numpy",
        "dt_ms": 0.25,
    }
    return neurodyn.simulate(
        circuit or LateralInhibition(w_inh=0.5), IMAGES, weights, **(defaults | settings)
    )


def assert_same(one, two, *, atol=0.0):
    assert set(one.variables) == set(two.variables)
    for name, variable in one.variables.items():
        assert two[name].dims == variable.dims
        np.testing.assert_allclose(two[name], variable, rtol=0, atol=atol, err_msg=name)


RULE = KrotovHopfield(h_star=0.5, tau_l_ms=1e3)


CUBIC = KrotovHopfield(p=3.0, h_star=0.5, tau_l_ms=1e3, timing=Continuous())


REDUCED = KrotovHopfield(h_star=0.5, tau_l_ms=1e3, timing=Continuous())


EVERYTHING_STATIC = Recording(activity_ms=0.5, inhibition=True, norms=True)


EVERYTHING = Recording(activity_ms=0.5, inhibition=True, norms=True, weights_every=1)


NOISY = LateralInhibition(w_inh=0.5, noise=0.2, noise_tau_ms=3.0)


CHUNKED = {
    "noise": (NOISY, FREE, {"recording": EVERYTHING_STATIC}),
    "noise carried over": (
        replace(DALE, noise=0.2),
        abs(FREE),
        {"recording": EVERYTHING_STATIC, "reset": False},
    ),
    "static": (LateralInhibition(w_inh=0.5), FREE, {"reset": False}),
    "own time": (
        LateralInhibition(w_inh=0.5),
        FREE,
        # The stride of the activity divides 3 presentations, not one.
        {"recording": Recording(activity_ms=9.0, by_image=False), "reset": False},
    ),
    "strides": (
        LateralInhibition(w_inh=0.5),
        FREE,
        {
            "recording": Recording(activity_ms=6.0, images_every=2, weights_every=3),
            "plasticity": RULE,
        },
    ),
    "settled": (
        LateralInhibition(w_inh=0.5),
        FREE,
        {"plasticity": RULE, "recording": EVERYTHING, "reset": False},
    ),
    "reduced": (
        LateralInhibition(w_inh=0.5),
        FREE,
        {"plasticity": REDUCED, "recording": EVERYTHING, "reset": False},
    ),
    "cubic": (
        LateralInhibition(w_inh=0.5, p=3.0),
        FREE,
        {"plasticity": CUBIC, "recording": EVERYTHING, "reset": False},
    ),
    "dale": (
        DALE,
        abs(FREE),
        {
            "plasticity": {
                "feedforward": RULE,
                "inh_to_exc": Homeostatic(target=0.3, tau_l_ms=300.0),
            },
            "recording": EVERYTHING,
            "reset": False,
        },
    ),
}


def check_chunks(name, backend, tmp_path, monkeypatch):
    circuit, weights, settings = CHUNKED[name]
    whole = run(circuit, weights, **settings)
    monkeypatch.setattr(execute, "CHUNK_PRESENTATIONS", 3)
    written = run(circuit, weights, backend=backend, out=tmp_path / "t.nc", **settings)
    # measured: 2e-15 for compiled code, else no difference
    assert_same(whole, written.load(), atol=0.0 if backend == "numpy" else 1e-12)
    assert written.attrs["presentations"] == len(ORDER)
    assert json.loads(written.attrs["config"]) == json.loads(whole.attrs["config"]) | {
        "backend": backend
    }
    assert traces.open(tmp_path / "t.nc").identical(written)
    assert [path.name for path in tmp_path.iterdir()] == ["t.nc"]


SLOW = ("cubic", "noise carried over", "dale")  # on numpy


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in CHUNKED]
)
def test_chunks_on_disk_are_the_run_in_memory(name, tmp_path, monkeypatch):
    check_chunks(name, "numpy", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param("reduced", "cython", marks=pytest.mark.slow),
        pytest.param("dale", "cpp", marks=pytest.mark.slow),
        pytest.param("dale", "cuda", marks=pytest.mark.gpu),
        pytest.param("noise carried over", "cuda", marks=pytest.mark.gpu),
    ],
)
def test_compiled_chunks(name, backend, tmp_path, monkeypatch):
    check_chunks(name, backend, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "backend", "batch_size"),
    [
        ("settled", "numpy", 1),
        ("own time", "numpy", 1),
        ("static at rest", "numpy", 2),
    ],
)
def test_chunks_go_by_time(name, backend, batch_size, tmp_path, monkeypatch):
    """Down to a block of the strides; the traces are those of one chunk, bit for bit."""
    if name == "static at rest":
        circuit, weights, settings = LateralInhibition(w_inh=0.5), FREE, {}
    else:
        circuit, weights, settings = CHUNKED[name]
    settings = settings | {"backend": backend, "batch_size": batch_size}
    sizes, append = [], traces.Writer.append

    def noted(writer, chunk, *, num_presentations):
        sizes.append(num_presentations)
        append(writer, chunk, num_presentations=num_presentations)

    monkeypatch.setattr(traces.Writer, "append", noted)
    whole = run(circuit, weights, out=tmp_path / "whole.nc", **settings).load()
    assert sizes == [10]
    sizes.clear()
    monkeypatch.setattr(execute, "CHUNK_SECONDS", 1e-4)
    written = run(circuit, weights, out=tmp_path / "t.nc", **settings).load()
    block = {"own time": 3, "static at rest": 2}.get(name, 1)
    assert sizes == [block] * (10 // block) + [10 % block] * (10 % block > 0)
    assert_same(whole, written)


def test_strides_count_presentations():
    recorded = Recording(activity_ms=None, images_every=3, weights_every=4, norms=True)
    few = run(plasticity=RULE, recording=recorded)
    all_of_them = run(plasticity=RULE, recording=EVERYTHING)
    np.testing.assert_array_equal(few["image"], [2, 5, 8])
    np.testing.assert_array_equal(few["shown"], ORDER[[2, 5, 8]])
    np.testing.assert_array_equal(few["snapshot"], [0, 4, 8])
    for name in ("drive", "final_activity", "weight_norm"):
        np.testing.assert_array_equal(few[name], all_of_them[name].sel(image=few["image"]))
    snapshots = all_of_them["weights_snapshots"]
    np.testing.assert_array_equal(
        few["weights_snapshots"], snapshots.sel(snapshot=few["snapshot"])
    )
    np.testing.assert_array_equal(snapshots.isel(snapshot=0), FREE)
    norms = np.linalg.norm(snapshots.isel(snapshot=slice(0, -1)), axis=2)
    np.testing.assert_allclose(all_of_them["weight_norm"], norms, rtol=1e-12)
    nothing = run(recording=Recording(activity_ms=None, images_every=None))
    assert set(nothing.data_vars) == {"weights"}


def test_p_norms_are_of_the_rules_p():
    rule = KrotovHopfield(p=3.0, h_star=0.5, tau_l_ms=1e4)
    learned = run(
        LateralInhibition(w_inh=0.5, p=3.0), plasticity=rule, recording=EVERYTHING
    )
    before = learned["weights_snapshots"].isel(snapshot=slice(0, -1)).values
    norms = (abs(before) ** 3).sum(axis=2) ** (1 / 3)
    np.testing.assert_allclose(learned["weight_norm"], norms, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("pooled", "numpy"),
        ("explicit", "numpy"),
        ("noisy dale", "numpy"),
        pytest.param("noise", "cpp", marks=pytest.mark.slow),
        pytest.param("noise", "cuda", marks=pytest.mark.gpu),
        pytest.param("dale", "cuda", marks=pytest.mark.gpu),
    ],
)
def test_images_side_by_side_are_images_in_turn(name, backend, tmp_path, monkeypatch):
    """The last round is not full; chunks of the file hold two rounds."""
    circuit, weights = {
        "pooled": (LateralInhibition(w_inh=0.5, tau_ms=np.linspace(8, 12, 6)), FREE),
        "explicit": (LateralInhibition(w_inh=BETWEEN), FREE),
        "dale": (DALE, abs(FREE)),
        "noise": (NOISY, FREE),
        "noisy dale": (replace(DALE, noise=0.2), abs(FREE)),
    }[name]
    recorded = Recording(activity_ms=1.0, inhibition=True, images_every=2)
    in_turn = run(circuit, weights, recording=recorded)
    settings = {"recording": recorded, "backend": backend}
    # measured: 2e-15; the drive is summed in another order
    assert_same(in_turn, run(circuit, weights, batch_size=4, **settings), atol=1e-12)
    monkeypatch.setattr(execute, "CHUNK_PRESENTATIONS", 4)
    chunked = run(circuit, weights, batch_size=2, out=tmp_path / "t.nc", **settings)
    assert_same(in_turn, chunked.load(), atol=1e-12)


SWEPT = {
    "noise": [
        LateralInhibition(w_inh=0.5, noise=sd, noise_tau_ms=tau)
        for sd, tau in ((0.1, 3.0), (0.1, 3.0), (0.3, 0.5))
    ],
    "lateral": [
        LateralInhibition(w_inh=w, tau_ms=tau)
        for w, tau in ((0.5, 10.0), (0.9, 5.0), (1.5, 20.0))
    ],
    "explicit": [LateralInhibition(w_inh=BETWEEN * scale) for scale in (1.0, 0.5)],
    "dale": [
        DaleInhibition(w_ie=w, w_self=w, tau_inh_ms=tau, input_sign=0)
        for w, tau in ((0.5, 10.0), (0.9, 5.0))
    ],
}


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("lateral", "numpy"),
        ("explicit", "numpy"),
        ("dale", "numpy"),
        ("noise", "numpy"),
        pytest.param("lateral", "cython", marks=pytest.mark.slow),
        pytest.param("noise", "cpp", marks=pytest.mark.slow),
        pytest.param("noise", "cuda", marks=pytest.mark.gpu),
        pytest.param("dale", "cpp", marks=pytest.mark.slow),
        pytest.param("dale", "cuda", marks=pytest.mark.gpu),
    ],
)
def test_a_sweep_is_its_runs(name, backend):
    settings = {
        "plasticity": RULE,
        "stimulus": Presentation(image_ms=20.0, reset=False),
        "dt_ms": 0.25,
    }
    swept = neurodyn.sweep(SWEPT[name], IMAGES, FREE, backend=backend, **settings)
    configs = json.loads(swept.attrs["config"])
    for trial, circuit in enumerate(SWEPT[name]):
        one = neurodyn.simulate(circuit, IMAGES, FREE, backend="numpy", **settings)
        assert_same(
            one,
            swept.isel(trial=trial).drop_vars("trial"),
            atol=0.0 if backend == "numpy" else 1e-12,
        )
        config = json.loads(one.attrs["config"]) | {"backend": backend}
        assert configs[trial] == config


def test_the_traces_of_all_trials_count():
    recording = Recording(activity_ms=None, limit_gib=8 * 4 * 2 * 6 / 2**30)
    circuits = [LateralInhibition(), LateralInhibition(w_inh=0.3)]
    settings = {"recording": recording, "backend": "numpy"}
    neurodyn.sweep(circuits[:1], IMAGES, FREE, **settings)
    with pytest.raises(ValueError, match="8 x 12 x 8 bytes"):
        neurodyn.sweep(circuits, IMAGES, FREE, **settings)


def test_a_sweep_takes_the_shortest_of_the_default_steps():
    circuits = [LateralInhibition(tau_ms=tau) for tau in (10.0, 2.0)]
    short = Presentation(image_ms=20.0)
    swept = neurodyn.sweep(circuits, IMAGES, FREE, backend="numpy", stimulus=short)
    assert {one["dt_ms"] for one in json.loads(swept.attrs["config"])} == {0.1}


@pytest.mark.parametrize(
    "others",
    [
        DaleInhibition(input_sign=0),
        LateralInhibition(w_inh=BETWEEN),
        LateralInhibition(noise=0.1),
        LateralInhibition(tau_ms=np.full(6, 10.0)),
    ],
)
def test_circuits_of_different_structure_cannot_be_swept(others):
    with pytest.raises(ValueError, match="may differ only in the values of parameters"):
        neurodyn.sweep([LateralInhibition(), others], IMAGES, FREE, backend="numpy")
    with pytest.raises(ValueError, match="no circuits"):
        neurodyn.sweep([], IMAGES, FREE, backend="numpy")
