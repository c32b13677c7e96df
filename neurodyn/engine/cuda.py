"""CUDA on this machine: the parts that brian2cuda needs, and settings to compile with.

brian2cuda 1.0b1 asks for C++11, which the headers of CUDA 13 refuse, and for the random
number library curand, which some toolkits come without; NVIDIA's Python packages (those
that PyTorch brings) have it too. `preferences` sets what works with CUDA 12 and 13.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OLDEST = (12, 0)
WRITES_TO_CELLS = re.compile(r"\[_(pre|post)synaptic_idx\] = ")
USUAL_FOLDER = "/usr/local/cuda"
ASSUMED_CAPABILITY = "9.0"  # to generate and compile code on a machine without a GPU


@dataclass(frozen=True, kw_only=True)
class Toolkit:
    """The CUDA toolkit of this machine."""

    path: Path
    version: tuple[int, int]
    curand_include: Path
    curand_library: Path
    """The shared library itself, which may carry a version in its name."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The GPU of this machine, and its driver."""

    name: str
    capability: str
    driver: str
    cuda_version: tuple[int, int]
    """The newest CUDA that its driver runs."""


def why_not() -> str | None:
    """Return why CUDA programs cannot be compiled and run here, or None if they can."""
    try:
        toolkit, gpu = find_toolkit(), find_gpu()
    except ValueError as error:
        return str(error)
    if gpu.cuda_version < (toolkit.version[0], 0):
        return (
            f"the driver {gpu.driver} runs CUDA up to {dotted(gpu.cuda_version)}, but nvcc "
            f"is of CUDA {dotted(toolkit.version)}: update the driver, or install an older "
            "toolkit and set CUDA_PATH to it"
        )
    return None


def find_toolkit() -> Toolkit:
    """Return the CUDA toolkit of this machine.

    Raises
    ------
    ValueError
        If brian2cuda, nvcc, make or curand is missing, or nvcc too old.
    """
    if importlib.util.find_spec("brian2cuda") is None:
        raise ValueError(
            "it needs brian2cuda, which is not installed: pip install 'neurodyn[cuda]'"
        )
    nvcc = _nvcc()
    if nvcc is None:
        raise ValueError(
            "it needs NVIDIA's compiler nvcc, which is neither on the PATH nor in "
            "CUDA_PATH/bin: install the CUDA toolkit, or set CUDA_PATH to it"
        )
    printed = _output(str(nvcc), "--version")
    release = re.search(r"release (\d+)\.(\d+)", printed or "")
    if not release:
        raise ValueError(f"{nvcc} --version does not say which release it is")
    version = int(release[1]), int(release[2])
    if version < OLDEST:
        raise ValueError(
            f"{nvcc} is of CUDA {dotted(version)}, which is too old: install "
            f"{dotted(OLDEST)} or newer, or set CUDA_PATH to one"
        )
    if shutil.which("make") is None:
        raise ValueError("it needs make, which is not on the PATH")
    include, library = _curand(nvcc.parent.parent)
    return Toolkit(
        path=nvcc.parent.parent,
        version=version,
        curand_include=include,
        curand_library=library,
    )


def find_gpu() -> Gpu:
    """Return the first GPU of this machine.

    Raises
    ------
    ValueError
        If there is none, or no driver.
    """
    query = _output(
        "nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"
    )
    summary = _output("nvidia-smi")
    if query is None or summary is None:
        raise ValueError("it needs an NVIDIA GPU with its driver: nvidia-smi finds none")
    name, capability, driver = (part.strip() for part in query.splitlines()[0].split(","))
    newest = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", summary)
    return Gpu(
        name=name,
        capability=capability,
        driver=driver,
        cuda_version=(int(newest[1]), int(newest[2])) if newest else OLDEST,
    )


def dotted(version: tuple[int, int]) -> str:
    """Return a version as text, such as 12.4."""
    return ".".join(map(str, version))


