"""The Triton kernels without a GPU: interpreted, and compiled for one that is not there."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastpath import kernels
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Changes
from fastpath.kernels import triton as step

triton = pytest.importorskip("triton")


@pytest.mark.slow
def test_the_kernels_agree_with_plain_in_the_interpreter():
    file = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=file.parents[2],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


POINTERS = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
}


class Compiling(step.TritonKernels):
    """Compiles for an H100 or H200, with ptxas, what `TritonKernels` would launch."""

    def __init__(self, dtype):
        super().__init__(torch.device("meta"), dtype)
        self.compiled = []

    def _launch(self, kernel, grid, *args, **constants):
        from triton.backends.compiler import GPUTarget

        names, sizes = kernel.arg_names, dict(constants)
        given = dict(zip(names, args, strict=False))
        # Triton makes a constant of every argument that is None or 1.
        fixed = {
            name: value
            for name, value in given.items()
            if value is None or (type(value) is int and value == 1)
        }
        constants |= fixed
        types = {
            name: POINTERS[value.dtype] if isinstance(value, torch.Tensor) else "i32"
            for name, value in given.items()
        }
        types |= dict.fromkeys(constants, "constexpr")
        aligned = {
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(names)
            if types[name].startswith("*")
        }
        source = triton.compiler.ASTSource(
            kernel, {name: types[name] for name in names}, constants, aligned
        )
        options = step._options(sizes)
        target = GPUTarget("cuda", 90, 32)
        built = triton.compile(source, target=target, options=options)
        assert built.asm["cubin"]
        self.compiled.append((kernel.__name__, constants, built.asm["ptx"]))


def compiled_step(dtype, num_units, num_pixels, *, exponents, num_images=100):
    def empty(*shape, dtype=dtype):
        return torch.empty(shape, dtype=dtype, device="meta")

    step = Compiling(dtype)
    weights, drive = empty(num_units, num_pixels), empty(num_images, num_units)
    images = step.prepare(
        empty(60_000, num_pixels, dtype=torch.uint8),
        empty(num_images, dtype=torch.int64),
        Preprocess(subtract_mean=True, center_images=True, unit_norm=True),
        empty(num_pixels),
        empty(num_images, num_pixels),
    )
    for rule in (Equilibrium(), Equilibrium(w_inh=1.5), Soft(anti=True)):
        assert step.learners(rule, drive) is None
        step.activation(rule, drive)
    changes = step.changes(step.learners(Ranking(k=7), drive), images, weights)
    for p in exponents:
        step.apply(changes, weights, weights, p=p, lr=0.04, normalize="max")
    every = Changes(None, weights, empty())
    step.apply(every, weights, weights, p=3.0, lr=0.04, normalize="max")
    return step.compiled


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="interpreted")
@pytest.mark.parametrize(
    ("dtype", "num_units", "num_pixels", "exponents"),
    [
        pytest.param(
            torch.float32, 2000, 784, [2.0, 2.5, 3.0, 4.0, 5.5], marks=pytest.mark.slow
        ),
        pytest.param(torch.float32, 16_000, 12_288, [3.0], marks=pytest.mark.slow),
        pytest.param(torch.float64, 2000, 784, [2.5, 5.5], marks=pytest.mark.slow),
        (torch.float32, 1, 1, [3.0]),
    ],
)
def test_every_kernel_compiles(
    dtype, num_units, num_pixels, exponents, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    built = compiled_step(dtype, num_units, num_pixels, exponents=exponents)
    assert len(built) == 7 + len(exponents)
    # Nothing is rounded to float32 on its way, nor is a float32 step slowed by float64.
    other = "f64" if dtype == torch.float32 else "f32"
    arithmetic = re.compile(rf"\b(add|sub|mul|fma|div|cvt)\.\S*{other}\b")
    for name, constants, ptx in built:
        if constants.get("p") != 5.5:  # a float32 power is taken in float64
            assert not arithmetic.search(ptx), (name, constants)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="interpreted")
@pytest.mark.parametrize(
    "shape", [(28, 28, 1), pytest.param((32, 32, 3), marks=pytest.mark.slow)], ids=str
)
def test_the_kernel_that_changes_images_compiles(shape, tmp_path, monkeypatch):
    from fastpath.kernels import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    x = torch.empty(60_000, *shape, dtype=torch.uint8, device="meta")
    draws = torch.empty(60_000, 12, dtype=torch.int32, device="meta")
    compiling = Compiling(torch.float32)
    size = triton.next_power_of_2(x[0].numel())
    compiling._launch(triton_kernels.augment, (1,), x, draws, x, *shape, PIXELS=size)
    [(_, _, ptx)] = compiling.compiled
    assert not re.search(r"\.f(32|64)\b", ptx)  # whole numbers only


def test_it_says_why_it_cannot_serve(monkeypatch):
    cuda = torch.device("cuda")
    assert step.why_not(cuda, torch.float32) is None
    assert "not on 'cpu'" in step.why_not(torch.device("cpu"), torch.float32)
    assert "not for torch.float16" in step.why_not(cuda, torch.float16)
    monkeypatch.setattr(step.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in step.why_not(cuda, torch.float32)


def test_it_is_refused_where_it_cannot_serve():
    with pytest.raises(ValueError, match="it runs on CUDA, not on 'cpu': leave it away"):
        kernels.choose(torch.device("cpu"), torch.float32, "triton")


def test_triton_is_imported_by_no_module_but_the_kernels():
    package = Path(step.__file__).parents[1]
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                loaded = ast.unparse(node)
                assert file.stem == "triton_kernels" or "triton" not in loaded, file
                assert "triton_kernels" not in loaded, file
