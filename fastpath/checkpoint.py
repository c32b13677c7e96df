"""What a run leaves on disk: weights as safetensors, the rest as JSON and netCDF.

Every file appears whole or not at all: it is written beside its place, then renamed. A run
under way has its state in `checkpoint.safetensors`, with a checksum and the configuration
that it belongs to; the finished run has the other files, and no checkpoint.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Float16, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from neurodyn import files, netcdf
from neurodyn.files import whole

WEIGHTS, CONFIG, METRICS, HISTORY, SNAPSHOTS, CHECKPOINT = (
    "weights.safetensors",
    "config.json",
    "metrics.json",
    "history.nc",
    "snapshots.nc",
    "checkpoint.safetensors",
)
# Of the data set, what checkpoints of older versions do not hold.
NOTED_LATER = ("classes", "image_shape", "test_images")
PICTURES = FIELDS, TRAINING, CURVE, CONFUSION, FILM = (
    "receptive_fields.png",
    "training.png",
    "learning_curve.png",
    "confusion.png",
    "receptive_fields.gif",
)


def prepare(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of a run, before the run costs anything.

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
        held = [name for name in (WEIGHTS, CONFIG, METRICS) if (folder / name).exists()]
        if held and not overwrite:
            raise ValueError(
                f"{folder} already holds a run ({', '.join(held)}): choose another --out, "
                "or give --overwrite to replace it"
            )
        check_writable(folder)
        files.tidy(folder)
    except OSError as error:
        raise _refused(folder, error) from error


def check_writable(folder: Path) -> None:
    """Make a folder; raise ValueError if it cannot be written to, or then not be read."""
    if (named := str(folder)) != named.encode("utf-8", "ignore").decode():
        raise ValueError(
            f"the folder {named!a} has a name that is not UTF-8: its weights could not be "
            "read again; choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
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
    with whole(path) as part:
        part.write_bytes(save(contiguous, metadata))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of one state of a file, which another may replace."""
    try:
        content = path.read_bytes()
        tensors = load(content)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}: is this the folder of a run?") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or not safetensors: {error}") from error
    start, length = 8, int.from_bytes(content[:8], "little")  # of the header, JSON
    header = json.loads(content[start : start + length])
    return tensors, header.get("__metadata__") or {}


def save_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object, readable by people too."""
    with whole(path) as part:
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
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def save_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a data set as netCDF; arrays are compressed, which has checksums."""
    small: dict[str, Any] = {"zlib": True, "shuffle": True, "complevel": 1}
    encoding = {
        name: small | ({"dtype": "S1"} if array.dtype.kind in "UO" else {})
        for name, array in dataset.items()
        if array.ndim > 1 and array.size
    }
    netcdf.save(path, dataset, encoding)


def load_dataset(path: Path) -> xr.Dataset:
    """Read what `save_dataset` wrote.

    Raises
    ------
    ValueError
        If the file is missing or damaged.
    """
    if not path.exists():
        raise ValueError(f"there is no file {path}: is this the folder of a run?")
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # HDF5 says the same by many kinds
        raise ValueError(f"{path} is damaged or not netCDF: {error}") from error


@dataclass(frozen=True)
class State:
    """A training between two epochs: all that the rest of it depends on."""

    epoch: int
    """Epochs done."""
    limit: float
    """The size of a weight at which training counts as diverged."""
    layer: dict[str, Float[Tensor, "unit pixel"]]
    """What learning changes: see `layers.Dense.state`."""
    generator: UInt8[Tensor, " byte"]
    """State of the random numbers, from which the order of the next epoch comes."""
    history: dict[str, Float[Tensor, " epoch"]]
    snapshots: dict[int, Float16[Tensor, "shown pixel"]]
    """By the epoch: see `snapshots.Snapshots`."""


def save_state(path: Path, state: State, config: dict[str, Any]) -> None:
    """Write a checkpoint of the run that `config` describes.

    Raises
    ------
    ValueError
        If it cannot be written; the checkpoint before it is still there.
    """
    tensors = {
        "generator": state.generator,
        **{f"layer.{name}": tensor for name, tensor in state.layer.items()},
        **{f"history.{name}": values for name, values in state.history.items()},
        **{f"snapshots.{epoch}": kept for epoch, kept in state.snapshots.items()},
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    described = {
        "epoch": str(state.epoch),
        "limit": repr(state.limit),
        "config": json.dumps(config, sort_keys=True),
    }
    described["sha256"] = _digest(tensors, described)
    save_tensors(path, tensors, described)


def load_state(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a checkpoint, and the configuration of the run that it belongs to.

    Raises
    ------
    ValueError
        If it is missing, truncated or altered.
    """
    tensors, described = _read(path)
    if described.pop("sha256", None) != _digest(tensors, described):
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum; the run cannot "
            "go on from it (begin anew with `fastpath train --overwrite`)"
        )
    layer, history, snapshots = (
        {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        for prefix in ("layer.", "history.", "snapshots.")
    )
    state = State(
        int(described["epoch"]),
        float(described["limit"]),
        layer,
        tensors["generator"],
        history,
        {int(epoch): kept for epoch, kept in snapshots.items()},
    )
    return state, json.loads(described["config"])


def _digest(tensors: dict[str, Tensor], described: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    """Raise ValueError, naming the fields, unless a checkpoint is of this configuration.

    The `machine` may be another, and what an older version did not note is not compared.
    """
    left_out = {"machine", *(name for name in NOTED_LATER if name not in found)}
    there, here = (
        _flat({name: value for name, value in config.items() if name not in left_out})
        for config in (found, wanted)
    )
    differ = [
        f"{name} ({there.get(name, 'absent')} there, {here.get(name, 'absent')} here)"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if differ:
        raise ValueError(
            f"{path} is of another configuration; what differs: {'; '.join(differ)}. Give "
            "the same settings, or begin anew in another folder"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return {"a": {"b": 1}} as {"a.b": "1"}."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value)
    return flat
