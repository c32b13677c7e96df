"""Small runs in a folder: how to train, alter and misuse them."""

import pytest

from fastpath.cli import main
from fastpath.runs import storage

SMALL = ["--units", "8", "--epochs", "2", "--head-epochs", "2"]
UNITS, PIXELS = 8, 64


def refused(capsys, *args) -> str:
    """Return the one line that a mistake gets."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, args)))
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


def altered(folder, change, **tensors):
    """Save the checkpoint of a run again, with another configuration or state."""
    path = folder / storage.CHECKPOINT
    state, config = storage.load_state(path)
    change(config)
    for name, tensor in tensors.items():
        state.layer[name] = tensor
    storage.save_state(path, state, config)
