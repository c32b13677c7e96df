"""The unsupervised loop, and what watches it: history, snapshots, checkpoints, events."""
