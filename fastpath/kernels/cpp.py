"""The learning step in C++, on one CPU core: `step.cpp`, built once and cached.

`augment.cpp` is built with it.

The shared library goes to the user's cache folder, under a name made of its source, the
compiler and the processor; without a compiler, or where that folder cannot be written,
`why_not` says so and `pytorch` serves. The library is plain C functions on pointers:
nothing of PyTorch is compiled, so the build takes two seconds and outlives its versions.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Int32, UInt8
from torch import Tensor

from fastpath.competition import (
    Competition,
    Equilibrium,
    Ranking,
    RunnersUp,
    Soft,
    activation,
    sparse,
)
from fastpath.data.preprocess import Preprocess
from fastpath.kernels import Changes, Learners
from fastpath.kernels.pytorch import all_changes
from fastpath.plasticity import Normalize, step_size
from neurodyn import compiled

SOURCE = Path(__file__).with_name("step.cpp")
AUGMENT = SOURCE.with_name("augment.cpp")
HEADERS = SOURCE.with_name("soft.hpp"), SOURCE.with_name("apply.hpp")
# Without -fno-trapping-math a comparison keeps a loop from being vectorized. It changes no
# value, only when the flags of floating-point errors are set, which nothing reads.
FLAGS = ("-O3", "-march=native", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
DTYPES = {torch.float32: "float32", torch.float64: "float64"}

POINTER, INT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
FUNCTIONS: dict[str, tuple[type | None, list[type]]] = {
    "prepare": (INT, [POINTER, INT, POINTER, INT, INT, POINTER, INT, INT, POINTER]),
    "rank": (INT, [POINTER, INT, INT, INT, INT, DOUBLE] + [POINTER] * 4),
    "settle": (INT, [POINTER, INT, INT, DOUBLE, DOUBLE, DOUBLE] + [POINTER] * 4),
    "changes": (INT, [POINTER] * 4 + [INT] + [POINTER] * 2 + [INT, INT] + [POINTER] * 3),
    "soft": (None, [POINTER, INT, INT, DOUBLE, INT, DOUBLE, POINTER, POINTER]),
    "finish": (DOUBLE, [POINTER, POINTER, INT, INT, POINTER]),
    "apply": (None, [POINTER, INT, POINTER, DOUBLE, DOUBLE, INT, DOUBLE, POINTER, POINTER]),
}


def why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the C++ step cannot serve here, or None if it can."""
    if device.type != "cpu":
        return f"it runs on the CPU, not on '{device.type}'"
    if dtype not in DTYPES:
        return f"it is compiled for float32 and float64, not for {dtype}"
    library = _library()
    return library if isinstance(library, str) else None


@functools.cache
def _library() -> ctypes.CDLL | str:
    """Return the library, built if it was not yet; or why there is none."""
    named = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next(filter(None, map(shutil.which, named)), None)
    if compiler is None:
        return "there is no C++ compiler (c++, g++, clang++ or $CXX)"
    try:
        path = _cached(compiler)
        if not path.exists():
            _build(compiler, path)
        return _declared(ctypes.CDLL(str(path)))
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        return f"it cannot be built with {compiler} ({' '.join(str(reason).split())[:200]})"


def _cached(compiler: str) -> Path:
    sources = (source.read_text() for source in (SOURCE, AUGMENT, *HEADERS))
    name = compiled.digest(*sources, compiled.version([compiler]), *FLAGS)[:16]
    return compiled.folder("kernels") / f"step-{name}.so"


