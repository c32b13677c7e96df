"""Checkpoints: when the state of a training is saved, and how it is restored."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fastpath import checks
from fastpath.layers import Layer
from fastpath.runs import storage
from fastpath.training.callbacks import Callback
from fastpath.training.distributed import Team
from fastpath.training.history import DESCRIBED, Log
from fastpath.training.snapshots import Snapshots, displayed_units


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where and how often `train` saves its state, at the end of an epoch."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    """What is trained: a training of another configuration is not continued."""
    restart: bool = False
    """Ignore a checkpoint that is there; the first new one replaces it."""
    epochs: int | None = None
    """Save after so many epochs."""
    minutes: float | None = 5.0
    """Save at the end of an epoch when so many minutes have passed."""

    def __post_init__(self) -> None:
        checks.fields(self, folder=lambda _, folder: Path(folder))
        if self.epochs is not None:
            checks.fields(self, epochs=lambda _, n: checks.count("checkpoint epochs", n))
        if self.minutes is not None:
            checks.fields(self, minutes=checks.number)
            if not self.minutes >= 0:
                raise ValueError(
                    f"checkpoint minutes is {self.minutes}: 0 or more is needed"
                )

    @property
    def path(self) -> Path:
        """The file of the checkpoint."""
        return self.folder / storage.CHECKPOINT

    def due(self, epoch: int, since: float) -> bool:
        """Tell whether to save after this epoch, `since` seconds after the last time."""
        by_epoch = self.epochs is not None and epoch % self.epochs == 0
        return by_epoch or (self.minutes is not None and since >= 60 * self.minutes)


class Checkpointer:
    """Saves the state of a training when `checkpoints` say so, and restores it.

    Only the main process of a team saves. Without checkpoints nothing is saved.
    """

    def __init__(
        self,
        layer: Layer,
        generator: torch.Generator,
        log: Log,
        callbacks: Sequence[Callback],
        checkpoints: Checkpoints | None,
        team: Team | None,
    ) -> None:
        self._layer, self._generator, self._log = layer, generator, log
        kept = [each for each in callbacks if isinstance(each, Snapshots)]
        self._snapshots = kept[0] if kept else Snapshots()  # keeps none
        self._checkpoints, self._team = checkpoints, team
        self._own = checkpoints if team is None or team.is_main else None
        self._restored = False
        self._saved = time.monotonic()

    def restore(self) -> None:
        """Put everything where the checkpoint left it, if there is one."""
        if self._checkpoints is None:
            return
        state = None
        if self._own is not None and self._own.path.exists() and not self._own.restart:
            state, config = storage.load_state(self._own.path)
            _check_same(config, self._own.config, self._own.path)
            self._check_fits(state, self._own.path)
        if self._team is not None:
            state = self._team.broadcast(state)
        self._restored = state is not None
        if state is not None:
            self._load(state)

    def begin(self) -> None:
        """Save a first checkpoint, unless the training continues from one."""
        if self._own is not None and not self._restored:
            self._save(self._own)

    def end_epoch(self, epoch: int, *, last: bool) -> None:
        """Read the numbers of the epochs so far, and save a checkpoint if it is due.

        On CUDA the host is an epoch ahead, so that the device never waits for it.
        """
        due = last
        if self._own is not None:
            due |= self._own.due(epoch, time.monotonic() - self._saved)
        try:
            self._log.read(but=0 if due else 1)
        except ValueError:  # diverged, and from the checkpoint it would again
            if self._own is not None:
                self._own.path.unlink(missing_ok=True)
            raise
        if due and self._own is not None:
            # Callbacks come after this, so that one that fails loses no epoch.
            self._snapshots.take(self._layer.weights, epoch)
            self._save(self._own)

    def _save(self, checkpoints: Checkpoints) -> None:
        entries = self._log.entries
        history = {
            name: torch.tensor([entry[name] for entry in entries], dtype=torch.float64)
            for name in DESCRIBED
        }
        state = storage.State(
            len(entries),
            self._log.limit,
            self._layer.state,
            self._generator.get_state(),
            history,
            self._snapshots.kept,
        )
        storage.save_state(checkpoints.path, state, checkpoints.config)
        self._saved = time.monotonic()

    def _check_fits(self, state: storage.State, path: Path) -> None:
        """Raise ValueError unless `_load` can put everything where the state says."""
        epochs = torch.empty(state.epoch, dtype=torch.float64, device="meta")
        weights = self._layer.weights
        fields = weights.new_empty(displayed_units(len(weights)).numel(), weights.shape[1])
        for held, needed in (
            (state.layer, self._layer.state),
            (state.history, dict.fromkeys(DESCRIBED, epochs)),
            ({"generator": state.generator}, {"generator": self._generator.get_state()}),
            (state.snapshots, dict.fromkeys(state.snapshots, fields.half())),
        ):
            storage.check_tensors(path, held, needed, f" at epoch {state.epoch}")

    def _load(self, state: storage.State) -> None:
        for name, tensor in self._layer.state.items():
            tensor.copy_(state.layer[name])
        self._generator.set_state(state.generator)
        self._log.limit = state.limit
        self._snapshots.kept = state.snapshots
        columns = [state.history[name].tolist() for name in DESCRIBED]
        self._log.entries = [
            dict(zip(DESCRIBED, row, strict=True)) for row in zip(*columns, strict=True)
        ]


def _check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    """Raise ValueError, naming the fields, unless a checkpoint is of this configuration.

    The machine and the version may be others, and the images elsewhere if they are the
    same; what an older version did not note is not compared.
    """
    left_out = {
        "machine",
        "fastpath",
        *(n for n in storage.NOTED_LATER if n not in found),
    }
    if found.get("images") is not None:
        left_out |= {"data"}
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
    """Return {"a": {"b": 1}, "c": [{"d": 2}]} as {"a.b": "1", "c.1.d": "2"}."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            value = {str(i): each for i, each in enumerate(value, start=1)}
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value, sort_keys=True)
    return flat
