"""CUDA: what is found and said without it, what is generated, compiled, run with it."""

import shutil
import subprocess

import numpy as np
import pytest
from scipy import sparse

from neurodyn import (
    Continuous,
    DaleInhibition,
    DiehlCook,
    Gated,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    PoissonPresentation,
    Presentation,
    Recording,
    SpikingInhibition,
)
from neurodyn.engine import backends, cuda, execute, spec, spiking

BETWEEN = np.random.default_rng(5).random((6, 6)) * (1 - np.eye(6))


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with CUDA 13.0 and a GPU, made of scripts; nothing else is on its PATH."""
    toolkit, programs = tmp_path / "toolkit", tmp_path / "bin"
    script(toolkit / "bin/nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.88'")
    (toolkit / "include").mkdir()
    (toolkit / "lib64").mkdir()
    for name in ("include/cuda_runtime.h", "include/curand.h", "lib64/libcurand.so.10"):
        (toolkit / name).touch()
    smi = (
        'if [ "$1" = "" ]; then echo "CUDA Version: 13.0"; '
        "else echo 'NVIDIA H200, 9.0, 580.65.06'; fi"
    )
    script(programs / "nvidia-smi", smi)
    script(programs / "make", "exit 0")
    monkeypatch.setenv("PATH", f"{programs}")
    monkeypatch.setenv("CUDA_PATH", str(toolkit))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(cuda, "USUAL_FOLDER", str(tmp_path / "nowhere"))
    monkeypatch.setattr(cuda.sysconfig, "get_path", lambda _: str(tmp_path / "site"))
    return tmp_path


def test_a_whole_machine_works(machine):
    toolkit, gpu = cuda.find_toolkit(), cuda.find_gpu()
    assert toolkit.path == machine / "toolkit"
    assert toolkit.version == (13, 0)
    assert toolkit.curand_library.name == "libcurand.so.10"
    assert (gpu.name, gpu.capability) == ("NVIDIA H200", "9.0")
    assert cuda.why_not() is None
    assert backends.resolve("cuda") == "cuda"


def test_curand_is_also_looked_for_among_pythons_packages(machine):
    (machine / "toolkit/include/curand.h").unlink()
    assert "it needs curand, which is neither in" in cuda.why_not()
    package = machine / "site/nvidia/cu13"
    for name in ("include/curand.h", "lib/libcurand.so.10"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    assert cuda.why_not() is None
    assert cuda.find_toolkit().curand_include == package / "include"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: (m / "toolkit/bin/nvcc").unlink(), "compiler nvcc, which is neither on"),
        (
            lambda m: script(m / "toolkit/bin/nvcc", "echo release 11.8, V11.8.1"),
            "is of CUDA 11.8, which is too old: install 12.0 or newer",
        ),
        (lambda m: script(m / "toolkit/bin/nvcc", "exit 1"), "does not say which release"),
        (lambda m: (m / "bin/make").unlink(), "it needs make"),
        (lambda m: (m / "bin/nvidia-smi").unlink(), "an NVIDIA GPU with its driver"),
        (lambda m: script(m / "bin/nvidia-smi", "exit 9"), "an NVIDIA GPU with its driver"),
        (
            lambda m: script(
                m / "bin/nvidia-smi",
                'if [ "$1" = "" ]; then echo "CUDA Version: 12.4"; '
                "else echo 'NVIDIA H200, 9.0, 550.1'; fi",
            ),
            "the driver 550.1 runs CUDA up to 12.4, but nvcc is of CUDA 13.0: update",
        ),
    ],
)
def test_what_is_missing_is_said(machine, change, said):
    change(machine)
    assert said in cuda.why_not()
    with pytest.raises(ValueError, match=r"backend 'cuda' cannot run here: .* 'auto'"):
        backends.resolve("cuda")


def test_without_brian2cuda_that_is_said(machine, monkeypatch):
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda _: None)
    assert "it needs brian2cuda, which is not installed" in cuda.why_not()


REDUCED = KrotovHopfield(timing=Continuous())
PROGRAMS = {
    "static": (LateralInhibition(), {}),
    "subtotals": (LateralInhibition(), {}),
    "settled": (LateralInhibition(), {"feedforward": KrotovHopfield()}),
    "some synapses": (
        LateralInhibition(w_inh=BETWEEN),
        {"feedforward": KrotovHopfield(timing=Gated(last_ms=10.0))},
    ),
    "reduced": (LateralInhibition(noise=0.1), {"feedforward": REDUCED}),
    "every synapse": (
        LateralInhibition(p=3.0, input_sign=1, noise=0.1, w_inh=BETWEEN),
        {
            "feedforward": KrotovHopfield(p=3.0, timing=Gated(last_ms=10.0)),
            "lateral": Homeostatic(),
        },
    ),
    "dale": (
        DaleInhibition(
            num_inh=3, w_ii=0.1, w_ee=0.01, noise=0.1, tau_exc_ms=np.linspace(8, 12, 6)
        ),
        {"feedforward": KrotovHopfield(), "inh_to_exc": Homeostatic()},
    ),
}


def program(name, folder, *, make, monkeypatch):
    """Write a program; with `make` compile it, one that records little, to be quick."""
    rng = np.random.default_rng(6)
    circuit, rules = PROGRAMS[name]
    recording = Recording(weights_every=2 if rules else None, norms=bool(rules))
    if make:
        recording = Recording(activity_ms=None, norms=bool(rules))
    monkeypatch.setattr(backends, "resolve", lambda backend: backend)  # without a GPU
    num_units = 600 if name == "subtotals" else 6
    weights = rng.random((num_units, 7))
    if name == "some synapses":
        weights = sparse.csr_array(weights * (weights > 0.3))
    job = spec.validate(
        circuit,
        rng.random((4, 7)),
        weights,
        plasticity=rules,
        stimulus=Presentation(image_ms=20.0, rest_ms=5.0),
        order=None,
        recording=recording,
        backend="cuda",
        dt_ms=0.01,
        batch_size=1,
        seed=0,
    )
    execute.write_source(job, folder, make=make)
    return sorted(path.stem for path in folder.glob("code_objects/*.cu"))


# brian2cuda leaves it to Python to close the files that it writes.
unclosed_files = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@unclosed_files
@pytest.mark.parametrize("name", PROGRAMS)
def test_source_is_generated_without_a_gpu(name, machine, monkeypatch):
    """For each of a circuit's and a rule's parts there is a kernel; nothing is dropped."""
    import brian2 as b2

    names = ("codegen.cpp.extra_compile_args_gcc", "codegen.cpp.extra_link_args")
    before = b2.get_device(), [b2.prefs[name] for name in names]
    kernels = program(name, machine / "source", make=False, monkeypatch=monkeypatch)
    expected = ["hidden_stateupdater", "feedforward_summed_variable_I_post"]
    circuit, rules = PROGRAMS[name]
    gains = name in ("settled", "some synapses", "every synapse")
    expected += ["drive_run_regularly"] if gains else []
    expected += ["learner_run_regularly"] if name == "reduced" else []
    expected += ["feedforward_run_regularly"] if rules else []
    expected += ["lateral_run_regularly"] if "lateral" in rules else []
    expected += ["inh_to_exc_run_regularly"] if "inh_to_exc" in rules else []
    expected += ["adding_summed", "totalling_summed"] if name == "subtotals" else []
    for part in expected:
        assert any(kernel.startswith(part) for kernel in kernels), (part, kernels)
    sources = (machine / "source/code_objects").glob("hidden_*.cu")
    assert any("neurodyn_normal(" in source.read_text() for source in sources) == (
        circuit.noise > 0
    )
    makefile = (machine / "source/makefile").read_text()
    assert "-std=c++17" in makefile
    assert "-arch=sm_90" in makefile
    assert (b2.get_device(), [b2.prefs[name] for name in names]) == before


def spiking_program(folder):
    """Write the program of a spiking network that learns, with noise and all records."""
    layout = spiking.Layout(
        circuit=SpikingInhibition(noise_mv=1.0),
        rule=DiehlCook(total=5.0),
        adapts=True,
        stimulus=PoissonPresentation(),
        num_units=5,
        num_pixels=9,
        copies=1,
        rows=16,
        spikes=("exc", "input"),
        samples_ms=1.0,
        backend=backends.Backend(name="cuda"),
        dt_ms=0.5,
    )
    with backends.activated("cuda", folder=folder, make=False) as compiler:
        compiler(spiking.build(layout).objects)
    return sorted((folder / "code_objects").glob("*.cu"))


@unclosed_files
def test_the_source_of_spiking_cells_is_generated_without_a_gpu(machine):
    kernels = spiking_program(machine / "source")
    names = {path.name.split("_codeobject")[0] for path in kernels}
    cells = ("stateupdater", "spike_thresholder", "spike_resetter", "run_regularly")
    assert {
        f"{group}_{part}" for group in ("exc", "inh", "pixels") for part in cells
    } <= names
    synapses = {"feedforward_pre", "feedforward_post", "exc_to_inh_pre", "inh_to_exc_pre"}
    assert synapses | {"counter_pre", "feedforward_run_regularly"} <= names
    assert {"presenter_run_regularly", "exc_spikes_monitor", "count_monitor"} <= names
    assert "feedforward_summed_variable_total_post" in names
    uses = [path.name for path in kernels if "neurodyn_uniform(" in path.read_text()]
    assert {name.split("_codeobject")[0] for name in uses} >= {
        "pixels_run_regularly",
        "pixels_spike_resetter",
    }
    # There is only one clock of time steps, and it has another name.
    assert not [path.name for path in kernels if "defaultclock." in path.read_text()]


@unclosed_files
def test_synapses_that_write_to_cells_at_once_are_refused(machine):
    import brian2 as b2

    said = r"'total_run_regularly': many synapses would .* sum a variable"
    with backends.activated("cuda", folder=machine / "source", make=False) as compiler:
        cells = b2.NeuronGroup(3, "total : 1", name="cells")
        synapses = b2.Synapses(cells, cells, "W : 1", name="total")
        synapses.connect()
        synapses.run_regularly("total_post += W", dt=1 * b2.ms)
        with pytest.raises(ValueError, match=said):
            compiler([cells, synapses])


needs_nvcc = pytest.mark.skipif(
    shutil.which("nvcc") is None, reason="no CUDA toolkit: nvcc is not on the PATH"
)


@unclosed_files
@pytest.mark.slow
@needs_nvcc
def test_synapses_of_spiking_cells_compile(tmp_path):
    """And the resetter of pixels, which draws random numbers."""
    names = ("feedforward_pre", "feedforward_post", "pixels_spike_resetter")
    chosen = [path for path in spiking_program(tmp_path) if path.name.startswith(names)]
    targets = [f"code_objects/{path.stem}.o" for path in chosen if "push" not in path.name]
    assert len(targets) == len(names)
    subprocess.run(["make", "-j2", *targets], cwd=tmp_path, check=True)


@unclosed_files
@pytest.mark.slow
@needs_nvcc
def test_the_source_compiles_and_links(tmp_path, monkeypatch):
    """Minutes on two cores; the program starts, and finds no GPU if there is none.

    It has noise, sums over senders and over pixels, and updates by rows of both kinds.
    """
    program("every synapse", tmp_path, make=True, monkeypatch=monkeypatch)
    sources = sorted((tmp_path / "code_objects").glob("*.cu"))
    by_rows = [path for path in sources if "_columns =" in path.read_text()]
    assert {path.name.split("_codeobject")[0] for path in by_rows} == {
        "feedforward_run_regularly",
        "feedforward_summed_variable_I_post",
        "feedforward_summed_variable_norm_p_post",
        "lateral_run_regularly",
        "lateral_summed_variable_inhibition_post",
    }
    started = subprocess.run([tmp_path / "main"], capture_output=True, cwd=tmp_path)
    assert b"error while loading shared libraries" not in started.stderr
