"""Training without labels, with its history, snapshots, checkpoints and callbacks."""
