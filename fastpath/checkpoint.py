"""What a run leaves on disk: weights as safetensors, the rest as JSON and netCDF.

Every file appears whole or not at all: it is written beside its place, then renamed.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

WEIGHTS, CONFIG, METRICS, HISTORY = (
    "weights.safetensors",
    "config.json",
    "metrics.json",
    "history.nc",
)


def prepare(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of a run, before the run costs anything.

    Raises
    ------
    ValueError
        If it already holds a run and `overwrite` is False, or cannot be written to.
    """
    try:
        held = [name for name in (WEIGHTS, CONFIG, METRICS) if (folder / name).exists()]
        if held and not overwrite:
            raise ValueError(
                f"{folder} already holds a run ({', '.join(held)}): choose another --out, "
                "or give --overwrite to replace it"
            )
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --out"
        ) from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a place to write to; on success it becomes `path`, on failure nothing."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors as safetensors."""
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with _whole(path) as part:
        part.write_bytes(save(contiguous, metadata))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}: is this the folder of a run?") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or not safetensors: {error}") from error


def save_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object, readable by people too."""
    with _whole(path) as part:
        part.write_text(json.dumps(values, indent=2) + "\n")


def load_json(path: Path) -> dict[str, Any]:
    """Read what `save_json` wrote.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}: is this the folder of a run?") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is damaged or not JSON: {error}") from error


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as `.npz`."""
    with _whole(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def save_history(path: Path, history: xr.Dataset) -> None:
    """Write the history of training as netCDF."""
    with _whole(path) as part:
        history.to_netcdf(part, engine="h5netcdf")
