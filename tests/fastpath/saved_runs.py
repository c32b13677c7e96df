"""Small runs in a folder: how to train, alter and misuse them."""

from fastpath.runs import storage

SMALL = ["--units", "8", "--epochs", "2", "--head-epochs", "2"]
UNITS, PIXELS = 8, 64


def altered(folder, change, **tensors):
    """Save the checkpoint of a run again, with another configuration or state."""
    path = folder / storage.CHECKPOINT
    state, config = storage.load_state(path)
    change(config)
    for name, tensor in tensors.items():
        state.layer[name] = tensor
    storage.save_state(path, state, config)