@contextmanager
def preferences(directory: str) -> Iterator[None]:
    """Set Brian2's preferences for CUDA, with links to libraries in `directory`.

    Raises
    ------
    ValueError
        As `find_toolkit`.
    """
    import brian2 as b2
    import brian2cuda  # noqa: F401, registers the device

    toolkit = find_toolkit()
    try:
        capability = find_gpu().capability
    except ValueError:
        capability = ASSUMED_CAPABILITY
    # Links to curand alone: its folder may also have headers of another CUDA than nvcc's.
    links = Path(directory, "curand")
    if not links.exists():
        links.mkdir(parents=True)
        (links / "libcurand.so").symlink_to(toolkit.curand_library)
        for header in toolkit.curand_include.glob("curand*.h"):
            (links / header.name).symlink_to(header)
    rpath = f"-Xlinker -rpath -Xlinker {toolkit.curand_library.parent}"
    backend = "devices.cuda_standalone.cuda_backend"
    settings = {
        f"{backend}.detect_gpus": False,
        f"{backend}.gpu_id": 0,
        f"{backend}.detect_cuda": False,
        f"{backend}.cuda_path": str(toolkit.path),
        f"{backend}.cuda_runtime_version": float(dotted(toolkit.version)),
        f"{backend}.compute_capability": float(capability),
        f"{backend}.extra_compile_args_nvcc": [
            "-w",
            "-std=c++17",
            f"-I{links}",
        ],
        # Brian2's own ask for C++11 too. No -ffast-math: nvcc's part has none either.
        "codegen.cpp.extra_compile_args_gcc": ["-w", "-O3", "-std=c++17"],
        "codegen.cpp.extra_link_args": [f"-L{links}", rpath],
        "devices.cpp_standalone.extra_make_args_unix": [f"-j{os.cpu_count() or 1}"],
    }
    before = {name: b2.prefs[name] for name in settings}
    for name, value in settings.items():
        b2.prefs[name] = value
    try:
        yield
    finally:
        for name, value in before.items():
            b2.prefs[name] = value


def mend(device: Any) -> None:
    """Mend the code that brian2cuda has generated; it is not written yet.

    Where spikes act through synapses, brian2cuda counts the steps of `defaultclock`, which
    is missing from a program that has other clocks only.

    Raises
    ------
    ValueError
        If code that runs for all synapses writes to the cells that they connect: brian2cuda
        lets several write to a cell at once, and all but one are lost.
    """
    for code_object in device.code_objects.values():
        source = getattr(code_object.code, "cu_file", "")
        if code_object.template_name == "stateupdate" and WRITES_TO_CELLS.search(source):
            name = code_object.name.removesuffix("_codeobject")
            raise ValueError(
                f"backend 'cuda' cannot run '{name}': many synapses would write to a cell "
                "at once; let them sum a variable instead, as 'total_post = W : 1 (summed)'"
            )
        if "defaultclock." in source:
            own = f"{code_object.owner.clock.name}."
            code_object.code.cu_file = source.replace("defaultclock.", own)


def _nvcc() -> Path | None:
    """Return the nvcc of a toolkit; that on the PATH may be only a script."""
    folders = [os.environ.get(name) for name in ("CUDA_PATH", "CUDA_HOME")]
    if on_path := shutil.which("nvcc"):
        folders.append(str(Path(on_path).resolve().parent.parent))
    for folder in (*folders, USUAL_FOLDER):
        if folder and Path(folder, "include/cuda_runtime.h").is_file():
            nvcc = Path(folder, "bin/nvcc")
            if nvcc.is_file():
                return nvcc
    return None


def _curand(toolkit: Path) -> tuple[Path, Path]:
    """Return curand's include folder and library, of the toolkit or a Python package."""
    site = Path(sysconfig.get_path("purelib"), "nvidia")
    folders = [toolkit, *sorted(site.glob("*"), reverse=True)]
    for folder in folders:
        for include in (folder / "include", *folder.glob("targets/*/include")):
            if not (include / "curand.h").is_file():
                continue
            for library in ("lib64", "lib", "../lib"):
                libraries = sorted((include.parent / library).glob("libcurand.so*"))
                if libraries:
                    return include, libraries[0].resolve()
    raise ValueError(
        f"it needs curand, which is neither in {toolkit} nor among Python's packages: pip "
        "install nvidia-curand"
    )


def _output(*command: str) -> str | None:
    """Return what a program prints, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout.strip() else None