def _build(compiler: str, path: Path) -> None:
    """Compile beside the place, then rename: processes that build at once do no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as folder:
        part = Path(folder) / path.name
        subprocess.run(
            [compiler, *FLAGS, str(SOURCE), str(AUGMENT), "-o", str(part)],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        part.replace(path)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in FUNCTIONS.items():
        for dtype in DTYPES.values():
            function = getattr(library, f"{name}_{dtype}")
            function.restype, function.argtypes = result, arguments
    library.augment.restype = None
    library.augment.argtypes = [POINTER, POINTER, INT, INT, INT, INT, POINTER]
    return library


def augment(
    x: UInt8[Tensor, "image *shape"],
    draws: Int32[Tensor, "image 12"],
    out: UInt8[Tensor, "image *shape"],
) -> None:
    """Change images as drawn (`data.augment`), into `out`; all three are contiguous."""
    library = _library()
    assert not isinstance(library, str), library  # `why_not` was asked
    number, height, width, *channels = x.shape
    pointers = x.data_ptr(), draws.data_ptr()
    size = number, height, width, *(channels or [1])
    library.augment(*pointers, *size, out.data_ptr())


class CppKernels:
    """The four parts of a step in C++, with every buffer kept from one step to the next."""

    name = "cpp"

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        library = _library()
        assert not isinstance(library, str), library  # `why_not` was asked
        functions = [getattr(library, f"{name}_{DTYPES[dtype]}") for name in FUNCTIONS]
        self._prepare, self._rank, self._settle, self._changes = functions[:4]
        self._soft, self._finish, self._apply = functions[4:]
        self._dtype = dtype
        number = ctypes.c_float if dtype == torch.float32 else ctypes.c_double
        self._largest = (number * 1)()
        self._found = _new_learners(0, dtype)
        self._buffers: dict[str, Tensor] = {}

    def prepare(
        self,
        x: UInt8[Tensor, "all pixel"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
        out: Float[Tensor, "image pixel"],
    ) -> Float[Tensor, "image pixel"]:
        """Write images x[index], as the layer sees them, to `out`."""
        x, index, mean = x.contiguous(), index.contiguous(), mean.contiguous()
        stopped = self._prepare(
            x.data_ptr(),
            x.shape[0],
            index.data_ptr(),
            *out.shape,
            mean.data_ptr() if preprocess.subtract_mean else None,
            preprocess.center_images,
            preprocess.unit_norm,
            out.data_ptr(),
        )
        if stopped >= 0:
            raise IndexError(f"there is no image {index[stopped]}: there are {len(x)}")
        return out

    def learners(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Learners | None:
        """Return who learns, or None where it is as well said by all of g."""
        num_images, num_units = drive.shape
        rule: Any = competition
        # By the exact class: a subclass may decide otherwise.
        if type(rule) is Ranking:
            found, pointers = self._learners(rule.per_image * num_images)
            settings, find = (rule.k, rule.k, rule.delta), self._rank
        elif type(rule) is RunnersUp:
            found, pointers = self._learners(rule.per_image * num_images)
            settings, find = (2, rule.k + 1, rule.delta), self._rank
        elif type(rule) is Equilibrium:
            found, pointers = self._learners(drive.numel())
            settings, find = (rule.w_inh, rule.h_star, rule.delta), self._settle
        else:
            return sparse(competition, drive, fixed_size=False)
        n = find(drive.data_ptr(), num_images, num_units, *settings, *pointers)
        return found if n == found.unit.shape[0] else Learners(*[p[:n] for p in found])

    def activation(
        self, competition: Competition, drive: Float[Tensor, "image unit"]
    ) -> Float[Tensor, "image unit"]:
        """Return all of g, where `learners` said None."""
        return activation(competition, drive)

    def changes(
        self,
        learners: Learners,
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of the units that learn (eq. 3), summed over the mini-batch."""
        num_units, num_pixels = weights.shape
        found, pointers = self._found
        if learners is not found:
            learners = Learners(*[part.contiguous() for part in learners])
            pointers = [part.data_ptr() for part in learners]
        num_learners = learners.unit.shape[0]
        most = min(num_units, num_learners)
        rows = self._buffer("rows", most, torch.int64)
        change = self._buffer("change", most * num_pixels, self._dtype)
        n = self._changes(
            *pointers,
            num_learners,
            images.data_ptr(),
            weights.data_ptr(),
            num_units,
            num_pixels,
            rows.data_ptr(),
            change.data_ptr(),
            self._largest,
        )
        shaped = change[: n * num_pixels].view(n, num_pixels)
        return Changes(rows[:n], shaped, self._largest[0])

    def all_changes(
        self,
        competition: Competition,
        drive: Float[Tensor, "image unit"],
        images: Float[Tensor, "image pixel"],
        weights: Float[Tensor, "unit pixel"],
    ) -> Changes:
        """Return ΔW of all units (eq. 3), summed over the mini-batch."""
        rule: Any = competition
        if type(rule) is not Soft:
            return all_changes(self, competition, drive, images, weights)
        num_units, num_pixels = weights.shape
        g = self._buffer("g", drive.numel(), self._dtype)[: drive.numel()].view_as(drive)
        decay = self._buffer("decay", num_units, self._dtype)
        self._soft(
            drive.data_ptr(),
            *drive.shape,
            rule.temperature,
            rule.anti,
            rule.delta,
            g.data_ptr(),
            decay.data_ptr(),
        )
        change = self._buffer("all changes", weights.numel(), self._dtype)
        change = change[: weights.numel()].view_as(weights)
        torch.mm(g.T, images, out=change)
        most = self._finish(
            decay.data_ptr(), weights.data_ptr(), num_units, num_pixels, change.data_ptr()
        )
        return Changes(None, change, most)

    def apply(
        self,
        changes: Changes,
        weights: Float[Tensor, "unit pixel"],
        signed_powers: Float[Tensor, "unit pixel"],
        *,
        p: float,
        lr: Float[Tensor, ""] | float,
        normalize: Normalize,
        rate_power: float = 0.0,
    ) -> None:
        """Add ε ΔW, or ε ΔW / max|ΔW|, and renew sign(W)|W|^(p−1) of the rows."""
        rows, change, most = changes
        self._apply(
            None if rows is None else rows.data_ptr(),
            change.shape[0],
            change.data_ptr(),
            float(step_size(most, lr=lr, normalize=normalize)),
            rate_power,
            weights.shape[1],
            p,
            weights.data_ptr(),
            signed_powers.data_ptr(),
        )

    def _learners(self, most: int) -> tuple[Learners, list[int]]:
        """Return memory for so many learners or more, and where it lies."""
        if self._found[0].unit.shape[0] < most:
            self._found = _new_learners(most, self._dtype)
        return self._found

    def _buffer(self, name: str, size: int, dtype: torch.dtype) -> Tensor:
        held = self._buffers.get(name)
        if held is None or held.shape[0] < size:
            held = self._buffers[name] = torch.empty(size, dtype=dtype)
        return held


def _new_learners(size: int, dtype: torch.dtype) -> tuple[Learners, list[int]]:
    learners = Learners(
        torch.empty(size, dtype=torch.int64),
        torch.empty(size, dtype=torch.int64),
        torch.empty(size, dtype=dtype),
        torch.empty(size, dtype=dtype),
    )
    return learners, [part.data_ptr() for part in learners]
