"""The files of a run: weights as safetensors, all others as JSON and netCDF.

Every file appears whole or not at all: it is written under a temporary name, then renamed.
An unfinished run has `checkpoint.safetensors`: its state and its configuration. A finished
run has the other files and no checkpoint.

Each file holds its SHA-256 sum where other readers ignore it: safetensors in the metadata,
netCDF behind the end of the data, JSON under "sha256" if the values have such an entry.
Files of older versions have no sum and are read unchecked.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Float16, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from neurodyn import checksum, files
from neurodyn.checksum import SHA256
from neurodyn.files import whole

WEIGHTS, CONFIG, METRICS, HISTORY, SNAPSHOTS, CHECKPOINT = (
    "weights.safetensors",
    "config.json",
    "metrics.json",
    "history.nc",
    "snapshots.nc",
    "checkpoint.safetensors",
)
# Entries of a configuration that its sum leaves out: they are compared with the images.
OF_IMAGES = ("data", "images", "test_images")
TRAILER = b"\nsha256 "  # precedes the sum behind netCDF data, which HDF5 ignores
# Entries about the data set that checkpoints of older versions lack.
NOTED_LATER = ("classes", "image_shape", "test_images")
# The figures of `runs.figures.FIGURES`.
PICTURES = FIELDS, TRAINING, CURVE, CONFUSION, FILM, PATCHES, ACTIVITY = (
    "receptive_fields.png",
    "training.png",
    "learning_curve.png",
    "confusion.png",
    "receptive_fields.gif",
    "preferred_patches.png",
    "activity_maps.png",
)


def prepare(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of a run, before training.

    Raises
    ------
    ValueError
        If it already holds a run and `overwrite` is False, or cannot be written to.
    """
    try:
        if (folder / CHECKPOINT).exists() and not overwrite:
            raise ValueError(
                f"{folder} holds a run that is not finished: go on with it by `fastpath "
                f"resume {folder}`, or give --overwrite to begin anew"
            )
        files_of_run = (WEIGHTS, CONFIG, METRICS)
        existing = [name for name in files_of_run if (folder / name).exists()]
        if existing and not overwrite:
            raise ValueError(
                f"{folder} already holds a run ({', '.join(existing)}): choose another "
                "--out, or give --overwrite to replace it"
            )
        check_writable(folder)
        with alone(folder):
            files.tidy(folder)
    except OSError as error:
        raise _refused(folder, error) from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other processes that train into it.

    Raises
    ------
    ValueError
        If another process has locked it.
    """
    with files.held(folder) as ours:
        if not ours:
            raise ValueError(
                f"another process is training into {folder}: wait for its end, or choose "
                "another --out"
            )
        yield


def check_writable(folder: Path) -> None:
    """Make a folder; raise ValueError if files in it could not be written or read."""
    if (named := str(folder)) != named.encode("utf-8", "ignore").decode():
        raise ValueError(
            f"the folder {named!a} has a name that is not UTF-8: its weights could not be "
            "read again; choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = files.part_of(folder / "probe")
        probe.touch()
        probe.unlink()
    except FileExistsError:
        what = "a link to nothing" if folder.is_symlink() else "a file, not a folder"
        raise ValueError(
            f"cannot write to {folder}: it is {what}; choose another --out"
        ) from None
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> ValueError:
    reason = error.strerror or error
    return ValueError(f"cannot write to {folder}: {reason}; choose another --out")


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors as safetensors."""
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    described = {SHA256: "", **(metadata or {})}
    described[SHA256] = checksum.of_safetensors(save(contiguous, described))
    with whole(path) as part:
        part.write_bytes(save(contiguous, described))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of `save_tensors`.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata, read at once since the file may be replaced."""
    content = _content(path)
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not safetensors: {error}") from error
    return tensors, checksum.metadata_of(path, content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}: is this the folder of a run?") from None
    except OSError as error:
        raise ValueError(
            f"{path} is damaged or cannot be read: {error.strerror or error}"
        ) from error


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def save_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object, indented; an entry "sha256" is set to its sum."""
    if SHA256 in values:
        values = values | {SHA256: json_sum(values)}
    with whole(path) as part:
        part.write_text(json.dumps(values, indent=2) + "\n")


def load_json(path: Path) -> dict[str, Any]:
    """Read a file of `save_json`; its sum is checked by `check_json`.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or holds no JSON object.
    """
    content = _content(path)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return values


def json_sum(values: dict[str, Any]) -> str:
    """Return the sum of JSON values, independent of their order and layout."""
    left_out = {SHA256, *OF_IMAGES}
    counted = {name: value for name, value in values.items() if name not in left_out}
    return _sum(json.dumps(counted, sort_keys=True).encode())


