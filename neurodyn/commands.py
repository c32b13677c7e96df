"""The command `neurodyn`: simulate, backends."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from neurodyn import checks, checksum
from neurodyn.circuits.lateral import LateralInhibition
from neurodyn.engine import backends
from neurodyn.flags import parsed
from neurodyn.recording import Recording
from neurodyn.simulation import simulate
from neurodyn.stimulus import Presentation


@dataclass(frozen=True, kw_only=True)
class Simulate:
    """Show images to a circuit with trained weights; write its traces as netCDF."""

    weights: Path
    """weights.safetensors of a `fastpath` run, or .npy or .npz: `weights` (unit, pixel)."""
    images: Path
    """.npy or .npz: `images` (image, pixel), preprocessed (`fastpath export`)."""
    out: Path
    """netCDF file to write."""
    overwrite: bool = False
    """Replace the file if it exists."""
    num_images: int | None = None
    """Number of images to show, counted from the first [all]."""

    tau_ms: float = 10.0
    """Time constant of the hidden units [ms]."""
    w_inh: float = 0.9
    """Strength of lateral inhibition; at 1 or more, the winner takes all."""
    p: float | None = None
    """Exponent of the drive's metric [that of the weights file, else 2]."""
    image_ms: float = 1000.0
    """Time each image is shown [ms]."""
    rest_ms: float = 0.0
    """Time without input before each image [ms]."""
    carry_over: bool = False
    """Start each image from the activity at the end of the previous image."""
    dt_ms: float | None = None
    """Time step [ms] [the largest that is stable and accurate]."""
    activity_ms: float = 1.0
    """Sampling interval of the activity [ms]."""
    by_image: bool = True
    """Write activity by presentation, (image, time, unit); else (time, unit) of the run."""
    batch_size: int = 1
    """Images shown side by side, in copies of the circuit: faster, the same traces."""
    backend: Literal["numpy", "cython", "cpp", "cuda", "auto"] = "cython"
    """Backend of the simulation; auto: cython if there is a C++ compiler, else numpy."""
    limit_gib: float = 2.0
    """Largest size of the traces [GiB]; larger ones are refused."""


@dataclass(frozen=True, kw_only=True)
class Backends:
    """List which backends work on this machine, and why the others do not."""


def list_backends() -> None:
    """Run `neurodyn backends`."""
    for name in backends.NAMES:
        print(f"{name:<8} {backends.why_not(name) or 'works'}")


def run_simulate(command: Simulate) -> None:
    """Run `neurodyn simulate`."""
    from neurodyn import analysis

    if command.out.exists() and not command.overwrite:
        raise ValueError(
            f"{command.out} exists: choose another --out, or give --overwrite to replace it"
        )
    if command.num_images is not None:
        checks.at_least_one("num_images", command.num_images)
    images = _read(command.images, "images")
    weights = _read(command.weights, "weights")
    images = _first(images, command)
    result = simulate(
        LateralInhibition(tau_ms=command.tau_ms, w_inh=command.w_inh, p=_exponent(command)),
        images,
        weights,
        stimulus=Presentation(
            image_ms=command.image_ms,
            rest_ms=command.rest_ms,
            reset=not command.carry_over,
        ),
        backend=command.backend,
        dt_ms=command.dt_ms,
        recording=Recording(
            activity_ms=command.activity_ms,
            by_image=command.by_image,
            limit_gib=command.limit_gib,
        ),
        batch_size=command.batch_size,
        out=command.out,
    )
    active = analysis.active_units(result["final_activity"])
    print(f"{result.sizes['image']} images, {result.sizes['unit']} units")
    print(f"active units at the end: mean {active.mean():.2f}, most {active.max():d}")
    print(f"saved to {command.out}")


def _first(images: NDArray[Any], command: Simulate) -> NDArray[Any]:
    """Return the first `num_images` images."""
    number = command.num_images
    if number is None or not images.ndim:
        return images
    if number > len(images):
        raise ValueError(
            f"num_images is {number}, but {command.images} holds {len(images)}: give at "
            "most that number, or leave it out to show all"
        )
    return images[:number]


def _read(path: Path, name: str) -> NDArray[Any]:
    """Read one array from .safetensors, .npz (by name) or .npy."""
    readers = {".safetensors": _safetensors, ".npz": _npz, ".npy": _npy}
    if path.suffix not in readers:
        raise ValueError(f"{path}: a {', '.join(readers)} file is needed for the {name}")
    if not path.is_file():
        raise ValueError(f"there is no file {path} (the {name})")
    try:
        return readers[path.suffix](path, name)
    except KeyError:
        raise ValueError(f"{path} holds no array '{name}'") from None
    except checksum.Mismatch:
        raise
    except Exception as error:  # zipfile, zlib, NumPy and safetensors each have their own
        raise ValueError(f"{path} cannot be read: {error}") from error


def _exponent(command: Simulate) -> float:
    """Return p, which must not differ from the p in the metadata of the weights file."""
    from safetensors import safe_open

    path, trained = command.weights, None
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            trained = (file.metadata() or {}).get("p")
    if trained is None:
        return 2.0 if command.p is None else command.p
    try:
        p = float(trained)
    except ValueError:
        raise ValueError(
            f"the metadata of {path} have p = {trained!r}, which is not a number: write "
            "its weights to a .npy file, and give --p"
        ) from None
    if command.p not in (None, p):
        raise ValueError(
            f"p is {command.p:g}, but {path} was trained with p = {trained}: leave it out"
        )
    return p


def _safetensors(path: Path, name: str) -> NDArray[Any]:
    from safetensors import deserialize
    from safetensors.numpy import load

    content = path.read_bytes()
    kinds = {key: array["dtype"] for key, array in deserialize(content)}
    for key, kind in kinds.items():
        if kind.startswith(("BF16", "F8", "F4")):
            raise ValueError(
                f"'{key}' is {kind}, which NumPy does not have: save it as float32"
            )
    checksum.metadata_of(path, content)
    return load(content)[name]


def _npz(path: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as file, file.open(f"{name}.npy") as member:
        return _array(member)


def _npy(path: Path, _: str) -> NDArray[Any]:
    with path.open("rb") as file:
        return _array(file)


def _array(file: IO[bytes]) -> NDArray[Any]:
    """Read an array of numbers; reading Python objects could run code in the file."""
    version = np.lib.format.read_magic(file)
    headers = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    *_, kind = headers[version > (1, 0)](file)
    if kind.hasobject:
        raise ValueError("it holds Python objects: an array of numbers is needed")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _as_flags(command: type) -> Iterator[None]:
    """Name settings in error messages by their flags: --dt-ms, not dt_ms."""
    flags = {field.name: f"--{field.name.replace('_', '-')}" for field in fields(command)}
    flags |= {"reset=False": flags["carry_over"], "by_image=False": "--no-by-image"}
    names = "|".join(
        name for name in sorted(flags, reverse=True) if re.search("[_=]", name)
    )
    try:
        yield
    except ValueError as error:
        pattern = rf"(?<![\w-])({names})\b"
        error.args = (re.sub(pattern, lambda match: flags[match[0]], str(error)),)
        raise


type Command = (
    Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Backends, tyro.conf.subcommand("backends")]
)


def run(args: Sequence[str] | None) -> None:
    """Run a command line."""
    match parsed(Command, args, prog="neurodyn", description=__doc__):
        case Simulate() as command:
            with _as_flags(Simulate):
                run_simulate(command)
        case Backends():
            list_backends()