def check_json(path: Path, values: dict[str, Any], noted: str | None) -> None:
    """Raise ValueError if a noted sum differs from the sum of these values."""
    checksum.check(path, noted, lambda: json_sum(values))


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as `.npz`."""
    # Written to memory first: on a full disk a zip file raises misleading exceptions.
    memory = io.BytesIO()
    np.savez(memory, allow_pickle=False, **arrays)
    with whole(path) as part:
        part.write_bytes(memory.getvalue())


def save_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset as netCDF with compressed arrays."""
    small: dict[str, Any] = {"zlib": True, "shuffle": True, "complevel": 1}
    encoding = {
        name: small | ({"dtype": "S1"} if array.dtype.kind in "UO" else {})
        for name, array in dataset.items()
        if array.ndim > 1 and array.size
    }
    # Written to memory first: on a full disk HDF5 may end the process.
    content = bytes(dataset.to_netcdf(engine="h5netcdf", encoding=encoding))
    with whole(path) as part:
        part.write_bytes(content + TRAILER + _sum(content).encode())


def load_dataset(path: Path) -> xr.Dataset:
    """Read a file of `save_dataset`.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    content, marker, noted = _content(path).rpartition(TRAILER)
    if marker and len(noted) == len(_sum(b"")):
        checksum.check(path, noted.decode("ascii", "replace"), lambda: _sum(content))
    else:
        content += marker + noted
    try:
        return xr.load_dataset(io.BytesIO(content), engine="h5netcdf")
    except Exception as error:  # HDF5 raises different classes
        raise ValueError(f"{path} is damaged or not netCDF: {error}") from error


@dataclass(frozen=True)
class State:
    """The state of a training between two epochs, from which it can be continued."""

    epoch: int
    """Number of epochs done."""
    limit: float
    """Magnitude of a weight above which training has diverged."""
    layer: dict[str, Tensor]
    """The tensors that learning changes: see `layers.Layer.state`."""
    generator: UInt8[Tensor, " byte"]
    """State of the random generator that draws the order of the images."""
    history: dict[str, Float[Tensor, " epoch"]]
    snapshots: dict[float, Float16[Tensor, "displayed pixel"]]
    """Snapshots by their moment: see `snapshots.Snapshots`."""


def save_state(path: Path, state: State, config: dict[str, Any]) -> None:
    """Write a checkpoint of the run that `config` describes.

    Raises
    ------
    ValueError
        If it cannot be written; the previous checkpoint is kept.
    """
    tensors = {
        "generator": state.generator,
        **{f"layer.{name}": tensor for name, tensor in state.layer.items()},
        **{f"history.{name}": values for name, values in state.history.items()},
        # The repr of a float is exact.
        **{f"snapshots.{moment!r}": kept for moment, kept in state.snapshots.items()},
    }
    described = {
        "epoch": str(state.epoch),
        "limit": repr(state.limit),
        "config": json.dumps(config, sort_keys=True),
    }
    save_tensors(path, tensors, described)


def load_state(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a checkpoint, and the configuration of the run that it belongs to.

    Raises
    ------
    ValueError
        If the file is missing, truncated or altered.
    """
    tensors, described = _read(path)
    if SHA256 not in described:
        raise ValueError(f"{path} is damaged or no checkpoint: it has no checksum")
    layer, history, snapshots = (
        {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        for prefix in ("layer.", "history.", "snapshots.")
    )
    try:
        state = State(
            int(described["epoch"]),
            float(described["limit"]),
            layer,
            tensors["generator"],
            history,
            {float(moment): kept for moment, kept in snapshots.items()},
        )
        return state, json.loads(described["config"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is no checkpoint of a training: {error}") from error


def check_tensors(
    path: Path, tensors: dict[Any, Tensor], needed: dict[Any, Tensor], reason: str
) -> None:
    """Raise ValueError unless `tensors` are finite, with the types and shapes of `needed`.

    `needed` may lie on the device "meta", which holds no numbers. `reason` ends the message
    with the reason for these shapes.
    """
    for name, like in needed.items():
        tensor = tensors.get(name)
        if tensor is None:
            raise ValueError(f"{path} holds no '{name}': {_type(like)} is needed{reason}")
        if _type(tensor) != _type(like):
            raise ValueError(
                f"{path}: '{name}' is {_type(tensor)}, but {_type(like)} is needed{reason}"
            )
        if wrong := (~tensor.isfinite()).sum().item():
            raise ValueError(
                f"{path}: '{name}' has {wrong} values that are NaN or infinite, of "
                f"{tensor.numel()}: it cannot be used; train anew"
            )


def _type(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
